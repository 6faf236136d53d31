//! The controller's end of streams, over pipes in memory.

use std::pin::Pin;

use fleet_wire::message::fleet_server::{Fleet, FleetServer};
use fleet_wire::message::{
    Applied, Bundle, Hello, Identity, Order, RenewIdentityRequest, Report, Welcome, order, report,
};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

/// What nodes are asked for. Longer than what a busy machine takes for a test.
pub(super) const KEEPALIVE_MILLISECONDS: u32 = 30_000;

/// Takes streams, and leaves it to the test what is sent.
pub(super) struct Controller {
    connections: mpsc::Sender<std::io::Result<DuplexStream>>,
    streams: mpsc::Receiver<Stream>,
}

/// A node's stream.
pub(super) struct Stream {
    reports: Streaming<Report>,
    orders: mpsc::Sender<Result<Order, Status>>,
}

struct Service(Mutex<mpsc::Sender<Stream>>);

impl Controller {
    pub(super) fn start() -> Self {
        let (connections, incoming) = mpsc::channel(4);
        let (streams_to, streams) = mpsc::channel(4);
        let service = FleetServer::new(Service(Mutex::new(streams_to)))
            .max_encoding_message_size(usize::MAX)
            .max_decoding_message_size(fleet_wire::MAX_MESSAGE_BYTES);
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
        Self { connections, streams }
    }

    pub(super) async fn channel(&self) -> Channel {
        let connections = self.connections.clone();
        let connect = tower::service_fn(move |_| {
            let connections = connections.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(1 << 20);
                connections.send(Ok(theirs)).await.map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(TokioIo::new(ours))
            }
        });
        let endpoint = Endpoint::from_static("http://controller");
        endpoint.connect_with_connector(connect).await.expect("connected")
    }

    /// The next stream that a node begins.
    pub(super) async fn stream(&mut self) -> Stream {
        self.streams.recv().await.expect("it serves")
    }
}

impl Stream {
    pub(super) async fn hello(&mut self) -> Hello {
        match self.report().await {
            Some(Report { kind: Some(report::Kind::Hello(hello)) }) => hello,
            other => panic!("no hello: {other:?}"),
        }
    }

    pub(super) async fn welcome(&mut self, protocol: u32) {
        self.order(order::Kind::Welcome(welcome(protocol))).await;
    }

    pub(super) async fn send(&mut self, bundle: Bundle) {
        self.order(order::Kind::Bundle(bundle)).await;
    }

    /// A kind of order that no node of this version knows.
    pub(super) async fn unknown(&mut self) {
        self.orders.send(Ok(Order { kind: None })).await.expect("it reads");
    }

    pub(super) async fn order(&mut self, kind: order::Kind) {
        // It may have ended the stream for what it was sent before.
        let _ = self.orders.send(Ok(Order { kind: Some(kind) })).await;
    }

    /// The next report; none where the node has ended the stream.
    pub(super) async fn report(&mut self) -> Option<Report> {
        self.reports.message().await.unwrap_or_default()
    }

    /// The next answer to a bundle.
    pub(super) async fn applied(&mut self) -> Applied {
        loop {
            match self.report().await.expect("it follows").kind {
                Some(report::Kind::Applied(applied)) => return applied,
                Some(report::Kind::Alive(_)) => {}
                other => panic!("no answer: {other:?}"),
            }
        }
    }

    /// Waits until the node has ended the stream.
    pub(super) async fn closed(&mut self) {
        while self.report().await.is_some() {}
    }
}

pub(super) fn welcome(protocol: u32) -> Welcome {
    Welcome {
        protocol,
        keepalive_milliseconds: KEEPALIVE_MILLISECONDS,
        lease_milliseconds: 4 * KEEPALIVE_MILLISECONDS,
    }
}

#[tonic::async_trait]
impl Fleet for Service {
    type FollowStream = Pin<Box<ReceiverStream<Result<Order, Status>>>>;

    async fn follow(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (orders, stream) = mpsc::channel(4);
        let reports = request.into_inner();
        let to_test = self.0.lock().await;
        to_test.send(Stream { reports, orders }).await.map_err(|_| Status::aborted("ended"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn renew_identity(
        &self,
        _: Request<RenewIdentityRequest>,
    ) -> Result<Response<Identity>, Status> {
        Err(Status::unimplemented("identities are another test's"))
    }
}
