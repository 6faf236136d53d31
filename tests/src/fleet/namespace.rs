//! A network namespace: made, entered, and gone when it is dropped.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns};

/// What every name begins with, in front of the process ID: "Landfast bed".
const PREFIX: &str = "lfb";
const NAMED: &str = "/run/netns";
const BPFFS: &str = "/sys/fs/bpf";

/// The name of a bed, which no other bed of this machine has: namespaces, pins and temporary
/// directories are named after it.
#[derive(Clone, Debug)]
pub struct BedName(String);

impl BedName {
    /// A new name. Sweeps what dead processes left behind, once in a process.
    #[must_use]
    pub fn unique() -> Self {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(sweep);
        let bed = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{PREFIX}-{}-{bed}", std::process::id()))
    }

    /// The namespace `part` of this bed. It need not exist.
    #[must_use]
    pub fn namespace(&self, part: &str) -> Namespace {
        Namespace { name: format!("{}-{part}", self.0) }
    }

    /// Where the node `part` pins its programs and maps.
    #[must_use]
    pub fn pin_directory(&self, part: &str) -> PathBuf {
        Path::new(BPFFS).join(format!("{}-{part}", self.0))
    }

    /// A directory for files of this bed.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        std::env::temp_dir().join(&self.0)
    }
}

/// A named network namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// As `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes it.
    ///
    /// # Errors
    /// Where the kernel refuses, usually because this is not root.
    pub fn add(&self) -> Result<()> {
        ip_batch(&format!("netns add {}\n", self.name))
    }

    /// Runs `work` on a thread inside the namespace. Processes started there are in it too, and
    /// see this machine's bpffs, which `ip netns exec` would hide.
    ///
    /// # Panics
    /// Where the namespace is gone, and where `work` panics.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.join();
                work()
            });
            match worker.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a thread inside the namespace.
    ///
    /// # Panics
    /// The thread does, where the namespace is gone.
    pub fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let namespace = self.clone();
        thread::spawn(move || {
            namespace.join();
            work()
        })
    }

    fn join(&self) {
        let file = File::open(Path::new(NAMED).join(&self.name))
            .unwrap_or_else(|error| panic!("open namespace {}: {error}", self.name));
        setns(file, CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|error| panic!("enter namespace {}: {error}", self.name));
    }

    /// Runs lines of `ip` inside the namespace.
    ///
    /// # Errors
    /// Where `ip` refuses one.
    pub fn ip(&self, lines: &str) -> Result<()> {
        self.enter(|| ip_batch(lines)).with_context(|| format!("in namespace {}", self.name))
    }

    /// Runs a program inside the namespace and returns what it printed.
    ///
    /// # Errors
    /// Where it cannot be started or does not succeed.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        self.enter(|| {
            let output =
                Command::new(program).args(arguments).output().context(program.to_owned())?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{program} {arguments:?}: {}: {said}", output.status);
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })
    }

    /// Writes values below `/proc/sys/net`.
    ///
    /// # Errors
    /// Where the kernel has no such setting.
    pub fn set(&self, settings: &[(&str, u32)]) -> Result<()> {
        self.enter(|| {
            settings.iter().try_for_each(|(name, value)| {
                fs::write(Path::new("/proc/sys/net").join(name), value.to_string())
                    .with_context(|| format!("set {name} in {}", self.name))
            })
        })
    }
}

/// Runs lines of `ip` in the namespace of the calling thread.
///
/// # Errors
/// Where `ip` refuses one.
pub fn ip_batch(lines: &str) -> Result<()> {
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start ip")?;
    ip.stdin.take().context("ip has no stdin")?.write_all(lines.as_bytes())?;
    let output = ip.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip -batch: {said}\n{lines}");
    Ok(())
}

/// Makes the BPF file system visible where the machine has not mounted it.
///
/// # Errors
/// Where it cannot be mounted, for instance without privilege.
pub fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some(BPFFS)) {
        return Ok(());
    }
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("bpf"), BPFFS, Some("bpf"), flags, None::<&str>)
        .context("mount bpffs at /sys/fs/bpf")
}

/// Ends what is left of beds whose process is dead: processes, namespaces, pins, files.
fn sweep() {
    remove(is_orphan);
}

/// Ends every bed of this process, also one that another thread still uses: for a process that is
/// told to end at once.
pub fn remove_all_of_this_process() {
    let ours = format!("{PREFIX}-{}-", std::process::id());
    remove(|name| name.starts_with(&ours));
}

fn remove(is_wanted: impl Fn(&str) -> bool) {
    for name in names(Path::new(NAMED)).filter(|name| is_wanted(name)) {
        remove_namespaces(&[Namespace { name }]);
    }
    for directory in [Path::new(BPFFS), &std::env::temp_dir()] {
        for name in names(directory).filter(|name| is_wanted(name)) {
            let _ = fs::remove_dir_all(directory.join(name)); // another sweep was faster
        }
    }
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

fn is_orphan(name: &str) -> bool {
    let mut parts = name.split('-');
    parts.next() == Some(PREFIX)
        && parts
            .next()
            .and_then(|pid| pid.parse::<u32>().ok())
            .is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// Removes namespaces with the processes in them.
pub fn remove_namespaces(namespaces: &[Namespace]) {
    let mut lines = String::new();
    for Namespace { name } in namespaces {
        end_processes(name);
        lines += &format!("netns del {name}\n");
    }
    // This runs on the way out, perhaps of a panic: a failure is told, not thrown.
    if let Err(error) = ip_batch(&lines) {
        eprintln!("remove namespaces: {error:#}");
    }
}

fn end_processes(namespace: &str) {
    let Ok(output) = Command::new("ip").args(["netns", "pids", namespace]).output() else { return };
    for pid in String::from_utf8_lossy(&output.stdout).lines() {
        // Threads of this process that entered the namespace are listed under its own ID.
        if let Ok(pid) = pid.parse::<u32>()
            && pid != std::process::id()
        {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL); // ended by itself
        }
    }
}
