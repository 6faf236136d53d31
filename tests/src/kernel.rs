//! The kernel's programs by themselves: loaded, given maps, and run on one packet at a time.
//!
//! | module | job |
//! |---|---|
//! | `tables` | what a test writes into the maps |
//! | [`idle`] | loaded programs, lent to one test after the other |

pub mod idle;
mod tables;

pub use tables::{Initials, Network};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::{ProgramError, SkReuseport, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use edge_wire::bench::{ADJUST_TWICE, HARNESS, PASS, RESTORED, ROTATED};
use edge_wire::{Reason, maps};

/// The committed object, as edge-user embeds it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../edge-ebpf/object/landfast.o");

/// The committed object of the bench.
static BENCH: &[u8] = aya::include_bytes_aligned!("../../edge-ebpf/object/bench.o");

/// Another object to test instead of the committed one: `build-ebpf --check` sets it.
const OBJECT_VARIABLE: &str = "LANDFAST_EBPF_OBJECT";

/// What [`Run::action`] may be (`enum xdp_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The driver drops it.
    Drop,
    /// It goes on to the kernel's stack.
    Pass,
    /// Out of the device that it came by.
    Tx,
    /// Out of another device.
    Redirect,
}

/// What became of a packet.
#[derive(Debug)]
pub struct Run {
    /// The verdict.
    pub action: Action,
    /// The packet afterwards.
    pub bytes: Vec<u8>,
    /// The counters that moved, and by how much.
    pub counted: Counted,
}

/// Packets by the Reason they ended for.
pub type Counted = Vec<(Reason, u64)>;

/// The loaded object with maps of its own.
pub struct Kernel {
    ebpf: Ebpf,
}

impl Kernel {
    /// Loads both programs.
    ///
    /// # Panics
    /// Without root, and where the verifier refuses a program: its log is in the message.
    #[must_use]
    pub fn load() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "the kernel ring loads programs into the kernel: run it as root"
        );
        let mut ebpf = match std::env::var_os(OBJECT_VARIABLE) {
            Some(path) => EbpfLoader::new().load_file(path),
            None => EbpfLoader::new().load(OBJECT),
        }
        .expect("the object loads");
        let steer_node: &mut Xdp = program(&mut ebpf, maps::STEER_NODE);
        steer_node.load().expect("the verifier accepts steer_node");
        let steer_worker: &mut SkReuseport = program(&mut ebpf, maps::STEER_WORKER);
        steer_worker.load().expect("the verifier accepts steer_worker");
        Self { ebpf }
    }

    /// Loads the programs of the bench.
    ///
    /// # Panics
    /// As [`Kernel::load`].
    #[must_use]
    pub fn load_bench() -> Self {
        let mut ebpf = EbpfLoader::new().load(BENCH).expect("the object loads");
        for name in [PASS, ADJUST_TWICE, HARNESS, RESTORED, ROTATED] {
            let xdp: &mut Xdp = program(&mut ebpf, name);
            xdp.load().expect("the verifier accepts the program");
        }
        Self { ebpf }
    }

    /// Runs `steer_node` on a frame that came by the loopback device (index 1).
    ///
    /// # Panics
    /// Where the kernel refuses the test run: a frame shorter than an Ethernet header.
    pub fn run(&mut self, frame: &[u8]) -> Run {
        self.run_program(maps::STEER_NODE, frame)
    }

    /// Runs an XDP program on a frame that came by the loopback device (index 1).
    ///
    /// # Panics
    /// As [`Kernel::run`].
    pub fn run_program(&mut self, name: &str, frame: &[u8]) -> Run {
        self.run_behind(0, name, frame).expect("the kernel runs the packet")
    }

    /// As [`Kernel::run_program`], of a frame in front of which the driver put this many bytes of
    /// metadata: that much less room is there.
    ///
    /// # Errors
    /// Where the kernel refuses the test run; as it does, before 6.9, with more than 32 bytes of
    /// metadata.
    pub fn run_behind(
        &mut self,
        metadata_len: usize,
        name: &str,
        frame: &[u8],
    ) -> Result<Run, ProgramError> {
        let before = self.counters(maps::NODE_REASONS);
        let (action, bytes) = self.test_run(metadata_len, name, frame)?;
        let after = self.counters(maps::NODE_REASONS);
        Ok(Run { action, bytes, counted: moved(&before, &after) })
    }

    /// As [`Kernel::run`], without a look at the counters, which costs many times as much.
    ///
    /// # Panics
    /// As [`Kernel::run`].
    pub fn verdict(&mut self, frame: &[u8]) -> (Action, Vec<u8>) {
        self.test_run(0, maps::STEER_NODE, frame).expect("the kernel runs the packet")
    }

    fn test_run(
        &mut self,
        metadata_len: usize,
        name: &str,
        frame: &[u8],
    ) -> Result<(Action, Vec<u8>), ProgramError> {
        let data = [&vec![0; metadata_len], frame].concat();
        let ends = [metadata_len, data.len(), 0, 0, 0, 0]; // data, data_end, ..., of xdp_md
        let context: Vec<u8> = ends.iter().flat_map(|end| (*end as u32).to_ne_bytes()).collect();
        let mut bytes = vec![0; data.len() + 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&data);
        options.data_out = Some(&mut bytes);
        options.ctx_in = (metadata_len != 0).then_some(&context);
        let result = self.xdp(name).test_run(options)?;
        bytes.truncate(result.data_size_out as usize);
        bytes.drain(..metadata_len);
        let action = match result.return_value {
            1 => Action::Drop,
            2 => Action::Pass,
            3 => Action::Tx,
            4 => Action::Redirect,
            other => panic!("verdict {other}"),
        };
        Ok((action, bytes))
    }

    /// Runs an XDP program `times` on one packet, each time on what the run before it left.
    ///
    /// # Panics
    /// As [`Kernel::run`].
    pub fn repeat(&mut self, name: &str, frame: &[u8], times: u32) {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = times;
        self.xdp(name).test_run(options).expect("the kernel runs the packet");
    }

    fn xdp(&mut self, name: &str) -> &mut Xdp {
        program(&mut self.ebpf, name)
    }

    /// How many instructions the verifier looked at in `steer_node` and `steer_worker`.
    ///
    /// # Panics
    /// On a kernel older than 5.16, which does not say.
    pub fn verified_instructions(&mut self) -> [u32; 2] {
        let node =
            self.xdp(maps::STEER_NODE).info().expect("program info").verified_instruction_count();
        let steer_worker: &mut SkReuseport = program(&mut self.ebpf, maps::STEER_WORKER);
        let worker = steer_worker.info().expect("program info").verified_instruction_count();
        [node, worker].map(|count| count.expect("a kernel from 5.16 on"))
    }

    /// Where aya-log's lines wait to be read.
    ///
    /// # Panics
    /// Where the object has no such map.
    pub fn log_buffer(&mut self) -> RingBuf<&mut MapData> {
        self.ebpf.map_mut("AYA_LOGS").expect("in the object").try_into().expect("a ring buffer")
    }

    /// `steer_worker`, to be attached to a group of sockets.
    pub fn steer_worker(&mut self) -> &mut SkReuseport {
        program(&mut self.ebpf, maps::STEER_WORKER)
    }

    /// The counters of a program by Reason, summed over the CPUs.
    ///
    /// # Panics
    /// Where the object has no such map.
    pub fn counters(&self, map: &str) -> Vec<u64> {
        let array: PerCpuArray<&MapData, u64> =
            self.ebpf.map(map).expect("in the object").try_into().expect("of this type");
        (0..Reason::COUNT)
            .map(|index| array.get(&index, 0).expect("in bounds").iter().sum())
            .collect()
    }
}

/// The counters that differ, and by how much.
#[must_use]
pub fn moved(before: &[u64], after: &[u64]) -> Counted {
    let each = Reason::ALL.iter().zip(before).zip(after);
    each.filter(|((_, before), after)| before != after)
        .map(|((reason, before), after)| (*reason, after - before))
        .collect()
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut T
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name).expect("in the object").try_into().expect("of this type")
}
