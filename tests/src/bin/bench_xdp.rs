//! The figures of `cargo xtask bench xdp`: usage `bench_xdp ROUNDS PACKETS [PART]`; with `PART` of
//! the paths with that in their names only.
//!
//! Prints them as one line of JSON.

use anyhow::{Context as _, Result};
use tests::steering_cost::{Effort, measure};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |what| arguments.next().context(what)?.parse().context(what);
    let effort = Effort { rounds: number("how many rounds?")?, packets: number("of how many?")? };
    let figures = measure(effort, &arguments.next().unwrap_or_default())?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
