//! The nodes that are only streams, against a controller that follows a script: what a thousand of
//! them show of the real one is worth something only where they keep to the protocol.

use std::net::Ipv4Addr;
use std::time::Duration;

use fleet_wire::message::fleet_server::{Fleet, FleetServer};
use fleet_wire::message::{
    Bundle, Identity, Item, Order, Position, RenewIdentityRequest, Report, Welcome, order, report,
};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tests::simulated_node::{Conduct, SimulatedNode};
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

const NODES: usize = 50;

/// Welcomes each node, sends it an item, and tells what it reports.
struct Script(mpsc::Sender<report::Kind>);

#[tonic::async_trait]
impl Fleet for Script {
    type FollowStream = BoxStream<'static, Result<Order, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (mut reports, told) = (request.into_inner(), self.0.clone());
        tokio::spawn(async move {
            while let Ok(Some(Report { kind: Some(kind) })) = reports.message().await {
                let _ = told.send(kind).await; // the test may have seen enough
            }
        });
        let welcome = Welcome { protocol: 1, keepalive_milliseconds: 20, lease_milliseconds: 1000 };
        let item = Item { key: "account/a".to_owned(), body: None };
        let position = Some(Position { epoch: 1, term: 1, serial: 9 });
        let bundle =
            Bundle { position, whole: true, last: true, items: vec![item], removed: vec![] };
        let orders = [order::Kind::Welcome(welcome), order::Kind::Bundle(bundle)];
        let orders = orders.map(|kind| Ok(Order { kind: Some(kind) }));
        // And then nothing more, for as long as the node stays.
        Ok(Response::new(stream::iter(orders).chain(stream::pending()).boxed()))
    }

    async fn renew_identity(
        &self,
        _: Request<RenewIdentityRequest>,
    ) -> Result<Response<Identity>, Status> {
        Err(Status::unimplemented("the script has no identities"))
    }
}

#[tokio::test]
async fn each_greets_acknowledges_and_goes_on_to_report() {
    let all = follow_the_script();
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
}

async fn follow_the_script() {
    let (told, mut reports) = mpsc::channel(4 * NODES);
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = incoming.local_addr().expect("bound");
    let service = FleetServer::new(Script(told));
    tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URL");
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let channel = channel.connect().await.expect("connected");
        nodes.push(SimulatedNode::follow(channel, Conduct::default()));
    }
    for node in &mut nodes {
        let held = node.until(|held| held.position.is_some()).await.expect("acknowledged");
        assert_eq!(held.items.keys().collect::<Vec<_>>(), ["account/a"]);
        assert_eq!(held.bundles, [1, 0]);
    }
    let (mut greeted, mut applied, mut alive) = (0, 0, 0);
    while greeted < NODES || applied < NODES || alive < 3 * NODES {
        match reports.recv().await.expect("the script runs") {
            report::Kind::Hello(hello) => {
                assert!(hello.position.is_none(), "{hello:?}");
                greeted += 1;
            }
            report::Kind::Applied(report) => {
                assert_eq!(report.position.map(|position| position.serial), Some(9));
                applied += 1;
            }
            report::Kind::Alive(_) => alive += 1,
        }
    }
    assert_eq!((greeted, applied), (NODES, NODES), "once each");
}

#[tokio::test]
async fn one_whose_controller_is_not_there_says_so() {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = incoming.local_addr().expect("bound");
    drop(incoming);
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URL").connect_lazy();
    let mut node = SimulatedNode::follow(channel, Conduct::default());
    node.until(|held| held.position.is_some()).await.expect_err("nobody is there");
}
