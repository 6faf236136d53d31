//! `cargo xtask load`: `steer_node` on an interface of this machine, with an empty table. It passes
//! every packet and counts why; on Ctrl-C, or after `--seconds`, it is gone without a trace.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use edge_user::steering::{Steering, SteeringError, Trace};
use edge_wire::Reason;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Interval, interval, sleep_until};

/// Between two lines of counters.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Attaches the XDP program to an interface, shows its counters live, and detaches it on Ctrl-C.
/// Packets are counted and passed, none is forwarded.
#[derive(Parser)]
#[command(name = "cargo xtask load", bin_name = "cargo xtask load")]
struct Options {
    /// The interface.
    #[arg(long, value_name = "DEV")]
    iface: String,
    /// The UDP port whose packets are read as QUIC.
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// Attach in the kernel's generic path, for drivers without native XDP.
    #[arg(long)]
    generic: bool,
    /// Print verdicts: about one packet in N, every one where no number is given.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    trace: Option<u32>,
    /// End by itself after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Print one line of JSON on standard output at the end, and words on standard error only.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match load(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is attached: from here on a signal ends the loop, not the process.
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut steering = Steering::observe(&options.iface, options.port, !options.generic)?;
        let trace = options.trace.map(|one_in| {
            let json = options.json;
            steering.trace(one_in, move |line| say(json, line))
        });
        say(options.json, &format!("steer_node runs on {}; Ctrl-C ends it", options.iface));
        let began = Instant::now();
        tokio::select! {
            result = show(&steering, options.json) => result?,
            () = read(trace.transpose()?) => {}
            () = over(began, options.seconds) => {}
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        let counts = steering.reasons()?.node;
        steering.detach()?;
        if options.json {
            println!("{}", summary(options, began.elapsed(), &counts));
        } else {
            say(false, &format!("detached from {}", options.iface));
        }
        Ok(())
    })
}

/// Words belong on standard error where standard output is JSON.
fn say(json: bool, line: &str) {
    if json { eprintln!("{line}") } else { println!("{line}") }
}

async fn over(began: Instant, seconds: Option<u64>) {
    match seconds {
        Some(seconds) => sleep_until((began + Duration::from_secs(seconds)).into()).await,
        None => std::future::pending().await,
    }
}

async fn read(trace: Option<Trace>) {
    match trace {
        Some(trace) => match trace.follow().await {},
        None => std::future::pending().await,
    }
}

/// Shows the counters for as long as they can be read: the sum of each, and what the last second
/// added.
async fn show(steering: &Steering, json: bool) -> Result<(), SteeringError> {
    let mut ticks: Interval = interval(SHOW_EVERY);
    ticks.tick().await;
    let mut last = steering.reasons()?.node;
    loop {
        ticks.tick().await;
        let counts = steering.reasons()?.node;
        let shown: Vec<String> = Reason::ALL
            .iter()
            .filter(|reason| counts[**reason as usize] != 0)
            .map(|reason| {
                let index = *reason as usize;
                format!("{} {} (+{})", reason.name(), counts[index], counts[index] - last[index])
            })
            .collect();
        say(json, &if shown.is_empty() { "no packets yet".into() } else { shown.join("  ") });
        last = counts;
    }
}

fn summary(options: &Options, elapsed: Duration, counts: &[u64]) -> serde_json::Value {
    let packets: serde_json::Map<_, _> = Reason::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), counts[*reason as usize].into()))
        .collect();
    serde_json::json!({
        "interface": options.iface,
        "mode": if options.generic { "generic" } else { "native" },
        "seconds": elapsed.as_secs_f64(),
        "packets": packets,
    })
}
