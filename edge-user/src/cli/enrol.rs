//! `enrol`: from an invitation to an identity.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use edge_user::config::{Config, ControllerAddress, ControllerConfig, Host};
use edge_user::follow::last_good;
use edge_user::identity::file::{self, Place};
use edge_user::identity::{self, ConnectError, Identity, IdentityError};
use edge_user::limits;
use edge_user::serve;
use fleet_wire::invitation::Invitation;
use serde::Serialize;

use super::{Ended, FAILED, Outcome, WRONG, ended, load, say};

/// What of it comes from the command line.
#[derive(Args)]
pub(super) struct Enrol {
    /// The configuration file, which names the controller and the state directory.
    #[arg(long, value_name = "PATH", default_value = "/etc/landfast/edge.toml")]
    config: PathBuf,
    /// Where the controller listens, in place of what the configuration says: a DNS name or an IP
    /// address, and the port. May be given several times; the first that answers is asked.
    #[arg(long, value_name = "ADDRESS")]
    controller: Vec<ControllerAddress>,
    /// Where the identity is kept, in place of what the configuration says.
    #[arg(long, value_name = "PATH")]
    state_directory: Option<PathBuf>,
    /// A file that holds what `landfast-controller nodes invite` printed, or its last line, which is
    /// the token; `-` for standard input. It is not given as an argument, which every user of the host could read.
    #[arg(long, value_name = "FILE")]
    invitation_file: PathBuf,
    /// Replace the identity that is there: this host becomes another node, or the same one anew.
    #[arg(long)]
    force: bool,
    /// One line of JSON.
    #[arg(long)]
    json: bool,
}

/// What is said of a new identity.
#[derive(Serialize)]
struct Enrolled {
    node: u16,
    identity: PathBuf,
    /// Seconds since 1970.
    renew_at: u64,
    /// Seconds since 1970.
    ends_at: u64,
}

pub(super) fn enrol(enrol: Enrol) -> Outcome {
    let Enrol { config, controller, state_directory, invitation_file, force, json } = enrol;
    let (addresses, state_directory) = places(&config, controller, state_directory)?;
    let invitation = invitation(&invitation_file)?;
    let _alone = serve::lock(&state_directory).map_err(|error| ended(FAILED, &error))?;
    // Before the invitation is used up: afterwards it is too late to find the disk full.
    let place = Place::take(&state_directory, force).map_err(|error| {
        let there = matches!(error, IdentityError::There(_));
        ended(if there { WRONG } else { FAILED }, &error)
    })?;
    let identity = match ask(&invitation, &addresses) {
        Ok(identity) => identity,
        Err(ended) => {
            place.give_up();
            return Err(ended);
        }
    };
    keep(place, &identity, &state_directory).map_err(|error| {
        eprintln!("landfast-edge: the invitation is used up: remove the node and invite it anew");
        ended(FAILED, &error)
    })?;
    say(&match json {
        true => serde_json::to_string(&report(&identity, &state_directory)).expect("numbers"),
        false => words(&identity, &state_directory),
    })
}

/// Keeps `identity`. What another one was given is none of its business, keys of certificates among
/// it.
fn keep(place: Place, identity: &Identity, state_directory: &Path) -> Result<(), IdentityError> {
    match std::fs::remove_file(last_good::path(state_directory)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(IdentityError::Write(state_directory.to_owned(), error))
        }
        _ => place.keep(identity),
    }
}

/// Where the controller is, and where its identity goes: by the command line, or by the
/// configuration.
fn places(
    config: &Path,
    controller: Vec<ControllerAddress>,
    state_directory: Option<PathBuf>,
) -> Result<(Vec<ControllerAddress>, PathBuf), Ended> {
    let state_directory = match state_directory {
        Some(directory) if !controller.is_empty() => return Ok((controller, directory)),
        other => other,
    };
    let Config { controller: configured, state_directory: its, .. } =
        load(config, &Host::elsewhere())?;
    let state_directory = state_directory.unwrap_or(its);
    match configured {
        _ if !controller.is_empty() => Ok((controller, state_directory)),
        Some(ControllerConfig { addresses }) => Ok((addresses, state_directory)),
        None => {
            let config = config.display();
            eprintln!(
                "landfast-edge: {config} names no controller: write [controller], or say --controller"
            );
            Err(Ended(WRONG))
        }
    }
}

fn invitation(path: &Path) -> Result<Invitation, Ended> {
    let wrong = |error: &dyn std::fmt::Display| {
        eprintln!("landfast-edge: {}: {error}", path.display());
        Ended(WRONG)
    };
    let text = match path.as_os_str() == "-" {
        true => read(io::stdin()),
        false => File::open(path).and_then(read),
    };
    let text = text.map_err(|error| wrong(&error))?;
    // The command that makes it prints a line for people before it.
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or_default().parse().map_err(|error| wrong(&error))
}

fn read(from: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(limits::MAX_INVITATION_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn ask(invitation: &Invitation, addresses: &[ControllerAddress]) -> Result<Identity, Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ended(FAILED, &error))?;
    runtime.block_on(identity::enrol(invitation, addresses)).map_err(|error| match error {
        // Trying again does not help.
        ConnectError::Refused(_) => ended(WRONG, &error),
        // Nobody has seen the invitation.
        ConnectError::Nowhere(_) | ConnectError::Key(_) => ended(FAILED, &error),
        ConnectError::Failed(_) | ConnectError::Late | ConnectError::Answer(_) => {
            let ended = ended(FAILED, &error);
            eprintln!(
                "landfast-edge: the invitation may be used up: where `landfast-controller nodes list` shows the node as joined, remove it and invite it anew"
            );
            ended
        }
    })
}

fn report(identity: &Identity, state_directory: &Path) -> Enrolled {
    Enrolled {
        node: identity.node(),
        identity: file::path(state_directory),
        renew_at: seconds(identity.renew_at()),
        ends_at: seconds(identity.ends_at()),
    }
}

fn words(identity: &Identity, state_directory: &Path) -> String {
    let left = identity.ends_at().duration_since(SystemTime::now()).unwrap_or_default();
    format!(
        "this host is node {}: its identity is in {}, good for {} hours, and renewed by `serve`",
        identity.node(),
        file::path(state_directory).display(),
        left.as_secs() / 3600,
    )
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
