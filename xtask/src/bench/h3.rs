//! `cargo xtask bench h3`.

use anyhow::{Result, bail};

use super::Figure;

/// # Errors
/// Always: what it starts comes with a later commit.
pub(super) fn run() -> Result<Vec<Figure>> {
    bail!("the measuring of HTTP/3 comes with a later commit")
}
