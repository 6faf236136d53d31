//! What a process holds in memory beside what it held before.

use std::fs;
use std::io;

/// What any attack may cost: pages of the program that are read from its file when they are first
/// needed (25 MB of code in all, most of which a good client has called for already), and what the
/// allocator keeps at hand.
pub const AT_HAND_BYTES: usize = 4 << 20;

/// The memory of a process from some moment on.
#[derive(Debug)]
pub struct Memory {
    process: u32,
    before_bytes: u64,
}

impl Memory {
    /// From now on.
    ///
    /// # Errors
    /// Where there is no such process, or it is somebody else's.
    pub fn of(process: u32) -> io::Result<Self> {
        // What it held at most before is forgotten (proc(5)).
        fs::write(format!("/proc/{process}/clear_refs"), "5")?;
        Ok(Self { process, before_bytes: figure(process, "VmRSS")? })
    }

    /// Bytes that it holds now beside what it held before.
    ///
    /// # Panics
    /// Where the process has ended.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.beyond("VmRSS")
    }

    /// Bytes that it has held since, at most.
    ///
    /// # Panics
    /// Where the process has ended.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.beyond("VmHWM")
    }

    fn beyond(&self, name: &str) -> u64 {
        figure(self.process, name).expect("it runs").saturating_sub(self.before_bytes)
    }

    /// Says that it has never held more than this, beside [`AT_HAND_BYTES`].
    ///
    /// # Panics
    /// Where it has.
    pub fn is_within(&self, most_bytes: usize, what: &str) {
        let (peak, most) = (self.peak(), (most_bytes + AT_HAND_BYTES) as u64);
        assert!(peak <= most, "{what}: {peak} bytes more than before, {most} at most");
    }
}

/// A line of `/proc/PID/status` (proc(5)), in bytes.
///
/// # Errors
/// Where there is no such process, or no such line.
pub fn figure(process: u32, name: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.map(|kibibytes| kibibytes << 10).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_and_what_was_held_are_told_apart() {
        const BYTES: u64 = 64 << 20;
        let memory = Memory::of(std::process::id()).expect("we are ours");
        let block = std::hint::black_box(vec![1_u8; BYTES as usize]);
        assert!(memory.held() > BYTES / 2, "{memory:?}");
        drop(block);
        let peak = memory.peak();
        assert!(peak > BYTES / 2, "{memory:?}");
        let again = Memory::of(std::process::id()).expect("we are ours");
        assert!(again.peak() < peak, "what was held before is forgotten");
    }
}
