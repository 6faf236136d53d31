//! The command line: its words, and what each does.

mod ask;
mod certificates;
mod distributions;
mod nodes;
mod offline;
mod show;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use controller::config::{self, Config};
use controller::serve;

/// Nothing went wrong.
const DONE: u8 = 0;
/// It could not be done, or ended badly.
const FAILED: u8 = 1;
/// The command line, the configuration or a file that it names is wrong: trying again does not
/// help. clap ends with the same code.
const WRONG: u8 = 2;

/// The Landfast controller: certificates on every node of a fleet, and the secrets that its nodes
/// share.
///
/// A first start: write a configuration, look at it with `check-config --no-host`, then `init` and
/// `serve`. Then `nodes invite` for each node. docs/controller.md tells the rest.
#[derive(Parser)]
#[command(name = "landfast-controller", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done; 1 it failed; 2 the command line or a file is wrong.")]
struct CommandLine {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/etc/landfast/controller.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new controller: the sealing key, the store, the fleet's authority and first secrets.
    ///
    /// Nothing that is there is replaced. Afterwards keep a copy of the sealing key apart from all
    /// backups: without it the store cannot be opened.
    Init(offline::Init),
    /// Serve until SIGTERM or SIGINT. Nodes go on without us, with what they have.
    ///
    /// Logs go to standard error. The service manager is told when nodes are served (READY=1).
    Serve,
    /// How the controller and its fleet fare, and what somebody should look at.
    Status(Form),
    /// The nodes of the fleet.
    #[command(subcommand)]
    Nodes(nodes::Command),
    /// Certificates and who issues them.
    #[command(subcommand)]
    Certificates(certificates::Command),
    /// What nodes answer under which names, beside what their own configuration has.
    #[command(subcommand)]
    Distributions(distributions::Command),
    /// Accounts at certificate authorities. Each is made by the first order there.
    #[command(subcommand)]
    Accounts(Accounts),
    /// The secrets that all nodes share, and their rotation. No command shows one.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Write a copy of the store of a running controller, mode 0600.
    ///
    /// Its values are sealed: it is worth nothing without the sealing key, which is not in it.
    Backup {
        /// Where to. Nothing that is there is replaced.
        path: PathBuf,
        #[command(flatten)]
        form: Form,
    },
    /// Make the store out of a backup, while no controller runs.
    ///
    /// It begins a new epoch: nodes take what it says for later than all they had. An old store
    /// must be moved away first.
    Restore {
        /// The backup.
        path: PathBuf,
        /// The key that the backup is sealed under, where the store is to have another one: that of
        /// the configuration, which is made unless it is there.
        #[arg(long, value_name = "PATH")]
        sealed_by: Option<PathBuf>,
        #[command(flatten)]
        form: Form,
    },
    /// Check the configuration and the files it names, and say what is wrong.
    CheckConfig {
        /// Only the configuration file, not the files it names, which another host has.
        #[arg(long)]
        no_host: bool,
        #[command(flatten)]
        form: Form,
    },
}

#[derive(Subcommand)]
enum Accounts {
    /// List the accounts, by their issuers.
    List(Form),
    /// Give an account a new key, which the authority takes in the place of the old one.
    ///
    /// Certificates stay as they are. Killed between, the next order or rollover finds out which of
    /// the two keys is in force.
    Rollover {
        /// At which authority: a table of `[issuers]` in the configuration.
        issuer: String,
        #[command(flatten)]
        form: Form,
    },
}

#[derive(Subcommand)]
enum Secrets {
    /// List the kinds of secrets: where their rotation stands and when the next is due.
    List(Form),
    /// Rotate a kind of secret now: every node reads the new key before any makes with it.
    Rotate {
        /// Which kind: tickets, tokens, connection-ids or encapsulation.
        kind: String,
        #[command(flatten)]
        form: Form,
    },
}

/// In what form the answer is shown.
#[derive(Args, Clone, Copy)]
struct Form {
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

/// Why the program ends with another code than 0, already said on standard error.
struct Ended(u8);

type Outcome = Result<(), Ended>;

/// The code of an error that lasts until somebody does something about a file, or of another.
const fn code_of(is_lasting: bool) -> u8 {
    if is_lasting { WRONG } else { FAILED }
}

/// Says `error`, whose text names its cause.
fn ended(code: u8, error: &dyn Error) -> Ended {
    eprintln!("landfast-controller: {error}");
    Ended(code)
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let CommandLine { config, command } = CommandLine::parse();
    let outcome = match command {
        Command::CheckConfig { no_host, form } => offline::check(&config, no_host, form),
        command => with_config(&config, command),
    };
    ExitCode::from(outcome.map_or_else(|Ended(code)| code, |()| DONE))
}

fn with_config(path: &Path, command: Command) -> Outcome {
    let config = load(path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The store writes on threads of its own; two serve nodes.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| ended(FAILED, &error))?;
    runtime.block_on(async {
        match command {
            Command::Init(init) => offline::init(&config, init).await,
            Command::Restore { path, sealed_by, form } => {
                offline::restore(&config, &path, sealed_by.as_deref(), form).await
            }
            Command::Serve => serve(config).await,
            Command::Status(form) => ask::status(&config, form).await,
            Command::Nodes(command) => nodes::run(&config, command).await,
            Command::Certificates(command) => certificates::run(&config, command).await,
            Command::Distributions(command) => distributions::run(&config, command).await,
            Command::Accounts(Accounts::List(form)) => ask::accounts(&config, form).await,
            Command::Accounts(Accounts::Rollover { issuer, form }) => {
                ask::roll(&config, issuer, form).await
            }
            Command::Secrets(Secrets::List(form)) => ask::secrets(&config, form).await,
            Command::Secrets(Secrets::Rotate { kind, form }) => {
                ask::rotate(&config, kind, form).await
            }
            Command::Backup { path, form } => ask::backup(&config, &path, form).await,
            Command::CheckConfig { .. } => Ok(()), // done before the file was taken as good
        }
    })
}

async fn serve(config: Config) -> Outcome {
    config.log.begin(&["controller", "landfast_controller"]);
    let (file, version) = (config.file.display().to_string(), env!("CARGO_PKG_VERSION"));
    tracing::info!(version, config = file, "starting");
    // From here on everything goes to the log, in the form that was asked for.
    serve::run(config).await.map_err(|error| {
        tracing::error!("{error}");
        Ended(code_of(error.is_lasting()))
    })
}

fn load(path: &Path) -> Result<Config, Ended> {
    config::load(path).map_err(|error| {
        eprint!("{}", error.render());
        Ended(WRONG)
    })
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
