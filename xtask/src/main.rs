//! `cargo xtask VERB`: what the project does besides cargo's own build and check, one file a verb.
//!
//! | module | job |
//! |---|---|
//! | [`build_ebpf`] | the kernel side from source to the object that is committed |
//! | [`mod@test`] | the rings of tests, and all that they need installed |
//! | [`run`] | a working edge on this machine |
//! | [`tidy`] | the invariants of the architecture that a program can check |
//! | [`demo`] | a fleet with a controller, told in plain words |
//! | [`stickiness`] | how many connections survive, with steering and without |
//! | [`coalescing`] | how many connections browsers need for several names |
//! | [`mod@bench`] | what a packet, a request, a connection costs, beside something known |
//! | [`load`] | the XDP program on an interface, its counters live |
//! | [`ci`] | what continuous integration runs |
//! | [`setup`] | what a machine needs, how it is seen to be there, how it is installed |
//! | [`debian`] | packages from Debian's archive that are unpacked and not installed |
//! | [`process`] | starting other programs |
//!
//! A verb is a file with `Options` (its command line) and `run`. An error it returns is printed
//! and the exit status is 1.

mod bench;
mod build_ebpf;
mod ci;
mod coalescing;
mod debian;
mod demo;
mod load;
mod process;
mod run;
mod setup;
mod stickiness;
mod test;
mod tidy;

use std::process::ExitCode;

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
    BuildEbpf(build_ebpf::Options),
    Test(test::Options),
    Run(run::Options),
    Demo(demo::Options),
    Load(load::Options),
    Stickiness(stickiness::Options),
    Coalescing(coalescing::Options),
    Bench(bench::Options),
    Tidy(tidy::Options),
    Ci(ci::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::BuildEbpf(options) => build_ebpf::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Run(options) => run::run(&options),
        Verb::Demo(options) => demo::run(&options),
        Verb::Load(options) => load::run(&options),
        Verb::Stickiness(options) => stickiness::run(&options),
        Verb::Coalescing(options) => coalescing::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Tidy(options) => tidy::run(&options),
        Verb::Ci(options) => ci::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // On one line and without a backtrace: it says what to do, not where xtask was.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
