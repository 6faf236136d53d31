//! The load of HTTP/2: h2load, which nobody of this project wrote.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bench::cost::{self, Core};
use crate::bench::rounds::Effort;
use crate::bench::server::SERVER_NAME;
use crate::process;

/// How much is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) connections: usize,
    /// Requests in progress on each.
    pub(super) streams: usize,
    /// Requests of all connections.
    pub(super) requests: usize,
}

impl Asked {
    /// As much as this effort asks.
    pub(super) fn of(self, effort: Effort) -> Self {
        Self { requests: self.requests / effort.divisor, ..self }
    }
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    /// Answers that were whole, and 200.
    pub(super) answers: u64,
    pub(super) per_second: f64,
}

/// Asks for a path by HTTP/2 over TLS.
///
/// # Errors
/// Where an answer is missing, or is another one than 200.
pub(super) fn run(asked: &Asked, server: SocketAddr, path: &str) -> Result<Answered> {
    let mut command = over_tls(asked, server, path);
    command.arg("-n").arg(asked.requests.to_string());
    ask(command)
}

/// Asks at a steady rate, of so many requests a second in all, for so many milliseconds, and writes
/// to `log` how long each answer took.
///
/// # Errors
/// As [`run`].
pub(super) fn at_rate(
    mut command: Command,
    connections: usize,
    (per_second, milliseconds): (f64, u128),
    log: &Path,
) -> Result<Answered> {
    let rate = (per_second / connections as f64).max(1.0);
    command.arg(format!("--rps={rate:.0}")).arg(format!("--duration={milliseconds}ms"));
    command.arg("--log-file").arg(log);
    ask(command)
}

/// h2load by HTTP/2 over TLS, without an end.
pub(super) fn over_tls(asked: &Asked, server: SocketAddr, path: &str) -> Command {
    let mut command = process::command("h2load");
    command.args(numbers(asked)).arg(format!("--connect-to={server}"));
    command.arg(format!("https://{SERVER_NAME}:{}{path}", server.port()));
    command
}

/// h2load by HTTP/1.1 in clear, without an end.
pub(super) fn in_clear(asked: &Asked, server: SocketAddr, path: &str) -> Command {
    let mut command = process::command("h2load");
    command.args(numbers(asked)).arg("--h1").arg(format!("http://{server}{path}"));
    command
}

fn numbers(asked: &Asked) -> [String; 3] {
    let Asked { connections, streams, .. } = asked;
    [
        format!("--clients={connections}"),
        format!("--max-concurrent-streams={streams}"),
        "-t1".into(),
    ]
}

fn ask(mut command: Command) -> Result<Answered> {
    let line = process::shown(&command);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let child = cost::on(Core::Client, || command.spawn().context("h2load"))?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{line} ended with {}", output.status);
    let answered = answered(&text).with_context(|| format!("{line} said: {text}"))?;
    ensure!(answered.answers > 0, "{line} had no answer");
    Ok(answered)
}

/// Of what h2load says at its end. Nothing, where an answer failed, or was none of 2xx.
fn answered(text: &str) -> Option<Answered> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let number = |words: &str, of: &str| -> Option<u64> {
        words.split(", ").find_map(|part| part.trim().strip_suffix(of)?.trim().parse().ok())
    };
    let requests = line("requests: ")?;
    let answers = number(requests, " succeeded")?;
    let lost = [" failed", " errored", " timeout"].map(|of| number(requests, of));
    let others =
        line("status codes: ").map(|codes| [" 3xx", " 4xx", " 5xx"].map(|of| number(codes, of)))?;
    let good = lost.iter().chain(&others).all(|count| *count == Some(0));
    let (_, finished) = line("finished in ")?.split_once(", ")?;
    let (per_second, _) = finished.split_once(" req/s")?;
    good.then_some(Answered { answers, per_second: per_second.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
starting benchmark...
TLS Protocol: TLSv1.3
progress: 100% done

finished in 501.21ms, 99757.80 req/s, 103.89MB/s
requests: 50000 total, 50000 started, 50000 done, 50000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 50000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 52.07MB (54600150) total, 1.14MB (1200080) headers (space savings 89.00%), 48.83MB data
";

    #[test]
    fn answers_and_their_rate_are_read() {
        let expected = Answered { answers: 50_000, per_second: 99_757.8 };
        assert_eq!(answered(SAID), Some(expected));
    }

    #[test]
    fn a_load_of_which_any_answer_is_bad_is_none() {
        assert_eq!(answered(&SAID.replace("0 5xx", "1 5xx")), None);
        assert_eq!(answered(&SAID.replace("0 failed", "1 failed")), None);
        assert_eq!(answered(&SAID.replace("0 timeout", "7 timeout")), None);
        assert_eq!(answered("starting benchmark...\n"), None);
    }
}
