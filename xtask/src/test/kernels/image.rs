//! The file system that a machine starts with: the test binary, the few programs that its cases
//! start, their libraries, the kernel's modules, and an `init`. It stays in memory.
//!
//! Packed with `cpio`, which initramfs-tools uses as well: owners, links and the format are its
//! matter, and no crate or code of ours.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::folder;
use super::package::Kernel;
use crate::process;

/// The first process: mounts, modules, the cases, off.
const INIT: &str = include_str!("init.sh");

/// An eBPF object to test instead of the committed one; given on to the cases.
const OBJECT_VARIABLE: &str = "LANDFAST_EBPF_OBJECT";

/// What cases read of the repository: the committed object, and frames that are kept as files. They
/// have the places that they have here, because the binary knows them by these.
const OF_THE_REPOSITORY: [&str; 2] = ["edge-ebpf/object", "tests"];

/// Folders that are mounted on, or written to.
const FOLDERS: [&str; 8] = ["bin", "dev", "proc", "run", "sbin", "sys", "tmp", "var"];

/// Programs that `init` and the cases start, and their places.
const PROGRAMS: [(&str, &str); 4] = [
    ("busybox", "bin/busybox"),
    ("ip", "bin/ip"),
    ("ethtool", "bin/ethtool"),
    ("modprobe", "sbin/modprobe"),
];

/// How many cases run at a time: as many as the machine has CPUs.
const THREADS: &str = "2";

/// What goes into a machine's file system.
pub(super) struct Image<'a> {
    pub(super) kernel: &'a Kernel,
    /// The cases.
    pub(super) binary: &'a Path,
    /// Modules to load before them.
    pub(super) modules: &'a [&'a str],
    /// Names of the cases to run.
    pub(super) names: &'a [String],
}

impl Image<'_> {
    /// The packed file system.
    ///
    /// # Errors
    /// Where a program, a library or a module is not to be had, or there is no room.
    pub(super) fn pack(&self) -> Result<PathBuf> {
        let root = folder()?.join("root");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        for name in FOLDERS {
            fs::create_dir_all(root.join(name))?;
        }
        // iproute2 keeps names of network namespaces below /var/run.
        std::os::unix::fs::symlink("/run", root.join("var/run"))?;
        add_program(&root, self.binary, "bin/cases")?;
        for (name, place) in PROGRAMS {
            let program = process::find(name).with_context(|| format!("{name} is missing"))?;
            add_program(&root, &program, place)?;
        }
        self.add_modules(&root)?;
        add_repository(&root)?;
        fs::write(root.join("load-modules"), self.load_modules())?;
        fs::write(root.join("run-cases"), self.run_cases(&root)?)?;
        fs::write(root.join("init"), INIT)?;
        fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;

        let packed = folder()?.join(format!("{}.cpio", self.kernel.release));
        pack(&root, &packed)?;
        Ok(packed)
    }

    /// The modules with all that they need, and the files that `modprobe` reads.
    fn add_modules(&self, root: &Path) -> Result<()> {
        let Kernel { release, .. } = self.kernel;
        let tree = self.kernel.tree();
        let mut modprobe = process::command(process::find("modprobe").context("no modprobe")?);
        // Without this host's configuration, whose options would stand behind the names.
        modprobe.args(["--config", "/dev/null", "--set-version", release]);
        modprobe.arg("--dirname").arg(tree);
        modprobe.args(["--show-depends", "--all"]).args(self.modules);
        for line in process::output(&mut modprobe)?.lines() {
            // The others are `builtin NAME`.
            if let Some(file) = line.strip_prefix("insmod ") {
                let file = Path::new(file.trim());
                add(root, file, file.strip_prefix(tree).context("a module of another kernel")?)?;
            }
        }
        let place = Path::new("lib/modules").join(release);
        for entry in fs::read_dir(tree.join(&place))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("modules.") {
                add(root, &entry.path(), &place.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    fn load_modules(&self) -> String {
        // By its path: busybox's shell has a `modprobe` of its own, which knows less.
        format!("exec /sbin/modprobe --all {}\n", self.modules.join(" "))
    }

    /// The names are paths of Rust's: nothing in them means something to a shell.
    fn run_cases(&self, root: &Path) -> Result<String> {
        let mut script = String::new();
        if let Some(object) = std::env::var_os(OBJECT_VARIABLE) {
            add(root, Path::new(&object), Path::new("object.o"))?;
            script += &format!("export {OBJECT_VARIABLE}=/object.o\n");
        }
        let names = self.names.join(" ");
        script += &format!("exec cases --color never --test-threads {THREADS} --exact {names}\n");
        Ok(script)
    }
}

fn add_repository(root: &Path) -> Result<()> {
    let repository = process::root();
    let to = root.join(repository.strip_prefix("/").context("the repository has no full path")?);
    fs::create_dir_all(&to)?;
    let mut copy = process::command("cp");
    process::complete(copy.args(["--recursive", "--parents"]).args(OF_THE_REPOSITORY).arg(to))
}

/// Adds a program and the libraries it is linked to, each at its own path.
fn add_program(root: &Path, program: &Path, place: &str) -> Result<()> {
    add(root, program, Path::new(place))?;
    // Of a program without libraries it says so, and fails.
    let output = process::command("ldd").arg(program).output().context("cannot start ldd")?;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    for library in output.split_whitespace().filter(|word| word.starts_with('/')) {
        let library = library.trim_end_matches(':');
        add(root, Path::new(library), Path::new(library.trim_start_matches('/')))?;
    }
    Ok(())
}

/// Adds a file, with its mode; of a link what it leads to.
fn add(root: &Path, file: &Path, place: &Path) -> Result<()> {
    let to = root.join(place);
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::copy(file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

/// Packs all below `root` into `file`, in the form that kernels unpack (`newc`).
fn pack(root: &Path, file: &Path) -> Result<()> {
    let names = process::output(process::command("find").arg(".").current_dir(root))?;
    let mut cpio = process::command("cpio");
    cpio.args(["--create", "--format=newc", "--owner=0:0", "--quiet"]).current_dir(root);
    cpio.stdin(Stdio::piped()).stdout(fs::File::create(file).context("cannot write the image")?);
    let mut child = cpio.spawn().context("cannot start cpio")?;
    child.stdin.take().context("cpio has no input")?.write_all(names.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "cpio ended with {status}");
    Ok(())
}
