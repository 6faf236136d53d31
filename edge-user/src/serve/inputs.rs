//! What a process is started with: files, and what a controller gave.

use std::sync::Arc;
use std::time::SystemTime;

use distributions::Served;
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
    /// What of that the controller gave. `None`: it cannot be served.
    pub(super) given: Option<Served>,
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
        Self::with(config, secrets, Served::default(), None)
    }

    /// Of what the controller gave, and the files that `config` names besides.
    pub(super) fn joined(config: Config, joined: Joined) -> Result<Self, InputError> {
        let node = joined.node();
        let Fleet { nodes, secrets } = Fleet::of(node, joined.last_good())?;
        let certificates = force::certificates(joined.last_good());
        let given = force::distributions(joined.last_good());
        let inputs = Self::with(config.joined(node, nodes)?, secrets, given, Some(joined))?;
        // No client is refused between the first worker and the rest of the state. What is bad is
        // said then.
        let live = &inputs.tls.certificates;
        drop(live.put(Source::Controller, certificates, SystemTime::now()));
        Ok(inputs)
    }

    fn with(
        config: Config,
        secrets: Secrets,
        given: Served,
        joined: Option<Joined>,
    ) -> Result<Self, InputError> {
        let tls = tls::load(&config.tls, &secrets.tickets)?;
        let rules = Rules::load(&config)?;
        // Why not both, where it is not both, is said when all of the state is put in force.
        let (given, distributions) = match open_with(&config, &given) {
            Some(both) => (Some(given), both),
            None => {
                let own = Distributions::open(&config.distributions, &config.origins)?;
                (None, own)
            }
        };
        let distributions = distributions.coalescing(&config.coalescing);
        Ok(Self {
            config: Arc::new(config),
            secrets: Arc::new(secrets),
            tls,
            rules,
            distributions: watch::Sender::new(Arc::new(distributions)),
            given,
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
            Ok(Some(kept)) => {
                let clash = config.served().with(&force::distributions(&kept)).err();
                warnings.extend(
                    clash.map(|clash| format!("what is of the controller is not served: {clash}")),
                );
            }
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

    /// What the process has to reach from its start on: what the controller gave is none of the
    /// configuration, and reads files and asks origins all the same.
    pub(super) fn reaches(&self) -> Config {
        let file = self.config.served();
        // They go together, or it is not there.
        let both = self.given.as_ref().and_then(|given| file.with(given).ok());
        let both = both.unwrap_or(file);
        let Served { distributions, origins } = both;
        Config { distributions, origins, ..Config::clone(&self.config) }
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

/// What the controller gives beside what `config` has; nothing, where they do not go together or
/// cannot be opened.
pub(super) fn open_with(config: &Config, given: &Served) -> Option<Distributions> {
    let both = config.served().with(given).ok()?;
    Distributions::open(&both.distributions, &both.origins).ok()
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
