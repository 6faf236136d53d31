//! What a fixture is, and how it is run.

use edge_wire::Reason;
use edge_wire::maps::STEER_NODE;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use tests::kernel::{Action, Kernel};

use super::counted::show;
use super::fleet::fleet;

/// A packet, and what becomes of it.
pub(super) struct Fixture {
    /// What it shows. Fixtures are counted by it.
    pub(super) sentence: String,
    /// One of the families, lengths, configs and the like over which the sentence is repeated.
    pub(super) variant: String,
    /// Bytes of metadata that the driver put in front of the frame: nearly always none.
    pub(super) metadata_len: usize,
    /// The frame that comes in.
    pub(super) frame: Vec<u8>,
    /// The verdict.
    pub(super) action: Action,
    /// The frame afterwards.
    pub(super) out: Vec<u8>,
    /// The one counter that moves, by one.
    pub(super) reason: Reason,
}

/// A packet that is passed as it came.
pub(super) fn passed(
    sentence: impl Into<String>,
    variant: impl Into<String>,
    frame: Vec<u8>,
    reason: Reason,
) -> Fixture {
    untouched(sentence.into(), variant.into(), frame, Action::Pass, reason)
}

/// A packet that is dropped.
pub(super) fn dropped(
    sentence: impl Into<String>,
    variant: impl Into<String>,
    frame: Vec<u8>,
    reason: Reason,
) -> Fixture {
    untouched(sentence.into(), variant.into(), frame, Action::Drop, reason)
}

fn untouched(
    sentence: String,
    variant: String,
    frame: Vec<u8>,
    action: Action,
    reason: Reason,
) -> Fixture {
    let out = frame.clone();
    Fixture { sentence, variant, metadata_len: 0, frame, action, out, reason }
}

/// Fixtures in their order, and what changes in the maps between them.
#[derive(Default)]
pub(super) struct Case {
    steps: Vec<Step>,
}

enum Step {
    Change(Box<dyn FnOnce(&mut Kernel)>),
    Packet(Fixture),
}

impl Case {
    /// Packets that meet the fleet as it is.
    pub(super) fn of(fixtures: impl IntoIterator<Item = Fixture>) -> Self {
        Self { steps: fixtures.into_iter().map(Step::Packet).collect() }
    }

    /// One more packet.
    pub(super) fn add(&mut self, fixture: Fixture) {
        self.steps.push(Step::Packet(fixture));
    }

    /// Changes the maps before the next packet.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Kernel) + 'static) {
        self.steps.push(Step::Change(Box::new(change)));
    }

    /// The packets, without the changes between them.
    pub(super) fn into_fixtures(self) -> impl Iterator<Item = Fixture> {
        self.steps.into_iter().filter_map(|step| match step {
            Step::Packet(fixture) => Some(fixture),
            Step::Change(_) => None,
        })
    }

    /// Runs it on the fleet.
    pub(super) fn check(self) {
        let _pinned = Pinned::to_one_cpu();
        let mut kernel = fleet();
        for step in self.steps {
            match step {
                Step::Change(change) => change(&mut kernel),
                Step::Packet(fixture) => fixture.check(&mut kernel),
            }
        }
    }
}

/// Keeps the calling thread on one CPU for as long as it lives: some budgets are each CPU's own.
pub(super) struct Pinned {
    before: CpuSet,
}

impl Pinned {
    pub(super) fn to_one_cpu() -> Self {
        let thread = Pid::from_raw(0);
        let before = sched_getaffinity(thread).expect("the CPUs that we may run on");
        let mut one = CpuSet::new();
        one.set(sched_getcpu().expect("the CPU that we run on")).expect("in bounds");
        sched_setaffinity(thread, &one).expect("one of those that we may run on");
        Self { before }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(Pid::from_raw(0), &self.before).expect("as it was");
    }
}

impl Fixture {
    fn check(self, kernel: &mut Kernel) {
        let Self { sentence, variant, metadata_len, frame, action, out, reason } = self;
        let run = match kernel.run_behind(metadata_len, STEER_NODE, &frame) {
            Ok(run) => run,
            Err(error) if metadata_len > 32 => {
                show(&format!("{sentence} ({variant}): not on this kernel: {error}"));
                return;
            }
            Err(error) => panic!("{sentence} ({variant}): {error}"),
        };
        assert_eq!(run.counted, [(reason, 1)], "{sentence} ({variant}): counters");
        assert_eq!(run.action, action, "{sentence} ({variant}): verdict");
        assert_eq!(run.bytes, out, "{sentence} ({variant}): bytes");
    }
}

/// Makes a test of each function that gives a [`Case`], and a list of them, `CASES`, so that
/// their fixtures can be counted. One that is forgotten here is dead code to the compiler.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        /// By name.
        pub(super) const CASES: &[(&str, fn() -> $crate::kernel::fixture::Case)] =
            &[$((stringify!($name), $name)),+];

        mod case {
            $(#[test]
            fn $name() {
                super::$name().check();
            })+
        }
    };
}

pub(super) use cases;
