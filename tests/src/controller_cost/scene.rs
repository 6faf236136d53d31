//! A controller in a directory of its own, whose store is filled before it serves: by commands,
//! ten thousand certificates would take longer than what is measured.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::controller::certificate::Wanted;
use ::controller::certificate::names::Policy;
use ::controller::operator::message::operator_client::OperatorClient;
use ::controller::operator::socket;
use ::controller::records::{KeyType, Request};
use ::controller::{config, init, internal, ledger};
use anyhow::Result;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::fleet::{Controller, ControllerOptions};

/// Requests of a change, each with its certificate: half of what a change may have.
const AT_ONCE: u32 = ::controller::limits::MAX_WRITES as u32 / 4;

/// The nodes are on the same few cores as the controller, and none comes back once it is lost.
const LEASE: Duration = Duration::from_secs(30);

/// A controller, and its files. Dropping it ends and removes both.
pub(super) struct Scene {
    /// The program.
    pub(super) controller: Controller,
    _directory: TempDir,
}

impl Scene {
    /// A controller with so many certificates of its internal issuer, which serves.
    pub(super) async fn set(certificates: u32) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let options = ControllerOptions { lease: LEASE, ..ControllerOptions::default() };
        let controller = Controller::create(directory.path(), &options)?;
        if certificates > 0 {
            fill(&controller, certificates).await?;
        }
        controller.start()?;
        Ok(Self { controller, _directory: directory })
    }

    /// The way to the controller that commands take.
    pub(super) async fn operator(&self) -> Result<OperatorClient<Channel>> {
        Ok(socket::connect(&self.controller.socket()).await?)
    }
}

/// Puts into the store what the internal issuer would have.
async fn fill(controller: &Controller, certificates: u32) -> Result<()> {
    let config = config::load(&controller.config_file())
        .map_err(|error| anyhow::Error::msg(error.render()))?;
    let ledger = ledger::Ledger::open(Arc::new(init::open(&config)?)).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let authority = internal::create(now)?;
    ledger.commit(ledger::Change::new().put(authority.clone())).await?;
    let policy = Policy { reserved: true, ..Policy::default() };
    let mut change = ledger::Change::new();
    for number in 0..certificates {
        let id = format!("site-{number}.landfast.test");
        let names = vec![id.clone(), format!("www.{id}")];
        let request =
            Request { id, names, issuer: internal::NAME.to_owned(), key_type: KeyType::P256 };
        let Request { id, names, .. } = &request;
        let wanted =
            Wanted { id, names: Some(names), policy: &policy, source: internal::NAME, now };
        let certificate = internal::issue(&authority, &request, &wanted)?;
        change = change.put(request).put(certificate);
        if (number + 1) % AT_ONCE == 0 || number + 1 == certificates {
            ledger.commit(std::mem::take(&mut change)).await?;
        }
    }
    Ok(())
}
