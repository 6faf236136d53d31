//! The command that sets and removes TXT records for DNS-01:
//!
//! ```text
//! HOOK present _acme-challenge.example.com VALUE
//! HOOK cleanup _acme-challenge.example.com VALUE
//! ```
//!
//! It gets nothing of our environment but a `PATH`, no input, and a bounded time; it succeeds with
//! exit code 0. `present` returns once the authority would find the record.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::words::Trouble;

/// How long the command has: providers of DNS take their time.
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of what it says that are shown.
const SHOWN_BYTES: usize = 500;

/// What the command should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Set the record, beside others of the same name.
    Present,
    /// Remove it, if it is there.
    Cleanup,
}

/// Runs the command for the challenge of `name`.
///
/// # Errors
/// Where it cannot be run, fails, or takes too long.
pub async fn run(hook: &Path, deed: Deed, name: &str, value: &str) -> Result<(), Trouble> {
    let deed = match deed {
        Deed::Present => "present",
        Deed::Cleanup => "cleanup",
    };
    let shown = hook.display();
    let output = Command::new(hook)
        .args([deed, &format!("_acme-challenge.{name}"), value])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIMEOUT, output)
        .await
        .map_err(|_| Trouble::ours(format!("{shown} {deed} took more than {TIMEOUT:?}")))?
        .map_err(|error| Trouble::ours(format!("{shown} cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.chars().filter(|c| !c.is_control()).take(SHOWN_BYTES).collect();
    Err(Trouble::ours(format!("{shown} {deed} {name} failed ({}): {said}", output.status)))
}
