//! Where the programs are that a fleet and its clients run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The edge: what `LANDFAST_EDGE` names, else built here, so that it is never an old one.
///
/// # Panics
/// Where it does not build.
pub fn edge() -> &'static Path {
    static EDGE: OnceLock<PathBuf> = OnceLock::new();
    EDGE.get_or_init(|| named_or_built("LANDFAST_EDGE", "edge-user", "landfast-edge"))
}

/// What `cargo xtask load` runs, built here.
///
/// # Panics
/// Where it does not build.
pub fn load() -> &'static Path {
    static LOAD: OnceLock<PathBuf> = OnceLock::new();
    LOAD.get_or_init(|| built("edge-user", "--example", "load").join("examples/load"))
}

/// The controller: what `LANDFAST_CONTROLLER` names, else built here.
///
/// # Panics
/// Where it does not build.
pub fn controller() -> &'static Path {
    static CONTROLLER: OnceLock<PathBuf> = OnceLock::new();
    CONTROLLER
        .get_or_init(|| named_or_built("LANDFAST_CONTROLLER", "controller", "landfast-controller"))
}

fn named_or_built(variable: &str, package: &str, program: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        return named.into();
    }
    built(package, "--bin", program).join(program)
}

/// Builds a program, and returns the directory in which binaries stand.
fn built(package: &str, kind: &str, program: &str) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", package, kind, program]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.current_dir(root()).status().expect("cargo runs: it built this test");
    assert!(status.success(), "{program} does not build");
    // Binaries stand beside `deps`, where the tests are, or beside another binary.
    let here = std::env::current_exe().expect("this program has a file");
    let directory = here.parent().expect("it is in a directory");
    if directory.ends_with("deps") { directory.join("..") } else { directory.into() }
}

/// Python with aioquic and pycurl: what `LANDFAST_PYTHON` names, else that of `.venv`.
///
/// # Panics
/// Where there is none.
pub fn python() -> PathBuf {
    let python = std::env::var_os("LANDFAST_PYTHON")
        .map_or_else(|| root().join(".venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "no {}: `cargo xtask test` installs it", python.display());
    python
}

/// A server that many have: what `LANDFAST_NGINX` names, else what is installed.
pub fn nginx() -> PathBuf {
    std::env::var_os("LANDFAST_NGINX").map_or_else(|| "nginx".into(), PathBuf::from)
}

/// Another one: what `LANDFAST_CADDY` names, else what is installed.
pub fn caddy() -> PathBuf {
    std::env::var_os("LANDFAST_CADDY").map_or_else(|| "caddy".into(), PathBuf::from)
}

/// What checks the rules of alerts: what `LANDFAST_PROMTOOL` names, else what is installed.
pub fn promtool() -> PathBuf {
    std::env::var_os("LANDFAST_PROMTOOL").map_or_else(|| "promtool".into(), PathBuf::from)
}

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    root().join(path)
}

/// A script of `tests/clients`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the repository")
}
