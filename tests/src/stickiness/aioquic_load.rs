//! Busy connections of aioquic, in a process of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::tally::{Phase, Tally};
use super::{ANSWER_WITHIN, BETWEEN_HANDSHAKES, BETWEEN_REQUESTS, LEAST_REQUESTS};
use crate::credentials::SERVER_NAME;
use crate::fleet::client::second_address;
use crate::fleet::{ANYCAST, Client, PORT, programs};

/// The process. Dropping it ends it.
pub(super) struct AioquicLoad {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl AioquicLoad {
    /// Begins to make `connections`, half of them over each family.
    pub(super) fn start(client: &Client, connections: usize) -> Result<Self> {
        let mut python = Command::new(programs::python());
        python.arg(programs::script("aioquic_load.py"));
        python.arg(client.authority()).args([
            SERVER_NAME,
            &PORT.to_string(),
            &connections.to_string(),
        ]);
        python.args(
            [ANSWER_WITHIN, BETWEEN_HANDSHAKES, BETWEEN_REQUESTS]
                .map(|time| time.as_secs_f64().to_string()),
        );
        python.arg(LEAST_REQUESTS.to_string());
        python.args(ANYCAST.map(|address| address.to_string()));
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = client.namespace().enter(|| python.spawn()).context("start python")?;
        let input = process.stdin.take().context("python has no stdin")?;
        let output = process.stdout.take().context("python has no stdout")?;
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    /// Waits until every connection is made.
    pub(super) fn wait_connected(&mut self) -> Result<()> {
        self.expect_done()
    }

    pub(super) fn set_phase(&mut self, phase: Phase) -> Result<()> {
        let word = match phase {
            Phase::Before => "before",
            Phase::Event => "event",
            Phase::After => "after",
            Phase::Finish => "finish",
        };
        self.tell(&format!("phase {word}"))
    }

    /// Every socket is left for one on another port.
    pub(super) fn change_ports(&mut self) -> Result<()> {
        self.tell("rebind")?;
        self.expect_done()
    }

    /// Every socket is left for one on the second address.
    pub(super) fn change_addresses(&mut self) -> Result<()> {
        let [ipv4, ipv6] = ANYCAST.map(second_address);
        self.tell(&format!("migrate {ipv4} {ipv6}"))?;
        self.expect_done()
    }

    /// Lets every connection end, and says what became of them.
    pub(super) fn finish(mut self) -> Result<Tally> {
        self.set_phase(Phase::Finish)?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("aioquic says {line:?}"))
    }

    fn tell(&mut self, command: &str) -> Result<()> {
        writeln!(self.input, "{command}").context("the aioquic load has ended")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    fn expect_done(&mut self) -> Result<()> {
        let line = self.line()?;
        ensure!(line.trim() == "done", "aioquic says {line:?}");
        Ok(())
    }
}

impl Drop for AioquicLoad {
    fn drop(&mut self) {
        // It ends by itself after its report; this is for one that hangs.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
