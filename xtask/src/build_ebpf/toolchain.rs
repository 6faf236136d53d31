//! The eBPF toolchain: found, named, or installed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fmt};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::cargo_home;
use crate::{process, setup};

/// The LLVM that bpf-linker is built with. It reads bitcode of compilers up to this one.
const LLVM: u32 = 22;
const LINKER_VERSION: &str = "0.13.0";
/// Debian's own compiler with core's source, and LLVM.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev"];

/// A complete toolchain.
pub(super) struct Toolchain {
    pub(super) cargo: PathBuf,
    pub(super) rustc: PathBuf,
    /// Where the source of core is.
    pub(super) library_source: PathBuf,
    /// llvm-strip.
    pub(super) strip: PathBuf,
    linker: PathBuf,
    pub(super) versions: Recorded,
}

/// The versions that decide about the object's bytes; `toolchain.toml` beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) rustc: String,
    bpf_linker: String,
    llvm: String,
}

impl Recorded {
    pub(super) fn to_toml(&self) -> Result<String> {
        let head = "# What built the objects; written by `cargo xtask build-ebpf`.\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }

    pub(super) fn from_toml(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.rustc, self.bpf_linker, self.llvm)
    }
}

/// Compiler, Cargo and the source of core.
struct Compiler {
    cargo: PathBuf,
    rustc: PathBuf,
    library_source: PathBuf,
}

impl Toolchain {
    /// The toolchain of this machine.
    ///
    /// # Errors
    /// In one sentence, what to install.
    pub(super) fn find() -> Result<Self> {
        let (Some(compiler), Some(strip), Some(linker)) = (compiler(), strip(), linker()) else {
            bail!(
                "the eBPF toolchain is not complete: run `cargo xtask build-ebpf --install`, which \
                 does `apt-get install --no-install-recommends {}` and `cargo install bpf-linker \
                 --version {LINKER_VERSION}` where they are missing",
                PACKAGES.join(" ")
            );
        };
        let versions = Recorded {
            rustc: first_line(&compiler.rustc, "--version")?,
            bpf_linker: first_line(&linker, "--version")?,
            llvm: llvm_version(&strip)?,
        };
        let Compiler { cargo, rustc, library_source } = compiler;
        Ok(Self { cargo, rustc, library_source, strip, linker, versions })
    }

    /// The search path, with the linker's folder in front: the compiler looks it up by its name.
    pub(super) fn path(&self) -> Result<OsString> {
        let folder = self.linker.parent().context("bpf-linker lies in a folder")?;
        let rest = env::var_os("PATH").unwrap_or_default();
        let folders = [folder.to_path_buf()].into_iter().chain(env::split_paths(&rest));
        Ok(env::join_paths(folders)?)
    }
}

/// Installs what is missing, after saying so.
///
/// # Errors
/// Where root is needed and we are not root: with the command to type. Where installing fails.
pub(super) fn install() -> Result<()> {
    if compiler().is_none() || strip().is_none() {
        eprintln!("to install: Debian's {}, to build the kernel side", PACKAGES.join(", "));
        setup::install(&PACKAGES)?;
    }
    if linker().is_none() {
        eprintln!("to install: bpf-linker {LINKER_VERSION} from crates.io, about a minute");
        let prefix = format!("/usr/lib/llvm-{LLVM}");
        let mut cargo = process::cargo();
        cargo
            .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--no-default-features"])
            .args(["--features", &format!("llvm-{LLVM}")])
            .env("RUSTFLAGS", format!("-L{prefix}/lib -Clink-arg=-Wl,-rpath,{prefix}/lib"))
            .env("LLVM_SYS_221_PREFIX", &prefix);
        process::complete(&mut cargo)?;
    }
    Ok(())
}

/// rustup's nightly where it has the source of core, Debian's compiler otherwise.
fn compiler() -> Option<Compiler> {
    [nightly(), debian()].into_iter().flatten().find(|compiler| {
        // A newer compiler's bitcode is nothing that the linker reads.
        bitcode_version(&compiler.rustc).is_some_and(|version| version <= LLVM)
    })
}

/// The compiler's own LLVM.
fn bitcode_version(rustc: &Path) -> Option<u32> {
    let text = output(rustc, &["--version", "--verbose"])?;
    let version = text.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

fn nightly() -> Option<Compiler> {
    let which = |program| {
        let path = output(Path::new("rustup"), &["which", "--toolchain", "nightly", program])?;
        Some(PathBuf::from(path.trim()))
    };
    with_source(which("cargo")?, which("rustc")?)
}

fn debian() -> Option<Compiler> {
    with_source("/usr/bin/cargo".into(), "/usr/bin/rustc".into())
}

fn with_source(cargo: PathBuf, rustc: PathBuf) -> Option<Compiler> {
    let sysroot = output(&rustc, &["--print", "sysroot"])?;
    let library_source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    let complete = cargo.exists() && library_source.join("library/core/Cargo.toml").exists();
    complete.then_some(Compiler { cargo, rustc, library_source })
}

fn strip() -> Option<PathBuf> {
    let own = PathBuf::from(format!("/usr/lib/llvm-{LLVM}/bin/llvm-strip"));
    Some(own).filter(|path| path.is_file()).or_else(|| process::find(&format!("llvm-strip-{LLVM}")))
}

fn linker() -> Option<PathBuf> {
    let own = cargo_home().ok()?.join("bin/bpf-linker");
    let path = Some(own).filter(|path| path.is_file()).or_else(|| process::find("bpf-linker"))?;
    let version = first_line(&path, "--version").ok()?;
    version.ends_with(LINKER_VERSION).then_some(path)
}

fn llvm_version(strip: &Path) -> Result<String> {
    let text = output(strip, &["--version"]).context("llvm-strip says no version")?;
    let line = text.lines().find(|line| line.contains("LLVM version"));
    Ok(line.context("llvm-strip says no version")?.trim().to_owned())
}

fn first_line(program: &Path, argument: &str) -> Result<String> {
    let text = output(program, &[argument]);
    let line = text.as_deref().and_then(|text| text.lines().next());
    Ok(line.with_context(|| format!("{} {argument} fails", program.display()))?.to_owned())
}

/// What a program prints; `None` where it is missing or fails.
fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = process::command(program);
    // rustup would put the project's own compiler in the place of the one asked for.
    command.args(arguments).env_remove("RUSTUP_TOOLCHAIN");
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
