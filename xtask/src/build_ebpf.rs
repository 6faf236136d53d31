//! `cargo xtask build-ebpf`: the kernel side from source to `edge-ebpf/object/`, the same bytes wherever the
//! project lies.
//!
//! The objects are committed, so that nobody else needs an eBPF toolchain; `--check` shows that
//! they are what the source says.

mod toolchain;

use std::path::PathBuf;
use std::{env, fs, io};

use anyhow::{Context, Result, bail};

use crate::process;
use toolchain::{Recorded, Toolchain};

const TARGET: &str = "bpfel-unknown-none";
/// A binary of `edge-ebpf`, and the object that it becomes.
struct Object {
    binary: &'static str,
    /// In the root of the repository.
    file: &'static str,
}

const OBJECTS: [Object; 2] = [PRODUCT, BENCH];
const PRODUCT: Object = Object { binary: "edge-ebpf", file: "edge-ebpf/object/landfast.o" };
/// What `cargo xtask bench xdp` loads, and nothing else.
const BENCH: Object = Object { binary: "edge-ebpf-bench", file: "edge-ebpf/object/bench.o" };
const RECORD: &str = "edge-ebpf/object/toolchain.toml";
/// The kernel ring tests this object where it is set, instead of the committed one.
const OBJECT_VARIABLE: &str = "LANDFAST_EBPF_OBJECT";

/// Build the kernel side from source to edge-ebpf/object/.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change nothing: fail where the committed object is not what the source gives. Under
    /// another toolchain than the recorded one, run the kernel ring against the fresh build.
    #[arg(long)]
    check: bool,
    /// Install what is missing of the toolchain first, and say so before.
    #[arg(long)]
    install: bool,
}

/// # Errors
/// Where the toolchain is not complete, in one sentence; where the build fails; and with
/// `--check` where the committed object differs or the kernel ring fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.install {
        toolchain::install()?;
    }
    let toolchain = Toolchain::find()?;
    eprintln!("building with {}", toolchain.versions);
    build(&toolchain)?;
    if options.check {
        return check(&toolchain.versions);
    }
    for object in OBJECTS {
        let file = process::root().join(object.file);
        fs::create_dir_all(file.parent().context("the object lies in a folder")?)?;
        let length = fs::copy(object.built(), file)?;
        eprintln!("{}: {length} bytes", object.file);
    }
    fs::write(process::root().join(RECORD), toolchain.versions.to_toml()?)?;
    Ok(())
}

impl Object {
    /// Where the build leaves it.
    fn built(&self) -> PathBuf {
        target_folder().join(self.binary).with_extension("o")
    }
}

fn target_folder() -> PathBuf {
    process::root().join("target/ebpf")
}

/// Compiles, links and strips.
fn build(toolchain: &Toolchain) -> Result<()> {
    let mut cargo = process::command(&toolchain.cargo);
    cargo
        .args(["build", "--release", "--locked", "--package", "edge-ebpf"])
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(target_folder())
        // rustup would put its own compiler in the place of the one asked for.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("RUSTC", &toolchain.rustc)
        // Nothing where the compiler is a nightly; otherwise it lets a stable one build core.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", toolchain.path()?)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain)?.join("\x1f"))
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        // The linker optimises the whole program by itself.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        // BTF, by which the verifier names lines of source, is made from it.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2");
    process::complete(&mut cargo)?;

    for object in OBJECTS {
        let linked = target_folder().join(TARGET).join("release").join(object.binary);
        let mut strip = process::command(&toolchain.strip);
        process::complete(strip.arg("-g").arg("-o").arg(object.built()).arg(linked))?;
    }
    Ok(())
}

fn flags(toolchain: &Toolchain) -> Result<Vec<String>> {
    // One folder a registry, named after it: there is one at least, xtask itself came from it.
    let registries = fs::read_dir(cargo_home()?.join("registry/src"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    let source = &toolchain.library_source;
    let resolved = source.canonicalize()?;
    // Paths would differ from machine to machine, and BTF holds them.
    let places = [(process::root(), "/landfast"), (source, "/rust"), (&resolved, "/rust")];
    let registries = registries.iter().map(|folder| (folder.as_path(), "/registry"));
    let mut flags: Vec<_> = places
        .into_iter()
        .chain(registries)
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect();
    flags.push("-Clink-arg=--btf".into());
    // Version 3 of the instruction set (Linux 5.1): comparisons and sums of 32 bits.
    flags.push("-Ctarget-cpu=v3".into());
    // Packets are read by the word at any place; without it each byte has its own load, and
    // there is not stack enough for them. What the verifier wants aligned is its stack only.
    flags.push("-Ctarget-feature=+allows-misaligned-mem-access".into());
    Ok(flags)
}

fn check(current: &Recorded) -> Result<()> {
    let record = fs::read_to_string(process::root().join(RECORD)).context(RECORD)?;
    let recorded = Recorded::from_toml(&record).context(RECORD)?;
    if recorded != *current {
        eprintln!("the committed objects were built by another toolchain: {recorded}");
        eprintln!("so the kernel ring runs against the fresh build");
        let mut ring = process::cargo();
        ring.args(["test", "--package", "tests", "--test", "cases", "kernel::"]);
        return process::complete(ring.env(OBJECT_VARIABLE, PRODUCT.built()));
    }
    for object in OBJECTS {
        let file = object.file;
        if fs::read(process::root().join(file))? != fs::read(object.built())? {
            bail!("{file} is not what the source gives: run `cargo xtask build-ebpf`, commit it");
        }
        eprintln!("{file} is what the source gives, byte for byte");
    }
    Ok(())
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::home_dir().context("neither CARGO_HOME nor HOME is set")?;
    Ok(home.join(".cargo"))
}
