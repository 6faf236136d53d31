//! `distributions`: what nodes answer under which names.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use controller::config::Config;
use controller::operator::message::{DistributionsFile, RemoveRequest, ShowRequest};

use super::ask::{answer, connect, done, read, show as shown};
use super::{Ended, Form, Outcome, WRONG, show};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Have every node answer by the tables of a file, instead of those that were put before.
    ///
    /// Nothing is changed where the file has a mistake. A node that cannot serve all of it goes on
    /// with what it had: `show` and `status` say which, and why.
    Put {
        /// The tables `[[distributions]]` and `[[origins]]`, as in an edge's configuration, and
        /// nothing else.
        file: PathBuf,
        #[command(flatten)]
        form: Form,
    },
    /// Show what was put, and which nodes have it in force. The output can be put again.
    Show(Form),
    /// Have nodes answer by their own configuration alone.
    Remove(Form),
}

pub(super) async fn run(config: &Config, command: Command) -> Outcome {
    match command {
        Command::Put { file, form } => {
            let text = checked(&file)?;
            let put = connect(config).await?.put_distributions(DistributionsFile { text }).await;
            done(form, &answer(put)?)
        }
        Command::Show(form) => {
            let distributions = connect(config).await?.show_distributions(ShowRequest {}).await;
            shown(form, &answer(distributions)?, show::distributions)
        }
        Command::Remove(form) => {
            let removed = connect(config).await?.remove_distributions(RemoveRequest {}).await;
            done(form, &answer(removed)?)
        }
    }
}

/// The text of a file without mistakes, which are shown here, where their lines are.
fn checked(path: &Path) -> Result<String, Ended> {
    let text = read(path)?;
    match distributions::parse(path, &text) {
        Ok(_) => Ok(text),
        Err(error) => {
            eprint!("{}", error.render());
            Err(Ended(WRONG))
        }
    }
}
