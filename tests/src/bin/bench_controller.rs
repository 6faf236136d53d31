//! The figures of `cargo xtask bench controller`: usage `bench_controller [PART ...]`; of the
//! figures with one of these parts in their names only.
//!
//! Prints them as one line of JSON.

use anyhow::Result;
use tests::controller_cost::measure;

fn main() -> Result<()> {
    let only: Vec<String> = std::env::args().skip(1).collect();
    println!("{}", serde_json::to_string(&measure(&only)?)?);
    Ok(())
}
