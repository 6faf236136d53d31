//! `cargo xtask VERB`: what the project does besides cargo's own build and check, one file a verb.
//!
//! | module | job |
//! |---|---|
//! | [`test`] | the three rings of tests, and all that they need installed |
//! | [`tidy`] | the invariants of the architecture that a program can check |
//! | [`ci`] | what continuous integration runs |
//! | [`setup`] | what a machine needs, how it is seen to be there, how it is installed |
//! | [`process`] | starting other programs |
//!
//! A verb is a file with `Options` (its command line) and `run`. An error it returns is printed
//! and the exit status is 1.

mod ci;
mod process;
mod setup;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// The verbs of Landfast. Each does its own set-up and says what it installs before it does.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Test(test::Options),
    Tidy(tidy::Options),
    Ci(ci::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Test(options) => test::run(&options),
        Verb::Tidy(options) => tidy::run(&options),
        Verb::Ci(options) => ci::run(&options),
    }
}
