//! The program `landfast-controller`. What it does is in the library; here is the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
