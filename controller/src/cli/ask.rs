//! The commands that ask a running controller.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use controller::config::Config;
use controller::limits;
use controller::operator::message::operator_client::OperatorClient;
use controller::operator::message::{
    AccountName, AccountsRequest, BackUpRequest, Done, SecretKind, SecretsRequest, StatusRequest,
};
use controller::operator::socket;
use serde::Serialize;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::{Ended, FAILED, Form, Outcome, WRONG, ended, say, show};

/// The controller that runs by this configuration.
pub(super) async fn connect(config: &Config) -> Result<OperatorClient<Channel>, Ended> {
    let path = &config.socket;
    socket::connect(path).await.map_err(|error| {
        let path = path.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                eprintln!("landfast-controller: no controller answers at {path}: is one running?");
            }
            ErrorKind::PermissionDenied => eprintln!(
                "landfast-controller: {path}: {error}: run this as the user that the controller \
                 runs as"
            ),
            _ => eprintln!("landfast-controller: {path}: {error}"),
        }
        Ended(FAILED)
    })
}

/// What the controller answered.
pub(super) fn answer<T>(answer: Result<Response<T>, Status>) -> Result<T, Ended> {
    answer.map(Response::into_inner).map_err(|status| {
        match status.code() {
            // What the client itself gives up after `limits::COMMAND_WITHIN`.
            Code::Cancelled | Code::DeadlineExceeded => eprintln!(
                "landfast-controller: no answer within {} s: what was asked for may go on, see \
                 `certificates list`, `accounts list` and the controller's log",
                limits::COMMAND_WITHIN.as_secs()
            ),
            _ => eprintln!("landfast-controller: {}", status.message()),
        }
        Ended(if status.code() == Code::InvalidArgument { WRONG } else { FAILED })
    })
}

/// The text of a file that a command names.
pub(super) fn read(path: &Path) -> Result<String, Ended> {
    let text = std::fs::File::open(path).and_then(settings::read_bounded);
    text.map_err(|error| {
        eprintln!("landfast-controller: {}: {error}", path.display());
        Ended(WRONG)
    })
}

/// Shows an answer: as JSON, or by `words`.
pub(super) fn show<T: Serialize>(
    form: Form,
    answer: &T,
    words: impl FnOnce(&T) -> String,
) -> Outcome {
    let text = match form.json {
        true => serde_json::to_string(answer).expect("names and numbers"),
        false => words(answer),
    };
    say(&text)
}

/// Shows that something is done.
pub(super) fn done(form: Form, done: &Done) -> Outcome {
    show(form, done, |done| done.word.clone())
}

pub(super) async fn status(config: &Config, form: Form) -> Outcome {
    let status = connect(config).await?.get_status(StatusRequest {}).await;
    show(form, &answer(status)?, show::status)
}

pub(super) async fn accounts(config: &Config, form: Form) -> Outcome {
    let accounts = connect(config).await?.list_accounts(AccountsRequest {}).await;
    show(form, &answer(accounts)?, show::accounts)
}

pub(super) async fn roll(config: &Config, issuer: String, form: Form) -> Outcome {
    let rolled = connect(config).await?.roll_account(AccountName { issuer }).await;
    done(form, &answer(rolled)?)
}

pub(super) async fn secrets(config: &Config, form: Form) -> Outcome {
    let secrets = connect(config).await?.list_secrets(SecretsRequest {}).await;
    show(form, &answer(secrets)?, show::secrets)
}

pub(super) async fn rotate(config: &Config, kind: String, form: Form) -> Outcome {
    let rotated = connect(config).await?.rotate_secret(SecretKind { kind }).await;
    done(form, &answer(rotated)?)
}

/// What `backup` has written.
#[derive(Serialize)]
struct Written {
    path: PathBuf,
    bytes: usize,
}

pub(super) async fn backup(config: &Config, path: &Path, form: Form) -> Outcome {
    let pieces = connect(config).await?.back_up(BackUpRequest {}).await;
    let mut pieces = answer(pieces)?;
    let failed = |error: std::io::Error| {
        eprintln!("landfast-controller: {}: {error}", path.display());
        Ended(FAILED)
    };
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    let written = async {
        let mut bytes = 0;
        while let Some(piece) = pieces.message().await.map_err(std::io::Error::other)? {
            file.write_all(&piece.data)?;
            bytes += piece.data.len();
        }
        file.sync_all().map(|()| Written { path: path.to_owned(), bytes })
    };
    match written.await {
        Ok(written) => show(form, &written, |_| {
            format!("{} written; it opens under the sealing key alone", path.display())
        }),
        Err(error) => {
            // Half a backup must not be taken for one.
            std::fs::remove_file(path).map_err(|error| ended(FAILED, &error))?;
            Err(failed(error))
        }
    }
}
