//! What each path through `steer_node` costs: nanoseconds a packet, and the ratio to a floor that
//! was measured beside it.
//!
//! | module | job |
//! |---|---|
//! | `fleet` | the maps, filled for the node of a large fleet with everything switched on |
//! | `paths` | the packets, and what has to become of each |
//!
//! The programs take turns, round by round, in one process on one core; a figure is the median of
//! its rounds, and a ratio the median of the ratios within each round. So what else happens on the
//! machine hits both sides of a ratio alike.

mod fleet;
mod paths;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edge_wire::bench::{ADJUST_TWICE, HARNESS, PASS};
use edge_wire::maps::NODE_REASONS;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::figure::{Figure, median, rounded};
use crate::kernel::{Kernel, moved};
use paths::Path;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Turns of each program.
    pub rounds: u32,
    /// Packets in a turn.
    pub packets: u32,
}

/// Measures the floors and the paths, of these all whose names contain `part`.
///
/// # Errors
/// Where a packet did not take the path that it was made for, or was not put back.
///
/// # Panics
/// Without root.
pub fn measure(effort: Effort, part: &str) -> Result<Vec<Figure>> {
    pin()?;
    let mut kernel = Kernel::load_bench();
    fleet::fill(&mut kernel);
    let mut paths = paths::all();
    paths.retain(|path| path.name.contains(part));
    for path in &paths {
        is_taken(path, &mut kernel).with_context(|| path.name.clone())?;
    }
    paths.splice(0..0, [PASS, ADJUST_TWICE, HARNESS].map(paths::floor));
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        let turn = |path: &Path| time(path, &mut kernel, effort.packets);
        rounds.push(paths.iter().map(turn).collect::<Result<Vec<f64>>>()?);
    }
    Ok((0..paths.len()).map(|index| figure(&paths, index, &rounds)).collect())
}

/// Fails where the packet does not end for its Reason, every time, and as it came.
fn is_taken(path: &Path, kernel: &mut Kernel) -> Result<()> {
    path.set_up(kernel);
    let run = kernel.run_program(path.program, &path.frame);
    ensure!(run.counted == [(path.reason, 1)], "counted {:?}", run.counted);
    ensure!(run.bytes == path.left(), "the packet is not put back");
    let before = kernel.counters(NODE_REASONS);
    kernel.repeat(path.program, &path.frame, REPEATED);
    let counted = moved(&before, &kernel.counters(NODE_REASONS));
    ensure!(counted == [(path.reason, u64::from(REPEATED))], "repeated: {counted:?}");
    Ok(())
}

/// Nanoseconds a packet, of the CPU time that the kernel took for them all.
fn time(path: &Path, kernel: &mut Kernel, packets: u32) -> Result<f64> {
    path.set_up(kernel);
    kernel.repeat(path.program, &path.frame, WARM_UP);
    let before = cpu_time()?;
    kernel.repeat(path.program, &path.frame, packets);
    let spent = cpu_time()?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e9 / f64::from(packets))
}

/// Runs that show that every run takes the path: more than there are connection IDs to rotate.
const REPEATED: u32 = 10_000;
/// Runs before a turn, so that what it needs is in the caches.
const WARM_UP: u32 = 10_000;

fn figure(paths: &[Path], index: usize, rounds: &[Vec<f64>]) -> Figure {
    let path = &paths[index];
    let other = paths.iter().position(|other| other.name == path.against);
    let other = other.expect("compared with a path");
    Figure {
        name: path.name.clone(),
        value: rounded(median(rounds.iter().map(|round| round[index]))),
        unit: "ns",
        against: path.against.clone(),
        ratio: rounded(median(rounds.iter().map(|round| round[index] / round[other]))),
    }
}

/// To one core, the last that this process may use: interrupts are served by the first.
fn pin() -> Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("which cores may be used")?;
    let last = (0..CpuSet::count()).rev().find(|core| allowed.is_set(*core).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.context("no core may be used")?)?;
    sched_setaffinity(Pid::from_raw(0), &one).context("cannot stay on one core")
}

/// The CPU time of this thread: what it waits for others doesn't count.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("no CPU clock")?.into())
}
