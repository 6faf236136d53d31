//! What an operator's commands ask of the controller that serves.
//!
//! | module | job |
//! |---|---|
//! | [`message`] | the messages and the service, made of `proto/` |
//! | [`socket`] | the Unix socket, and the way to it |
//! | `nodes`, `certificates`, `distributions`, `accounts`, `secrets` | an answer for each command |

mod accounts;
mod certificates;
mod distributions;
pub mod message;
mod nodes;
mod secrets;
pub mod socket;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::acme::{self, Deed, Pems};
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError};
use crate::nodes::Nodes;
use crate::records::{self, Kind as _};
use crate::rotation;
use crate::store::{Embedded, Sealed, StoreError};
use message as m;
use message::operator_server::{Operator as Service, OperatorServer};
use socket::OperatorSocket;

/// Answers commands.
pub struct Operator {
    /// The state.
    pub ledger: Arc<Ledger>,
    /// Its store, for backups.
    pub store: Arc<Sealed<Embedded>>,
    /// Issuers, and where backups are made.
    pub config: Config,
    /// The ear of orders.
    pub orders: mpsc::Sender<acme::Ask>,
    /// The rotation's ear.
    pub rotation: mpsc::Sender<rotation::Ask>,
    /// Which live nodes do not hold the fleet's secrets as of a serial.
    pub prover: Arc<rotation::Prover>,
    /// Who lives and has what.
    pub nodes: Arc<Nodes>,
    /// SHA-256 of the certificate of the authority, which an invitation carries.
    pub authority: [u8; 32],
    /// Since when the process runs.
    pub started: Instant,
}

impl Operator {
    /// Answers at `socket` until `stop` ends; then commands in progress end, and the socket's file
    /// goes.
    ///
    /// # Errors
    /// Where the socket fails.
    pub async fn serve(
        self,
        socket: OperatorSocket,
        stop: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        let (listener, _file) = socket.split();
        tonic::transport::Server::builder()
            .concurrency_limit_per_connection(crate::limits::MAX_COMMANDS)
            .serve_with_incoming_shutdown(
                OperatorServer::new(self),
                UnixListenerStream::new(listener),
                stop,
            )
            .await
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a command is told of a change that is not made.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: LedgerError) -> Status {
    match error {
        LedgerError::Store(StoreError::Conflict(key)) => {
            Status::aborted(format!("{key} has changed meanwhile: try again"))
        }
        other => Status::internal(other.to_string()),
    }
}

fn done(word: impl Into<String>) -> Result<Response<m::Done>, Status> {
    Ok(Response::new(m::Done { word: word.into() }))
}

type Pieces = Pin<Box<dyn Stream<Item = Result<m::Piece, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Operator {
    async fn get_status(
        &self,
        _: Request<m::StatusRequest>,
    ) -> Result<Response<m::Status>, Status> {
        Ok(Response::new(self.status()))
    }

    async fn invite_node(
        &self,
        request: Request<m::Invite>,
    ) -> Result<Response<m::Invited>, Status> {
        self.invite(request.into_inner()).await
    }

    async fn list_nodes(
        &self,
        _: Request<m::NodesRequest>,
    ) -> Result<Response<m::NodeList>, Status> {
        Ok(Response::new(m::NodeList { nodes: self.node_list() }))
    }

    async fn remove_node(
        &self,
        request: Request<m::NodeName>,
    ) -> Result<Response<m::Done>, Status> {
        self.remove(&request.into_inner().name).await
    }

    async fn list_certificates(
        &self,
        _: Request<m::CertificatesRequest>,
    ) -> Result<Response<m::CertificateList>, Status> {
        Ok(Response::new(m::CertificateList { certificates: self.certificate_list() }))
    }

    async fn request_certificate(
        &self,
        request: Request<m::CertificateRequest>,
    ) -> Result<Response<m::Done>, Status> {
        self.request(request.into_inner()).await
    }

    async fn import_certificate(
        &self,
        request: Request<m::Import>,
    ) -> Result<Response<m::Done>, Status> {
        let m::Import { id, chain, key } = request.into_inner();
        self.import(Pems { id, chain, key }).await
    }

    async fn renew_certificate(
        &self,
        request: Request<m::CertificateName>,
    ) -> Result<Response<m::Done>, Status> {
        let id = request.into_inner().id;
        self.ask(Deed::Renew(id.clone()), format!("{id}: a new certificate is ordered")).await
    }

    async fn revoke_certificate(
        &self,
        request: Request<m::Revocation>,
    ) -> Result<Response<m::Done>, Status> {
        self.revoke(request.into_inner()).await
    }

    async fn remove_certificate(
        &self,
        request: Request<m::CertificateName>,
    ) -> Result<Response<m::Done>, Status> {
        self.remove_certificate_of(&request.into_inner().id).await
    }

    async fn list_accounts(
        &self,
        _: Request<m::AccountsRequest>,
    ) -> Result<Response<m::AccountList>, Status> {
        Ok(Response::new(m::AccountList { accounts: self.account_list() }))
    }

    async fn roll_account(
        &self,
        request: Request<m::AccountName>,
    ) -> Result<Response<m::Done>, Status> {
        let name = request.into_inner().issuer;
        let word = format!("the account at {name} has a new key");
        self.ask(Deed::RollAccount(name), word).await
    }

    async fn list_secrets(
        &self,
        _: Request<m::SecretsRequest>,
    ) -> Result<Response<m::SecretList>, Status> {
        Ok(Response::new(m::SecretList { secrets: self.secret_list()? }))
    }

    async fn rotate_secret(
        &self,
        request: Request<m::SecretKind>,
    ) -> Result<Response<m::Done>, Status> {
        self.rotate(&request.into_inner().kind).await
    }

    async fn put_distributions(
        &self,
        request: Request<m::DistributionsFile>,
    ) -> Result<Response<m::Done>, Status> {
        self.put_distributions_of(request.into_inner().text).await
    }

    async fn show_distributions(
        &self,
        _: Request<m::ShowRequest>,
    ) -> Result<Response<m::Distributions>, Status> {
        Ok(Response::new(self.show_distributions_of()?))
    }

    async fn remove_distributions(
        &self,
        _: Request<m::RemoveRequest>,
    ) -> Result<Response<m::Done>, Status> {
        self.remove_distributions_of().await
    }

    type BackUpStream = Pieces;

    async fn back_up(&self, _: Request<m::BackUpRequest>) -> Result<Response<Pieces>, Status> {
        Ok(Response::new(self.backup().await?))
    }
}

impl Operator {
    fn status(&self) -> m::Status {
        let position = self.ledger.position();
        let certificates = self.certificate_list();
        let nodes = self.node_list();
        let missing = certificates.iter().filter(|it| it.not_after == 0).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        m::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            epoch: position.epoch,
            term: position.term,
            serial: position.serial,
            nodes: count(nodes.iter().filter(|node| node.standing != nodes::INVITED).count()),
            nodes_live: count(nodes.iter().filter(|node| node.live).count()),
            certificates: count(certificates.len() - missing),
            certificates_missing: count(missing),
            orders: count(certificates.iter().filter(|it| it.is_ordered()).count()),
            troubles: self.troubles(&nodes, &certificates),
            distributions: count(self.distributions_count()),
        }
    }

    /// What somebody should look at.
    fn troubles(&self, nodes: &[m::Node], certificates: &[m::Certificate]) -> Vec<String> {
        let mut troubles = Vec::new();
        for node in nodes {
            if !node.live && node.standing != nodes::INVITED {
                troubles.push(format!(
                    "node {} ({}) is not live: `landfast-edge status` there says why, or \
                     `nodes remove {}`",
                    node.id, node.name, node.name
                ));
            }
            for m::Refusal { key, reason } in &node.refused {
                troubles.push(format!("node {} refuses {key}: {reason}", node.id));
            }
        }
        for certificate in certificates {
            if certificate.state == certificates::EXPIRED {
                troubles.push(format!(
                    "certificate {} has expired: `certificates renew {}`",
                    certificate.id, certificate.id
                ));
            }
            if !certificate.failure.is_empty() {
                let (id, why) = (&certificate.id, &certificate.failure);
                troubles.push(format!("the order for {id} fails: {why}"));
            }
        }
        troubles
    }

    /// A copy of the store beside it, read out and removed.
    async fn backup(&self) -> Result<Pieces, Status> {
        let failed = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
        let copy = Copy(self.config.store.path.with_extension(format!("backup.{}", now_nanos())));
        let note = records::Backup { made: now() };
        let (key, record) = (note.key(), note.into_record());
        let record = serde_json::to_vec(&record).map_err(|error| failed(&error))?;
        let made = self.store.back_up(&copy.0, (&key, &record)).await;
        made.map_err(|error| failed(&error))?;
        let file = std::fs::File::open(&copy.0).map_err(|error| failed(&error))?;
        // Open, it is read to its end without a name, and never left behind.
        drop(copy);
        let (sender, receiver) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || send_pieces(file, &sender));
        Ok(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver).map(|piece| {
            piece.map_err(|error: std::io::Error| Status::internal(error.to_string()))
        })))
    }
}

fn now_nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// A file that goes with this.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        // Where it was never made there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn send_pieces(mut file: std::fs::File, sender: &mpsc::Sender<Result<m::Piece, std::io::Error>>) {
    use std::io::Read;
    loop {
        let mut data = Vec::with_capacity(crate::limits::BACKUP_PIECE_BYTES);
        let read = file.by_ref().take(crate::limits::BACKUP_PIECE_BYTES as u64);
        let piece = { read }.read_to_end(&mut data).map(|_| m::Piece { data: Bytes::from(data) });
        let ends = piece.as_ref().map_or(true, |piece| piece.data.is_empty());
        // Nobody waits for it any more, or this was the last.
        if matches!(&piece, Ok(piece) if piece.data.is_empty())
            || sender.blocking_send(piece).is_err()
            || ends
        {
            return;
        }
    }
}
