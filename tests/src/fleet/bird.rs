//! BIRD, a routing daemon that nobody of this project wrote, and its control socket.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::eventually;
use super::namespace::Namespace;

/// It reads its configuration and opens its socket in milliseconds.
const STARTED_WITHIN: Duration = Duration::from_secs(10);
/// It answers between two rounds of its loop.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A daemon in a namespace. Dropping it kills it: its neighbours hear nothing of that.
#[derive(Debug)]
pub struct Bird {
    process: Child,
    socket: PathBuf,
}

impl Bird {
    /// Starts a daemon with this configuration, whose files are `directory/name.*`.
    ///
    /// # Errors
    /// Where it is not installed, or refuses the configuration.
    pub(super) fn start(
        namespace: &Namespace,
        directory: &Path,
        name: &str,
        config: &str,
    ) -> Result<Self> {
        let file = |extension| directory.join(name).with_extension(extension);
        let (config_file, socket) = (file("conf"), file("ctl"));
        fs::write(&config_file, config)?;
        let mut command = Command::new("bird");
        command.arg("-f").arg("-c").arg(config_file).arg("-s").arg(&socket);
        let log = fs::File::create(file("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = namespace.enter(|| command.spawn()).context("start bird")?;
        let bird = Self { process, socket };
        eventually("bird answers", STARTED_WITHIN, || bird.ask("show status").is_ok())
            .with_context(|| fs::read_to_string(file("log")).unwrap_or_default())?;
        Ok(bird)
    }

    /// Asks the control socket, as `birdc` does; what it answers, without the codes.
    ///
    /// # Errors
    /// Where it does not answer, or with an error.
    pub fn ask(&self, command: &str) -> Result<String> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(ANSWERS_WITHIN))?;
        let mut lines = BufReader::new(socket.try_clone()?).lines();
        lines.next().context("no greeting")??;
        writeln!(socket, "{command}")?;
        let mut answer = String::new();
        for line in lines {
            let line = line?;
            match reply_code(&line) {
                // Runtime errors are 8000 to 8999, syntax errors 9000 to 9999.
                Some((code, _)) if code >= 8000 => bail!("bird: {command}: {line}"),
                Some((_, true)) => return Ok(answer),
                _ => answer += &(line + "\n"),
            }
        }
        bail!("bird: {command}: no end after {answer:?}")
    }
}

/// The code at the beginning of a line, if there is one, and whether the answer ends there.
fn reply_code(line: &str) -> Option<(u16, bool)> {
    let (code, rest) = line.split_at_checked(4)?;
    Some((code.parse().ok()?, rest.starts_with(' ')))
}

impl Drop for Bird {
    fn drop(&mut self) {
        let _ = self.process.kill(); // ended by itself
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_at_a_code_that_a_space_follows() {
        assert_eq!(reply_code("0009-a1: disabled"), Some((9, false)));
        assert_eq!(reply_code("0000 "), Some((0, true)));
        assert_eq!(reply_code("8003 No protocols match"), Some((8003, true)));
        assert_eq!(reply_code(" BGP state: Established"), None);
    }
}
