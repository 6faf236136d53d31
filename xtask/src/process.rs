//! Starting other programs: where they are, what they printed, how they ended.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Where administrators' programs are; not in the `PATH` of an ordinary Debian user.
const ADMINISTRATORS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// Whether this process may attach programs to the kernel and make network namespaces.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The file that `name` would start.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(ADMINISTRATORS.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// `name`, to be started in the root of the repository.
pub(crate) fn command(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// The cargo that built us.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end, its output shown on standard error: ours is for what was asked for, which with
/// `--json` is one line.
///
/// # Errors
/// Where it does not start, or does not end with status 0.
pub(crate) fn complete(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.stdout(std::io::stderr()).status();
    let status = status.with_context(|| format!("cannot start {line}"))?;
    ensure!(status.success(), "{line} ended with {status}");
    Ok(())
}

/// Runs to the end, its standard output returned, its errors shown.
///
/// # Errors
/// As [`complete`]; and where the output is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {line}"))?;
    ensure!(output.status.success(), "{line} ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{line} did not print UTF-8"))
}

/// Runs to the end with `text` on its standard input, its output hidden, its errors shown.
///
/// # Errors
/// As [`complete`].
pub(crate) fn feed(command: &mut Command, text: &str) -> Result<()> {
    let line = shown(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {line}"))?;
    child.stdin.take().context("it has no standard input")?.write_all(text.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "{line} ended with {status}");
    Ok(())
}

/// Whether it runs to the end with status 0, its output hidden. For probes only.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Builds the binary `name` of `package` and gives its place.
///
/// # Errors
/// Where it does not build.
pub(crate) fn build(package: &str, name: &str, release: bool) -> Result<PathBuf> {
    let mut cargo = cargo();
    match release {
        true => cargo.args(["build", "--release", "--package", package]),
        // With the features that the tests' build has, so that nothing is built twice.
        false => cargo.args(["build", "--workspace"]),
    };
    cargo.args(["--bin", name, "--message-format=json-render-diagnostics"]);
    for line in output(&mut cargo)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if message["target"]["name"] == name
            && let Some(file) = message["executable"].as_str()
        {
            return Ok(file.into());
        }
    }
    bail!("cargo built {package} but named no executable {name}")
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
