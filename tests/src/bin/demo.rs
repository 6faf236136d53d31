//! What `cargo xtask demo` plays. Words go to standard error, one line of JSON to standard output.
//! Told to end, it removes what it has made first.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use tests::demo::{Story, play};
use tests::fleet::namespace::remove_all_of_this_process;

/// As a shell has it: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match played() {
        Ok(Some(story)) => {
            println!("{}", serde_json::to_string(&story).expect("names and numbers"));
            ExitCode::SUCCESS
        }
        Ok(None) => {
            eprintln!("\nremoving everything");
            remove_all_of_this_process();
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What was played; nothing, where we were told to end before.
fn played() -> Result<Option<Story>> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Threads that are started later hold them back, too: only the one below takes them.
    signals.thread_block().context("signals cannot be held back")?;
    let (ended, end) = mpsc::sync_channel(2);
    let told = ended.clone();
    thread::spawn(move || {
        // It fails where the set is empty, which it is not; nobody hears it after the end.
        let _ = signals.wait();
        let _ = told.send(Ok(None));
    });
    thread::spawn(move || {
        let _ = ended.send(play().map(Some)); // nobody hears it where we were told to end
    });
    end.recv().context("the demo panicked")?
}
