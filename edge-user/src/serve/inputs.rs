//! What a process is started with: files, and what a controller gave.

use std::sync::Arc;
use std::time::SystemTime;

use fleet_wire::secrets::{FleetError, Secrets};
use tokio::sync::watch;

use super::join::Joined;
use crate::admission::Rules;
use crate::admission::blocklist::BlocklistError;
use crate::config::{Config, JoinError};
use crate::follow::first::{Fleet, Lacking};
use crate::follow::{force, last_good};
use crate::identity::{Identity, IdentityError};
use crate::proxy::{Distributions, OpenError};
use crate::tls::{self, Live, Source, Tls, TlsError};

/// What a process is started with, all of it read and checked.
pub struct Inputs {
    pub(super) config: Arc<Config>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) tls: Tls,
    pub(super) rules: Rules,
    /// What is answered under which names, for the workers; a reload changes it.
    pub(super) distributions: watch::Sender<Arc<Distributions>>,
    /// With a controller.
    pub(super) joined: Option<Joined>,
}

/// A file that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The fleet file.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// There is no fleet file.
    #[error("the secrets of the fleet are the controller's")]
    NoFleetFile,
    /// The identity towards the controller.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is none.
    #[error(
        "this node has no identity towards its controller: `landfast-controller nodes invite` there, then `landfast-edge enrol` here"
    )]
    NotEnrolled,
    /// What the controller gave.
    #[error("the controller's state: {0}")]
    Lacking(#[from] Lacking),
    /// The fleet as the controller has it does not fit the configuration.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The blocklist.
    #[error(transparent)]
    Blocklist(#[from] BlocklistError),
    /// A directory of files, or an origin's authorities.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Inputs {
    /// Reads the files that `config` names, which names no controller.
    ///
    /// # Errors
    /// Where one of them cannot be used.
    pub fn load(config: Config) -> Result<Self, InputError> {
        let secrets = Secrets::load(config.fleet_file.as_ref().ok_or(InputError::NoFleetFile)?)?;
        Self::with(config, secrets, None)
    }

    /// Of what the controller gave, and the files that `config` names besides.
    pub(super) fn joined(config: Config, joined: Joined) -> Result<Self, InputError> {
        let node = joined.node();
        let Fleet { nodes, secrets } = Fleet::of(node, joined.last_good())?;
        let certificates = force::certificates(joined.last_good());
        let inputs = Self::with(config.joined(node, nodes)?, secrets, Some(joined))?;
        // No client is refused between the first worker and the rest of the state. What is bad is
        // said then.
        let live = &inputs.tls.certificates;
        drop(live.put(Source::Controller, certificates, SystemTime::now()));
        Ok(inputs)
    }

    fn with(config: Config, secrets: Secrets, joined: Option<Joined>) -> Result<Self, InputError> {
        let tls = tls::load(&config.tls, &secrets.tickets)?;
        let rules = Rules::load(&config)?;
        let distributions = Distributions::open(&config.distributions, &config.origins)?;
        let distributions = Arc::new(distributions.coalescing(&config.coalescing));
        Ok(Self {
            config: Arc::new(config),
            secrets: Arc::new(secrets),
            tls,
            rules,
            distributions: watch::Sender::new(distributions),
            joined,
        })
    }

    /// What `serve` would be warned of, as far as files tell. Nobody is asked over the network.
    ///
    /// # Errors
    /// Where a file that `config` names cannot be used, or the identity towards the controller.
    pub fn check(config: Config) -> Result<Vec<String>, InputError> {
        if config.controller.is_none() {
            return Ok(Self::load(config)?.warnings());
        }
        let mut warnings = Vec::new();
        if Identity::load(&config.state_directory)?.is_none() {
            warnings.push(InputError::NotEnrolled.to_string());
        }
        match last_good::load(&config.state_directory) {
            Ok(Some(_)) => {}
            Ok(None) => warnings.push(
                "there is no last good bundle: the start waits for the controller".to_owned(),
            ),
            Err(error) => warnings.push(error.to_string()),
        }
        let live = Live::new(config.tls.unknown_names);
        let now = SystemTime::now();
        let read = tls::files::read(&config.tls, &live, now)?;
        warnings.extend(read.put_in_force(&live, now).warnings);
        Rules::load(&config)?;
        Distributions::open(&config.distributions, &config.origins)?;
        warnings.extend(kept_alive(&config));
        warnings.extend(config.served().warnings());
        Ok(warnings)
    }

    /// What will do, but not well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.tls.warnings.clone();
        warnings.extend(kept_alive(&self.config));
        warnings.extend(self.config.served().warnings());
        warnings
    }
}

/// A warning, where connections that nobody uses live on.
fn kept_alive(config: &Config) -> Option<String> {
    let quic = &config.quic;
    (quic.connection_id_lifetime <= quic.idle_timeout).then(|| {
        "`connection_id_lifetime_seconds` is not longer than `idle_timeout_seconds`: each \
         new connection ID keeps a connection alive that nobody uses"
            .to_owned()
    })
}
