//! What a process has cost, and where it runs.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;

/// User and system time of all threads of a process, those that have ended included.
///
/// # Errors
/// Where there is no such process.
pub(super) fn cpu_time(process: Pid) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(process)?;
    Ok(clock.now()?.into())
}

/// Bytes of memory that belong to a process and to no file.
///
/// # Errors
/// Where there is no such process, or it belongs to somebody else.
pub(super) fn memory_bytes(process: Pid) -> Result<u64> {
    let map = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = map.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no sum")?;
    Ok(kilobytes.trim().parse::<u64>()? << 10)
}

/// Which part of the machine a process has.
#[derive(Clone, Copy)]
pub(super) enum Core {
    Server,
    Client,
}

/// Runs `start` with this thread, and so what it starts, on one core. With fewer than two cores
/// all share one.
///
/// # Errors
/// Where the operating system refuses, or `start` fails.
pub(super) fn on<T>(core: Core, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let cores: Vec<_> =
        (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
    let mut one = CpuSet::new();
    one.set(match core {
        Core::Server => cores[0],
        Core::Client => cores[cores.len() - 1],
    })?;
    sched_setaffinity(this, &one)?;
    let started = start();
    sched_setaffinity(this, &allowed)?;
    started
}
