//! A program that serves: started, killed, asked to stop, waited for; what it says is in a file.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::eventually;

/// Beyond what it has to finish, a stop has little left to do.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
/// How often is looked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of the log that a failure shows.
const LAST_LINES: usize = 30;

/// A program that serves, or will. Dropping it kills it.
///
/// Its functions panic where another thread panicked in one of them.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Daemon {
    /// One called `name` in messages, which writes to the file `log`. It does not run yet.
    pub(crate) fn new(name: &str, log: PathBuf) -> Self {
        Self { name: name.to_owned(), log, child: Mutex::new(None) }
    }

    /// Starts `command` by `spawn`, which chooses where.
    pub(crate) fn start(
        &self,
        mut command: Command,
        spawn: impl FnOnce(&mut Command) -> std::io::Result<Child>,
    ) -> Result<()> {
        let mut child = self.child();
        ensure!(child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let name = command.get_program().to_string_lossy().into_owned();
        *child = Some(spawn(&mut command).with_context(|| format!("start {name}"))?);
        Ok(())
    }

    /// Waits until it `is_ready`.
    pub(crate) fn wait_until(&self, within: Duration, is_ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if is_ready() {
                return Ok(());
            }
            let mut child = self.child();
            let child = child.as_mut().context("it was not started")?;
            if let Some(status) = child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, self.log());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("{} is not ready after {within:?}:\n{}", self.name, self.log())
    }

    /// The process, while it runs.
    pub(crate) fn process_id(&self) -> Result<u32> {
        Ok(self.child().as_ref().context("it does not run")?.id())
    }

    /// Kills it, as a crash or the kernel would.
    pub(crate) fn kill(&self) -> Result<()> {
        let mut child = self.child().take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to stop, as a service manager does, without waiting for it.
    pub(crate) fn ask_to_stop(&self) -> Result<()> {
        let id = self.process_id()?;
        Ok(kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM)?)
    }

    /// Waits for its end.
    pub(crate) fn wait_until_ended(&self) -> Result<ExitStatus> {
        let mut child = self.child();
        let running = child.as_mut().context("it does not run")?;
        let mut status = None;
        eventually("the process ends", STOPPED_WITHIN, || {
            status = running.try_wait().ok().flatten();
            status.is_some()
        })?;
        *child = None;
        status.context("it has ended")
    }

    /// What it wrote, in all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("nobody panicked with the lock")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut()
            && let Some(mut child) = child.take()
        {
            // It may have ended by itself; the test has said what it thinks of that.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
            eprintln!("-- log of {}, the end of it:\n{last}", self.name);
        }
    }
}
