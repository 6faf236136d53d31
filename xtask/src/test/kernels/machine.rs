//! A machine (qemu) that boots a kernel, runs the cases and switches itself off: without network,
//! disk or screen, with two serial lines. It is given a time to start and a time to end.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::folder;
use super::package::Kernel;
use super::results::Results;
use crate::process;

/// From switching on to the first line of `init`, with the host's CPU: about two seconds.
const TO_START: Duration = Duration::from_secs(30);

/// The same with a CPU that is emulated: about four seconds, and a minute where much else runs.
const TO_START_EMULATED: Duration = Duration::from_secs(300);

/// From there to the end. Emulated, with both of the host's cores to itself, it takes a minute or
/// two, most of it in the verifier; one that hangs must not hold up everything for longer than this.
const TO_END: Duration = Duration::from_secs(1800);

/// Lines that wait to be read.
const LINES: usize = 1024;

/// What `init` says first.
const STARTED: &str = "landfast: started ";

/// What a kernel says on its console when something is wrong with it, whatever the cases say.
const COMPLAINTS: [&str; 7] = [
    "Kernel panic",
    "BUG: ",
    "WARNING: ",
    "Oops: ",
    "general protection fault",
    "Call Trace:",
    "blocked for more than",
];

/// Boots `kernel` and gives `results` every line that the cases print, which is shown, too.
///
/// # Errors
/// Where qemu does not start, or the kernel does not come as far as `init`.
pub(super) fn run(kernel: &Kernel, initramfs: &Path, results: &mut Results) -> Result<()> {
    let console = folder()?.join(format!("{}.console", kernel.release));
    let machine = started(kernel, initramfs, &console)?;
    let end = Instant::now() + TO_END;
    loop {
        match machine.line(end) {
            Heard::Line(line) => {
                println!("{line}");
                results.line(&line);
            }
            Heard::End => break,
            Heard::Nothing => {
                results.broken(&format!("it did not end within {} s", TO_END.as_secs()));
                break;
            }
        }
    }
    drop(machine);
    let said = fs::read(&console).context("the machine has no console")?;
    let said = String::from_utf8_lossy(&said);
    for line in complaints(&said) {
        results.broken(&format!("the kernel says: {line}"));
    }
    if results.is_broken() {
        eprintln!("all that the kernel said: {}", console.display());
    }
    Ok(())
}

/// Lines of the console that say that something is wrong.
fn complaints(console: &str) -> impl Iterator<Item = &str> {
    let complains = |line: &&str| COMPLAINTS.iter().any(|words| line.contains(words));
    console.lines().map(str::trim).filter(complains)
}

/// A machine whose `init` runs. With the host's CPU if that is possible, else emulated: a host may
/// have `/dev/kvm` and yet not boot an ordinary kernel with it, which only trying shows.
fn started(kernel: &Kernel, initramfs: &Path, console: &Path) -> Result<Machine> {
    if OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok() {
        let machine = Machine::switch_on("kvm", "host", kernel, initramfs, console)?;
        if machine.has_started(TO_START) {
            return Ok(machine);
        }
        eprintln!(
            "/dev/kvm does not boot this kernel here: its CPUs are emulated, which is slower"
        );
    }
    // On one thread: with a thread a CPU, one may run code that another has just changed, which
    // kernels that patch themselves do not survive.
    let emulated = "tcg,thread=single";
    let machine = Machine::switch_on(emulated, "max", kernel, initramfs, console)?;
    if machine.has_started(TO_START_EMULATED) {
        return Ok(machine);
    }
    bail!("the kernel did not start: {} has what it said", console.display());
}

/// What comes next from the machine.
enum Heard {
    Line(String),
    /// It is off.
    End,
    /// The time is up.
    Nothing,
}

/// A machine that is on; switched off when it is dropped.
struct Machine {
    qemu: Child,
    lines: Receiver<String>,
}

impl Machine {
    fn switch_on(
        accelerator: &str,
        cpu: &str,
        kernel: &Kernel,
        initramfs: &Path,
        console: &Path,
    ) -> Result<Self> {
        let mut qemu = qemu(accelerator, cpu, kernel.image(), initramfs, console);
        eprintln!("{}", process::shown(&qemu));
        let mut qemu = qemu.spawn().context("cannot start qemu-system-x86_64")?;
        let output = qemu.stdout.take().context("qemu has no output")?;
        let (sender, lines) = mpsc::sync_channel(LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                // Serial lines end with \r\n. An error, or nobody who reads: the machine is off.
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { qemu, lines })
    }

    /// Waits for the first line of `init`.
    fn has_started(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while let Heard::Line(line) = self.line(end) {
            if line.starts_with(STARTED) {
                eprintln!("{line}");
                return true;
            }
        }
        false
    }

    fn line(&self, end: Instant) -> Heard {
        match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => Heard::Line(line),
            Err(RecvTimeoutError::Disconnected) => Heard::End,
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Where it has switched itself off there is nothing to kill.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn qemu(
    accelerator: &str,
    cpu: &str,
    kernel: PathBuf,
    initramfs: &Path,
    console: &Path,
) -> Command {
    let mut qemu = process::command("qemu-system-x86_64");
    qemu.args(["-machine", "q35", "-accel", accelerator, "-cpu", cpu])
        .args(["-smp", "2", "-m", "1024", "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        // A kernel that panics starts anew at once, which `-no-reboot` makes the end. And on a busy
        // host an emulated timer may tick too late for a kernel that waits for it to be convinced.
        .args(["-append", "console=ttyS0 panic=-1 no_timer_check"])
        .args(["-serial", &format!("file:{}", console.display()), "-serial", "stdio"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    qemu
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_complains_of_is_found_and_its_other_words_are_not() {
        let console = "[    2.509900] IPI shorthand broadcast: enabled\r\n\
            [    2.534518] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI\r\n\
            [    2.535029] RIP: 0010:sched_clock_idle_wakeup_event+0x5/0x40\r\n\
            [    2.537469] Kernel panic - not syncing: Fatal exception in interrupt\r\n\
            [   42.122572] reboot: Power down\r\n";
        let found: Vec<_> = complaints(console).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("PREEMPT SMP NOPTI") && found[1].contains("Kernel panic"));
    }
}
