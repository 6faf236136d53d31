//! The program `landfast-edge`. What it does is in the library; here is the command line.

mod cli;

use std::process::ExitCode;

// Worth 10 to 15 % of the CPU of a request: the engine allocates for each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
