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
use edge_wire::bench::{ADJUST_TWICE, PASS};
use edge_wire::maps::NODE_REASONS;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;

use crate::kernel::{Kernel, moved};
use paths::Path;

/// One figure of the report, as `cargo xtask bench` reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Nanoseconds a packet.
    pub value: f64,
    /// `ns`.
    pub unit: &'static str,
    /// The figure that this one is compared with.
    pub against: String,
    /// How many times as much as that.
    pub ratio: f64,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Turns of each program.
    pub rounds: u32,
    /// Packets in a turn.
    pub packets: u32,
}

/// Something to be timed: a program and the packet that it sees again and again.
struct Subject {
    name: String,
    program: &'static str,
    frame: Vec<u8>,
    /// The name of the subject to compare with.
    against: String,
    /// Absent for a floor, which no path is taken through.
    path: Option<Path>,
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
    let mut subjects = subjects();
    subjects.retain(|subject| subject.path.is_none() || subject.name.contains(part));
    for subject in &subjects {
        subject.takes_its_path(&mut kernel).with_context(|| subject.name.clone())?;
    }
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        let turn = |subject: &Subject| subject.time(&mut kernel, effort.packets);
        rounds.push(subjects.iter().map(turn).collect::<Result<Vec<f64>>>()?);
    }
    Ok(subjects.iter().enumerate().map(|(index, _)| figure(&subjects, index, &rounds)).collect())
}

/// The floors and all paths.
fn subjects() -> Vec<Subject> {
    let floors = [PASS, ADJUST_TWICE].map(|program| Subject {
        name: program.into(),
        program,
        frame: paths::any_frame(),
        against: PASS.into(),
        path: None,
    });
    let paths = paths::all().into_iter().map(|path| Subject {
        name: path.name.clone(),
        program: path.program,
        frame: path.frame.clone(),
        against: path.against.clone(),
        path: Some(path),
    });
    floors.into_iter().chain(paths).collect()
}

impl Subject {
    /// Fails where the packet does not end for its Reason, every time, and as it came.
    fn takes_its_path(&self, kernel: &mut Kernel) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        path.set_up(kernel);
        let run = kernel.run_program(self.program, &self.frame);
        ensure!(run.counted == [(path.reason, 1)], "counted {:?}", run.counted);
        ensure!(run.bytes == path.left(), "the packet is not put back");
        let before = kernel.counters(NODE_REASONS);
        kernel.repeat(self.program, &self.frame, REPEATED);
        let counted = moved(&before, &kernel.counters(NODE_REASONS));
        ensure!(counted == [(path.reason, u64::from(REPEATED))], "repeated: {counted:?}");
        Ok(())
    }

    /// Nanoseconds a packet, of the CPU time that the kernel took for them all.
    fn time(&self, kernel: &mut Kernel, packets: u32) -> Result<f64> {
        if let Some(path) = &self.path {
            path.set_up(kernel);
        }
        kernel.repeat(self.program, &self.frame, WARM_UP);
        let before = cpu_time()?;
        kernel.repeat(self.program, &self.frame, packets);
        let spent = cpu_time()?.saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e9 / f64::from(packets))
    }
}

/// Runs that show that every run takes the path: more than there are connection IDs to rotate.
const REPEATED: u32 = 10_000;
/// Runs before a turn, so that what it needs is in the caches.
const WARM_UP: u32 = 10_000;

fn figure(subjects: &[Subject], index: usize, rounds: &[Vec<f64>]) -> Figure {
    let subject = &subjects[index];
    let other = subjects.iter().position(|other| other.name == subject.against);
    let other = other.expect("compared with a subject");
    Figure {
        name: subject.name.clone(),
        value: rounded(median(rounds.iter().map(|round| round[index]))),
        unit: "ns",
        against: subject.against.clone(),
        ratio: rounded(median(rounds.iter().map(|round| round[index] / round[other]))),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Three decimals: what is behind them is chance.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
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
