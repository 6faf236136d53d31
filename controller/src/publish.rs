//! The listener that nodes connect to: enrolment for who has an invitation, bundles for who has an
//! identity.
//!
//! | module | job |
//! |---|---|
//! | [`listener`] | TCP and TLS, and who is at the other end |
//! | `enrolment` | from an invitation to a node |
//! | `places` | how many connections each host and each node may have |
//! | `session` | one node's stream: what it lacks, and what it says it has |

mod enrolment;
pub mod listener;
mod places;
mod session;

use std::convert::Infallible;
use std::sync::Arc;

use fleet_wire::message::enrolment_server::EnrolmentServer;
use fleet_wire::message::fleet_server::{Fleet, FleetServer};
use fleet_wire::message::{Identity, Order, RenewIdentityRequest, Report};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::config::NodeTimes;
use crate::identity::{Authority, IdentityError, Peer};
use crate::ledger::{Change, Ledger, Stored};
use crate::limits;
use crate::nodes::Nodes;
use crate::records::Node;
use listener::Caller;
use session::Session;

/// What the listener's services work with.
#[derive(Clone)]
pub struct Publisher {
    /// The state.
    pub ledger: Arc<Ledger>,
    /// Who lives and has what.
    pub nodes: Arc<Nodes>,
    /// Who signs identities.
    pub authority: Arc<Authority>,
    /// What nodes are told about reports and leases.
    pub times: NodeTimes,
}

/// Serves nodes on `listener`, under these names and addresses, for as long as the runtime runs.
///
/// # Errors
/// Where TLS cannot be set up.
pub async fn serve(
    publisher: Publisher,
    names: &[String],
    listener: TcpListener,
) -> Result<Infallible, IdentityError> {
    let tls = publisher.authority.server_config(names, OffsetDateTime::now_utc())?;
    let connections = listener::accept(listener, Arc::new(tls), publisher.clone());
    let fleet = FleetServer::new(publisher.clone())
        .max_decoding_message_size(fleet_wire::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(fleet_wire::MAX_MESSAGE_BYTES);
    let enrolment =
        EnrolmentServer::new(publisher).max_decoding_message_size(limits::MAX_ENROLMENT_BYTES);
    let served = tonic::transport::Server::builder()
        .max_concurrent_streams(limits::MAX_STREAMS)
        .http2_keepalive_interval(Some(limits::HTTP2_KEEPALIVE))
        .http2_keepalive_timeout(Some(limits::HTTP2_KEEPALIVE))
        .http2_max_header_list_size(limits::MAX_HEADER_BYTES)
        .add_service(fleet)
        .add_service(enrolment)
        .serve_with_incoming(connections)
        .await;
    // It ends when the stream of connections does, which has no end.
    Err(IdentityError::Authority(match served {
        Ok(()) => "the listener ended by itself".into(),
        Err(error) => error.to_string(),
    }))
}

impl Publisher {
    /// The node at the other end: who has shown a certificate of ours, and whose record knows it.
    async fn node(&self, peer: &Peer) -> Result<Stored<Node>, Status> {
        match self.known(peer) {
            Some(node) => Ok(node),
            None => self.found_again(peer).await,
        }
    }

    /// A node whose identity was lost with the store that a backup took the place of.
    async fn found_again(&self, peer: &Peer) -> Result<Stored<Node>, Status> {
        let node = self.ledger.get::<Node>(&peer.node.to_string()).ok_or_else(removed)?;
        let now = OffsetDateTime::now_utc();
        let again = node.value.clone().found_again(peer, now).ok_or_else(removed)?;
        let (id, name) = (again.id, again.name.clone());
        let kept = self.ledger.commit(Change::new().if_unchanged(&node).put(again)).await;
        kept.map_err(|error| Status::aborted(format!("not known yet, try again: {error}")))?;
        tracing::warn!(
            node = id,
            name,
            "the node is known again by an identity that it got after the backup was made"
        );
        self.known(peer).ok_or_else(removed)
    }

    /// Whether a peer is a node, or will be with its first request.
    fn is_node(&self, peer: &Peer) -> bool {
        let node = self.ledger.get::<Node>(&peer.node.to_string()).map(|node| node.value);
        node.is_some_and(|node| {
            peer.is(&node) || node.found_again(peer, OffsetDateTime::now_utc()).is_some()
        })
    }

    /// The record of a peer, while it knows the peer's key.
    fn known(&self, peer: &Peer) -> Option<Stored<Node>> {
        let node = self.ledger.get::<Node>(&peer.node.to_string())?;
        peer.is(&node.value).then_some(node)
    }
}

/// By which certificate a request comes.
fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let caller = request.extensions().get::<Caller>();
    let peer = caller.and_then(|caller| caller.peer.clone());
    peer.ok_or_else(|| Status::unauthenticated("no certificate: enrol first"))
}

fn removed() -> Status {
    Status::unauthenticated(
        "this identity is not known (any more): the node was removed, or enrolled anew. `landfast-controller nodes invite` and `landfast-edge enrol` make another",
    )
}

#[tonic::async_trait]
impl Fleet for Publisher {
    type FollowStream = ReceiverStream<Result<Order, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let peer = peer(&request)?;
        let node = self.node(&peer).await?;
        // One: what a node lacks is found when it takes it, and never waits in a queue.
        let (orders, stream) = mpsc::channel(1);
        let session = Session::new(self.clone(), node, peer, request.into_inner());
        tokio::spawn(session.run(orders));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn renew_identity(
        &self,
        request: Request<RenewIdentityRequest>,
    ) -> Result<Response<Identity>, Status> {
        let peer = peer(&request)?;
        let node = self.node(&peer).await?;
        let csr = &request.get_ref().request;
        let made = self.authority.identify(node.value.id, csr, OffsetDateTime::now_utc());
        let made = made.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let renewed = node.value.clone();
        let renewed = renewed.with_identity(Some(&peer.key_sha256), made.key_sha256.clone());
        let change = Change::new().if_unchanged(&node).put(renewed);
        let kept = self.ledger.commit(change).await;
        kept.map_err(|error| Status::aborted(format!("not renewed, try again: {error}")))?;
        tracing::info!(node = node.value.id, name = node.value.name, "its identity is renewed");
        Ok(Response::new(self.identity(node.value.id, made)))
    }
}

impl Publisher {
    fn identity(&self, node: u16, made: crate::identity::Identity) -> Identity {
        let chain = made.chain.iter().map(|der| bytes::Bytes::copy_from_slice(der)).collect();
        let authority = bytes::Bytes::copy_from_slice(self.authority.certificate());
        Identity { node: node.into(), chain, authority }
    }
}
