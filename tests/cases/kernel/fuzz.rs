//! `steer_node` against a model of it in user space, on packets that nobody thought of.
//!
//! | module | job |
//! |---|---|
//! | `input` | packets from random choices: built, wrapped, and changed |
//! | `model` | what must become of a packet, by `edge_wire` and sets in the place of maps |
//! | `corpus` | frames kept in the repository, which are run first |

mod corpus;
mod input;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use edge_wire::Reason::{self, Forwarded, Stripped};
use edge_wire::dissect;
use edge_wire::maps::{self, Local};
use tests::kernel::idle::Borrowed;
use tests::kernel::{Action, moved};
use tests::net::Random;

use super::counted::{self, show};
use super::fixture::Pinned;
use super::fleet::{self, NODES, fleet, ipv4_of, ipv6_of};
use corpus::FRAMES;
use input::Input;
use model::{Expected, Model};

/// For the random part; `BOLERO_RANDOM_TEST_TIME_MS` says otherwise.
const TEST_TIME: Duration = Duration::from_secs(4);
/// Instead of a time, where bolero cannot run: about as many.
const INPUTS: u32 = 2000;

#[test]
fn every_frame_of_the_corpus_ends_as_the_model_says() {
    let _pinned = Pinned::to_one_cpu();
    let mut bench = Bench::new();
    for (admission, burst) in [(0, 2), (0xff, 2), (0xff, 0)] {
        for (name, frame) in FRAMES {
            let fault = bench.run(admission, burst, [frame.to_vec()]).err();
            assert_eq!(fault, None, "{name}, early drops {admission}, a burst of {burst}");
        }
    }
    // There is always room in front of a frame here.
    let mut expected = counted::of_steer_node();
    expected.remove(&Reason::NoHeadroom);
    assert_eq!(bench.seen.into_keys().collect::<BTreeSet<_>>(), expected, "Reasons of the corpus");
}

#[test]
fn any_packets_end_as_the_model_says() {
    let _pinned = Pinned::to_one_cpu();
    // Its maps are written before each run, so that a panic leaves nothing behind.
    let bench = Mutex::new(Bench::new());
    let check = |input: &Input| {
        let mut bench = bench.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(fault) = bench.run(input.admission, input.burst(), input.frames()) {
            panic!("{fault}");
        }
    };
    if Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases")).exists() {
        bolero::check!().with_test_time(TEST_TIME).with_type().for_each(check);
    } else {
        // bolero looks for its files beside the source, which a machine with the cases alone
        // has not.
        let mut random = Random::seeded(1);
        (0..INPUTS).filter_map(|_| Input::drawn(&mut random)).for_each(|input| check(&input));
    }
    let bench = bench.into_inner().unwrap_or_else(PoisonError::into_inner);
    let packets: u64 = bench.seen.values().sum();
    show(&format!("{packets} random packets, by Reason: {:?}", bench.seen));
}

/// Two nodes and the model of the first.
struct Bench {
    /// Node 1.
    ours: Borrowed,
    /// Any other node: what is sent is unwrapped there.
    theirs: Borrowed,
    model: Model,
    /// The counters of both before the next run.
    counters: [Vec<u64>; 2],
    /// All packets so far.
    seen: BTreeMap<Reason, u64>,
}

impl Bench {
    fn new() -> Self {
        let (mut ours, mut theirs) = (fleet(), fleet());
        let model = Model::of_the_fleet();
        model.install(&mut ours);
        model.install(&mut theirs);
        let counters = [&ours, &theirs].map(|kernel| kernel.counters(maps::NODE_REASONS));
        Self { ours, theirs, model, counters, seen: BTreeMap::new() }
    }

    /// Runs frames one after the other, with early drops by their switches and a whole budget of
    /// `burst` packets for each network and node. Each frame counts once, for the Reason that the
    /// model says.
    fn run(
        &mut self,
        admission: u8,
        burst: u64,
        frames: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<(), String> {
        self.model.begin(admission, burst);
        self.ours.set_local(self.model.local);
        self.ours.refill_budgets(NODES);
        let mut expected = BTreeMap::new();
        let mut faults = String::new();
        for mut frame in frames {
            // The test run takes no less than an Ethernet header and no more than a page.
            frame.resize(frame.len().clamp(14, 3000), 0);
            let reason = self.run_one(&frame).unwrap_or_else(|(reason, fault)| {
                faults += &format!("{reason:?}, by the model: {fault}: {frame:02x?}\n");
                reason
            });
            *expected.entry(reason).or_default() += 1;
        }
        let arrived = expected.get(&Forwarded).map(|sent| (Stripped, *sent));
        let expected: Vec<(Reason, u64)> = expected.into_iter().collect();
        let kernels = [&self.ours, &self.theirs];
        let after = kernels.map(|kernel| kernel.counters(maps::NODE_REASONS));
        let counted = [0, 1].map(|node| moved(&self.counters[node], &after[node]));
        self.counters = after;
        for (reason, packets) in &expected {
            *self.seen.entry(*reason).or_default() += packets;
        }
        match counted == [expected.clone(), arrived.into_iter().collect()] && faults.is_empty() {
            true => Ok(()),
            false => Err(format!("by the model {expected:?}, counted {counted:?}\n{faults}")),
        }
    }

    /// The Reason, and where the verdict or the bytes are not the model's, what they are.
    fn run_one(&mut self, frame: &[u8]) -> Result<Reason, (Reason, String)> {
        let Expected { reason, action, out } = self.model.steer(frame);
        let (ran, bytes) = self.ours.verdict(frame);
        if ran != action || bytes != out {
            return Err((reason, format!("{ran:?}, {bytes:02x?}")));
        }
        // What is neither sent nor taken in stays as it came, whatever the model says.
        match reason {
            Stripped => Ok(reason),
            Forwarded => self.arrives(frame, &bytes).map_err(|fault| (reason, fault)),
            _ if bytes == frame && !matches!(action, Action::Tx | Action::Redirect) => Ok(reason),
            _ => Err((reason, "touched, or sent".into())),
        }
    }

    /// The node that it was sent to takes it in, and has the very packet that came.
    fn arrives(&mut self, frame: &[u8], sent: &[u8]) -> Result<Reason, String> {
        let to = self.model.receiver(sent).ok_or("sent to no live node")?;
        let (ipv4, ipv6) = (ipv4_of(to), ipv6_of(to));
        self.theirs.set_local(Local { node: to, ipv4, ipv6, ..fleet::local() });
        let (action, bytes) = self.theirs.verdict(sent);
        let inner = packet_of(frame).ok_or("the model sent what is no packet")?;
        match packet_of(&bytes) {
            // Nothing is behind it either.
            Some(arrived) if action == Action::Pass && arrived == inner => {
                let alone = bytes.ends_with(arrived);
                if alone { Ok(Forwarded) } else { Err(format!("padded at node {to}")) }
            }
            _ => Err(format!("node {to}, {action:?}: {bytes:02x?}")),
        }
    }
}

/// The IP packet in a frame, without what is behind it.
fn packet_of(frame: &[u8]) -> Option<&[u8]> {
    let mut cursor = frame;
    let (link_len, ethertype) = dissect::ethernet(&mut cursor).ok()?;
    let udp = dissect::udp(&mut cursor, ethertype).ok()?;
    frame[link_len..].get(..usize::from(udp.ip_len))
}
