//! Reads again what may change while the process runs, and puts it in force without a connection
//! lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::blocklist;
use super::control::Control;
use super::protocol::{BlocklistChange, Reloaded};
use super::served::{NotServed, Sources};
use crate::config::{self, Config, ConfigError, Host};
use crate::limits;
use crate::proxy::Distributions;
use crate::quic::cid::MintError;
use crate::quic::driver::ToWorker;
use crate::relay::RelayOrder;
use crate::sandbox::{self, OutOfReach};
use crate::steering::SteeringError;
use crate::tls::TlsError;
use crate::tls::files::{self, FilesInForce};
use fleet_wire::secrets::{Change, ChangeRefused, FleetError, Secrets};

/// Why a reload did not go through.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has mistakes; nothing is changed.
    #[error("{0}; nothing is changed")]
    Config(ConfigError),
    /// A directory of files or an origin's authorities cannot be read, or what the controller gives
    /// does not go with what the file says; nothing is changed.
    #[error("{0}; nothing is changed")]
    Served(#[from] NotServed),
    /// An origin that the process could not ask from its start; nothing is changed.
    #[error("{0}; nothing is changed")]
    Reach(#[from] OutOfReach),
    /// The fleet file is not one; nothing is changed.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The fleet file is good, but this process cannot follow it; nothing is changed.
    #[error("the fleet file {0}: {1}; nothing is changed")]
    Refused(PathBuf, #[source] ChangeRefused),
    /// The blocklist cannot be read: nothing is changed. Or the kernel does not take it: then the
    /// fleet file is followed all the same.
    #[error(transparent)]
    Blocklist(#[from] blocklist::ReloadError),
    /// A certificate or key is bad; nothing is changed.
    #[error("{0}; nothing is changed")]
    Tls(#[from] TlsError),
    /// The kernel. What is made is made as before; the next reload starts from there.
    #[error("the kernel's maps cannot be changed: {0}")]
    Kernel(#[from] SteeringError),
    /// A worker does not answer in time. As above.
    #[error("worker {0} does not answer: reload again when it does")]
    Worker(usize),
    /// A worker cannot mint. As above.
    #[error("worker {0}: {1}")]
    Mint(usize, #[source] MintError),
    /// The relay does not answer in time. As above.
    #[error("the relay does not answer: reload again when it does")]
    Relay,
}

impl ReloadError {
    /// For a terminal, with the lines of the file that are at fault.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Config(error) => {
                format!("the configuration has mistakes; nothing is changed\n{}", error.render())
            }
            other => other.to_string(),
        }
    }
}

impl Control {
    /// Reads again what may change while the process runs: what is answered under which names, the
    /// fleet file where there is one, certificates and keys, and the blocklist. Opens the access log
    /// again. What changed is
    /// logged; so is why nothing did. Reloads at one time take turns.
    ///
    /// # Errors
    /// Where a file is bad, or asks for what only a new process can do: then nothing is changed.
    /// And where a part of the process does not follow.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        // Whoever has moved the log away says so by this, and has nothing to do with other files.
        let reopened = self.reopen_access_log();
        let mut result = self.reload_files().await;
        match (reopened, &mut result) {
            (Ok(change), Ok(reloaded)) => reloaded.changes.extend(change),
            (Err(warning), Ok(reloaded)) => reloaded.warnings.push(warning),
            (Ok(change), Err(_)) => change.iter().for_each(|change| tracing::info!("{change}")),
            (Err(warning), Err(_)) => tracing::warn!("{warning}"),
        }
        match &result {
            Ok(Reloaded { changes, warnings }) => {
                if changes.is_empty() {
                    tracing::info!("reloaded: nothing has changed");
                }
                for change in changes {
                    tracing::info!("reloaded: {change}");
                }
                for warning in warnings {
                    tracing::warn!("reloaded: {warning}");
                }
            }
            Err(error) => tracing::error!("not reloaded: {error}"),
        }
        result
    }

    /// Goes on with the file that is at the path of the access log now. Says that it is another one,
    /// or why it cannot be had.
    fn reopen_access_log(&self) -> Result<Option<String>, String> {
        let Some(log) = self.access_log() else { return Ok(None) };
        let path = log.path().display();
        match log.reopen() {
            Ok(is_other) => Ok(is_other.then(|| format!("access log: {path} is another file"))),
            Err(error) => Err(format!("the access log {path} cannot be opened again: {error}")),
        }
    }

    async fn reload_files(&self) -> Result<Reloaded, ReloadError> {
        let _turn = self.reloading.lock().await;
        let (mut changes, mut warnings, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        let read = self.read_config()?;
        // Without one the secrets are the controller's affair.
        if let Some(path) = &self.config().fleet_file {
            let change = self.secrets.load().change_to(Secrets::load(path)?);
            let change = change.map_err(|refused| ReloadError::Refused(path.clone(), refused))?;
            let Change { between, after, words, warnings: of_secrets } = change;
            (changes, warnings) = (words, of_secrets);
            if !changes.is_empty() {
                steps = vec![between, after];
            }
        }
        let blocklist = self.read_blocklist()?;
        let now = SystemTime::now();
        let certificates = files::read(&self.config().tls, &self.certificates, now)?;
        // From here on every file is known to be good.
        // First everything reads the new, then anything makes it: see `Secrets::change_to`.
        for step in steps {
            self.put_in_force(&Arc::new(step.clone())).await?;
            self.secrets.replace(step);
        }
        let certificates = certificates.put_in_force(&self.certificates, now);
        let FilesInForce { changes: certificates, warnings: of_certificates } = certificates;
        changes.extend(certificates);
        warnings.extend(of_certificates);
        if let Some((sources, distributions, of_config)) = read {
            changes.extend(self.put_distributions(distributions));
            self.sources.replace(sources);
            warnings.extend(of_config);
        }
        if let Some(blocklist) = blocklist {
            let BlocklistChange { added, removed, .. } = self.put_blocklist(blocklist)?;
            if added + removed > 0 {
                changes.push(format!("blocklist: {added} networks added, {removed} removed"));
            }
        }
        Ok(Reloaded { changes, warnings })
    }

    /// What the configuration says now of who answers, and warnings: of that, and where it says more
    /// that is new.
    /// Nothing, where it never was in a file.
    fn read_config(&self) -> Result<Option<(Sources, Distributions, Vec<String>)>, ReloadError> {
        let started = self.config();
        if started.file.as_os_str().is_empty() {
            return Ok(None);
        }
        // As it was read at the start. Interfaces of the host do not matter any more.
        let host = Host {
            interfaces: None,
            cores: started.listen.workers,
            state_directory: started.state_directory.clone(),
        };
        let read = config::load(&started.file, &host).map_err(ReloadError::Config)?;
        sandbox::check_reach(&read.origins)?;
        let now = Sources::clone(&self.sources.load());
        let (file, coalescing) = (read.served(), read.coalescing.clone());
        let sources = Sources { file, coalescing, ..now };
        let distributions = sources.open()?;
        let mut warnings: Vec<_> = sources.file.warnings().collect();
        let mut rest = Config {
            distributions: started.distributions.clone(),
            origins: started.origins.clone(),
            coalescing: started.coalescing.clone(),
            ..read
        };
        if started.controller.is_some() {
            // These the controller has said since then.
            rest.node = started.node;
            rest.site.clone_from(&started.site);
            rest.nodes.clone_from(&started.nodes);
        }
        if rest != **started {
            let file = started.file.display();
            warnings.push(format!("{file}: other settings than [[distributions]], [[origins]] and [coalescing] differ from those at the start: restart to have them in force"));
        }
        Ok(Some((sources, distributions, warnings)))
    }

    /// Whoever asks from now on is answered by these. Says what is different.
    pub(super) fn put_distributions(&self, mut distributions: Distributions) -> Vec<String> {
        let changes = distributions.changes_since(&self.distributions.borrow());
        if !changes.is_empty() {
            distributions.go_on_from(&self.distributions.borrow());
            distributions.start();
            self.distributions.send_replace(Arc::new(distributions));
        }
        changes
    }

    /// Goes over to the secrets of the controller, as [`Secrets::catch_up_with`] leads there. Says
    /// what changed, once it is in force everywhere.
    ///
    /// # Errors
    /// As [`Control::reload`].
    pub(crate) async fn change_secrets(
        &self,
        secrets: Secrets,
    ) -> Result<Vec<String>, ReloadError> {
        let _turn = self.reloading.lock().await;
        let change = self.secrets.load().catch_up_with(secrets);
        let Change { between, after, words, warnings } =
            change.map_err(|refused| ReloadError::Refused("of the controller".into(), refused))?;
        warnings.iter().for_each(|warning| tracing::warn!("by the controller: {warning}"));
        if !words.is_empty() {
            for step in [between, after] {
                self.put_in_force(&Arc::new(step.clone())).await?;
                self.secrets.replace(step);
            }
        }
        Ok(words)
    }

    /// From the outside in: what reaches a worker earlier knows it earlier.
    async fn put_in_force(&self, secrets: &Arc<Secrets>) -> Result<(), ReloadError> {
        if let Some(steering) = self.steering().as_mut() {
            steering.set_secrets(secrets)?;
        }
        if let Some(relay) = &self.relay {
            let (done, heard) = oneshot::channel();
            let order = RelayOrder::Secrets(Arc::clone(secrets), done);
            let told = async {
                relay.orders.send(order).await.ok()?;
                heard.await.ok()
            };
            timeout(limits::REPORT_WITHIN, told).await.ok().flatten().ok_or(ReloadError::Relay)?;
        }
        self.tickets.change(&secrets.tickets);
        let workers = self.workers.iter().enumerate();
        let told = workers.map(|(worker, inbox)| tell_worker(worker, inbox, secrets));
        join_all(told).await.into_iter().collect()
    }
}

async fn tell_worker(
    worker: usize,
    inbox: &mpsc::Sender<ToWorker>,
    secrets: &Arc<Secrets>,
) -> Result<(), ReloadError> {
    let (done, heard) = oneshot::channel();
    let told = async {
        inbox.send(ToWorker::Secrets(Arc::clone(secrets), done)).await.ok()?;
        heard.await.ok()
    };
    match timeout(limits::REPORT_WITHIN, told).await.ok().flatten() {
        Some(put) => put.map_err(|error| ReloadError::Mint(worker, error)),
        // It has ended because it was told to: it makes nothing any more.
        None if inbox.is_closed() => Ok(()),
        None => Err(ReloadError::Worker(worker)),
    }
}

#[cfg(test)]
mod tests;
