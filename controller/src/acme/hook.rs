//! The command that sets and removes TXT records for DNS-01:
//!
//! ```text
//! HOOK present _acme-challenge.example.com VALUE
//! HOOK cleanup _acme-challenge.example.com VALUE
//! ```
//!
//! It gets nothing of our environment but a `PATH`, no input, and a bounded time; it succeeds with
//! exit code 0. `present` returns once the authority would find the record.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::words::Trouble;
use crate::{foreign, limits};

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
    let child = Command::new(hook)
        .args([deed, &format!("_acme-challenge.{name}"), value])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Trouble::ours(format!("{shown} cannot be run: {error}")))?;
    let (status, said) = tokio::time::timeout(limits::HOOK_WITHIN, ended(child))
        .await
        .map_err(|_| {
            Trouble::ours(format!("{shown} {deed} took more than {:?}", limits::HOOK_WITHIN))
        })?
        .map_err(|error| Trouble::ours(format!("{shown} cannot be run: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let said = foreign::words(&String::from_utf8_lossy(&said), limits::HOOK_SHOWN_BYTES);
    Err(Trouble::ours(format!("{shown} {deed} {name} failed ({status}): {said}")))
}

/// How it ended, and the beginning of what it said: a command that says more is heard to its end,
/// and nothing of it is kept.
async fn ended(mut child: Child) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut said = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.take(limits::HOOK_SHOWN_BYTES as u64).read_to_end(&mut said).await?;
        tokio::io::copy(stderr, &mut tokio::io::sink()).await?;
    }
    Ok((child.wait().await?, said))
}
