//! The command line: its words, and what each does.

mod ask;
mod check;
mod enrol;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use edge_user::config::{self, Config, Host};
use edge_user::serve::{self, ServeError};
use edge_wire::cid::{DEFAULT_LEN, MAX_LEN, MIN_LEN};
use fleet_wire::secrets::{self, IdMode};

/// Nothing went wrong.
const DONE: u8 = 0;
/// It could not be done, or ended badly.
const FAILED: u8 = 1;
/// The command line, the configuration or a file that it names is wrong: trying again does not
/// help. clap ends with the same code.
const WRONG: u8 = 2;

/// The Landfast edge: HTTP/3 on anycast addresses, with connections that keep their server
/// wherever the network sends their packets.
///
/// A first start with a controller: write a configuration that names it, `enrol` with the token that
/// it gave, then `serve`. Without one: `fleet init` on one node, copy the file to all, write a
/// configuration, try it with `check-config`, then `serve`. docs/running.md tells the rest.
#[derive(Parser)]
#[command(name = "landfast-edge", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done; 1 it failed; 2 the command line or a file is wrong.")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT, then let requests in progress end.
    ///
    /// Logs go to standard error. The service manager is told when connections are taken
    /// (READY=1) and when the stop begins. A second signal ends the process at once.
    Serve(ConfigPath),
    /// Check the configuration, the files it names and this host, and say what is wrong.
    ///
    /// Exit code 2: a file is wrong. 1: the host is not fit for steering, and `serve` would not
    /// start.
    CheckConfig {
        #[command(flatten)]
        config: ConfigPath,
        /// Only the configuration file: neither interfaces nor the files it names, which another
        /// host has.
        #[arg(long)]
        no_host: bool,
        /// One line of JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Make this host a node of a controller's fleet.
    ///
    /// It makes a key, shows the controller the token of `landfast-controller nodes invite`, and
    /// keeps the identity that it gets in the state directory, mode 0600. The token is shown to no
    /// other controller than the one that made it. `serve` renews the identity; where it was
    /// stopped for longer than a day, the node is removed, invited and enrolled anew.
    Enrol(enrol::Enrol),
    /// The secrets that all nodes share, without a controller.
    #[command(subcommand)]
    Fleet(Fleet),
    /// How a running edge sees the nodes of the fleet.
    #[command(subcommand)]
    Node(Node),
    /// The blocklist of a running edge.
    #[command(subcommand)]
    Blocklist(Blocklist),
    /// How a running edge fares.
    Status {
        #[command(flatten)]
        edge: Edge,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have a running edge read its sites, fleet file, certificates and blocklist again, as on SIGHUP;
    /// says what changed.
    ///
    /// Connections go on. A file that is wrong, or asks for what only a restart can do, changes
    /// nothing. docs/running.md says in which order a fleet gets new keys.
    Reload {
        #[command(flatten)]
        edge: Edge,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell a running edge to stop as on SIGTERM: /readyz fails, requests in progress end.
    Drain {
        #[command(flatten)]
        edge: Edge,
    },
}

#[derive(Subcommand)]
enum Fleet {
    /// Write a fleet file with fresh keys, mode 0600.
    ///
    /// Do it once for a fleet, and copy the file to every node by a way that keeps it secret:
    /// nodes with different files cannot read each other's connection IDs, tickets or tokens.
    Init {
        /// Where to.
        #[arg(default_value = "/etc/landfast/fleet.toml")]
        path: PathBuf,
        /// Connection IDs in clear, to look at packets. Outsiders can then link and forge them.
        #[arg(long)]
        plain: bool,
        /// Bytes of a connection ID. 17 is decoded fastest; others where a balancer of somebody
        /// else's asks for them.
        #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_LEN as u8)]
        #[arg(value_parser = clap::value_parser!(u8).range(MIN_LEN as i64..=MAX_LEN as i64))]
        length: u8,
        /// Replace a file that is there. Its keys are lost: every node needs the new one.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Subcommand)]
enum Node {
    /// It serves: send it the packets of its connections.
    Live(NodeId),
    /// It is gone for good: answer packets of its connections with a stateless reset.
    Dead(NodeId),
    /// Nobody knows: neither send it packets nor reset its connections.
    Unknown(NodeId),
    /// List the nodes and how they fare.
    List {
        #[command(flatten)]
        edge: Edge,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Blocklist {
    /// Print its networks, one a line.
    List {
        #[command(flatten)]
        edge: Edge,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read its file anew and apply what has changed. A file with a mistake changes nothing.
    Reload {
        #[command(flatten)]
        edge: Edge,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct NodeId {
    /// The node's ID in the configuration.
    id: u16,
    #[command(flatten)]
    edge: Edge,
}

#[derive(Args)]
struct ConfigPath {
    /// The configuration file.
    #[arg(long, value_name = "PATH", default_value = "/etc/landfast/edge.toml")]
    config: PathBuf,
}

/// Which running edge is asked.
#[derive(Args)]
struct Edge {
    /// Its configuration file, which names the admin socket.
    #[arg(long, value_name = "PATH", default_value = "/etc/landfast/edge.toml")]
    config: PathBuf,
    /// Its admin socket; the configuration file is not read.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
}

/// Why the program ends with another code than 0, already said on standard error.
struct Ended(u8);

type Outcome = Result<(), Ended>;

/// Says `error`, whose text names its cause.
fn ended(code: u8, error: &dyn Error) -> Ended {
    eprintln!("landfast-edge: {error}");
    Ended(code)
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Serve(path) => serve(&path.config),
        Command::CheckConfig { config, no_host, json } => {
            check::check(&config.config, no_host, json)
        }
        Command::Enrol(enrol) => enrol::enrol(enrol),
        Command::Fleet(Fleet::Init { path, plain, length, force }) => {
            fleet_init(&path, plain, length, force)
        }
        Command::Node(command) => ask::node(command),
        Command::Blocklist(command) => ask::blocklist(command),
        Command::Status { edge, json } => ask::status(&edge, json),
        Command::Reload { edge, json } => ask::reload(&edge, json),
        Command::Drain { edge } => ask::drain(&edge),
    };
    ExitCode::from(outcome.map_or_else(|Ended(code)| code, |()| DONE))
}

fn serve(path: &Path) -> Outcome {
    let host = Host::read().map_err(|error| ended(FAILED, &error))?;
    let config = load(path, &host)?;
    config.log.begin(&["edge_user", "landfast_edge"]);
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, config = %path.display(), "starting");
    // From here on everything goes to the log, in the form that was asked for.
    serve::run(config).map_err(|error| {
        tracing::error!("{error}");
        Ended(if matches!(error, ServeError::Inputs(_)) { WRONG } else { FAILED })
    })
}

fn load(path: &Path, host: &Host) -> Result<Config, Ended> {
    config::load(path, host).map_err(|error| {
        eprint!("{}", error.render());
        Ended(WRONG)
    })
}

fn fleet_init(path: &Path, plain: bool, length: u8, force: bool) -> Outcome {
    let mode = if plain { IdMode::Plain } else { IdMode::Encrypted };
    secrets::init(path, mode, length.into(), force).map_err(|error| ended(FAILED, &error))?;
    say(&format!("{} written: copy it to every node, mode 0600", path.display()))
}

/// A line on standard output. A reader that went away is no failure of ours.
fn say(line: &str) -> Outcome {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(ended(FAILED, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        super::CommandLine::command().debug_assert();
    }
}
