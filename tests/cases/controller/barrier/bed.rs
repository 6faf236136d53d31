//! A controller, its nodes over real streams at addresses of their own, and an authority that knocks
//! on one of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use controller::acme::observed::Observed;
use controller::acme::{self, Ask, DEFAULT_LIMITS, Deed, Issuers, Times, probe};
use controller::certificate::names::Policy;
use controller::config::{ChallengeKind, Issuer, NodeTimes};
use controller::ledger::Change;
use controller::records::{Certificate, KeyType, Node, NodeStanding};
use edge_user::tls::Challenges;
use tests::pebble::{Pebble, PebbleOptions};
use tests::simulated_node::enrolled::Enrolled;
use tests::simulated_node::{Conduct, SimulatedNode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::controller::nodes::{Controller, HOUR};
use crate::controller::orders::bed::{PEBBLE, request};

pub(super) const LONG: Duration = Duration::from_secs(60);
pub(super) const BARRIER: Duration = Duration::from_millis(1_200);
const NODE_TIMES: NodeTimes =
    NodeTimes { lease: Duration::from_secs(2), keepalive: Duration::from_millis(400) };

pub(super) struct Bed {
    pub(super) controller: Controller,
    _authority: Pebble,
    pub(super) observed: Arc<Observed>,
    asks: mpsc::Sender<Ask>,
    tasks: Vec<JoinHandle<()>>,
    http_port: u16,
}

/// A node that follows the controller. Dropped, it is gone from one moment to the next.
pub(super) struct Following {
    _node: SimulatedNode,
    pub(super) enrolled: Enrolled,
    challenges: Arc<Challenges>,
    answers: Option<JoinHandle<()>>,
}

impl Bed {
    pub(super) async fn new() -> Self {
        let controller = Controller::start_with(NODE_TIMES).await;
        let http_port = {
            let bound = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            bound.local_addr().expect("bound").port()
        };
        let authority = Pebble::start(PebbleOptions { http_port, ..PebbleOptions::default() });
        let authority = authority.expect("pebble");
        let issuer = Issuer {
            directory: authority.directory_url(),
            contact: Vec::new(),
            root: Some(authority.trust().to_owned()),
            external_account: None,
            challenge: ChallengeKind::Http01,
            dns_hook: None,
            stateless: false,
            key_type: KeyType::P256,
            limits: DEFAULT_LIMITS,
        };
        let issuers = Issuers {
            by_name: BTreeMap::from([(PEBBLE.to_owned(), issuer)]),
            policy: Policy { reserved: true, ..Policy::default() },
            internal_file: None,
            imported: Vec::new(),
            ports: probe::Ports { http: http_port, tls: 1 },
            times: Times {
                barrier: BARRIER,
                drain_settles: Duration::from_millis(100),
                ..Times::default()
            },
            lease: NODE_TIMES.lease,
            seed: 1,
        };
        let observed = Observed::new(&prometheus::Registry::new()).expect("a test may assume");
        let observed = Arc::new(observed);
        let (asks, taken) = mpsc::channel(8);
        let (ledger, nodes) = (Arc::clone(&controller.ledger), Arc::clone(&controller.nodes));
        let orders = acme::run(ledger, nodes, issuers, taken, Arc::clone(&observed));
        let leases = Arc::clone(&controller.nodes);
        let tasks = vec![
            tokio::spawn(async move {
                orders.await;
            }),
            tokio::spawn(async move {
                leases.watch_leases().await;
            }),
        ];
        Self { controller, _authority: authority, observed, asks, tasks, http_port }
    }

    /// A node that takes traffic at `site`, and answers on its port 80 only if it is `reachable`.
    pub(super) async fn node(&self, id: u8, site: &str, reachable: bool) -> Following {
        self.node_as(id, site, reachable, NodeStanding::Serving).await
    }

    pub(super) async fn node_as(
        &self,
        id: u8,
        site: &str,
        reachable: bool,
        standing: NodeStanding,
    ) -> Following {
        let node = Node {
            id: id.into(),
            name: format!("n{id}"),
            site: site.to_owned(),
            ipv4: Some(address(id)),
            ipv6: None,
            serves: Vec::new(),
            standing,
            identities: Vec::new(),
            lost: None,
        };
        let invitation = self.controller.invite_as(node, HOUR).await;
        let enrolled = Enrolled::by(&invitation, self.controller.address).await.expect("enrolled");
        self.stand(id, standing).await;
        let mut node = self.follow(enrolled).await;
        if reachable {
            node.answer(id, self.http_port).await;
        }
        node
    }

    /// The node's stream, anew; it does not answer yet.
    pub(super) async fn follow(&self, enrolled: Enrolled) -> Following {
        let challenges = Arc::new(Challenges::new());
        let conduct = Conduct { answers: Some(Arc::clone(&challenges)), ..Conduct::default() };
        let channel = enrolled.connect(self.controller.address).await.expect("connected");
        let mut node = SimulatedNode::follow(channel, conduct);
        node.until(|held| held.position.is_some()).await.expect("it follows");
        let mut changed = self.controller.nodes.changed();
        while !self.controller.nodes.live().contains(&node_of(&enrolled)) {
            changed.changed().await.expect("it lives");
        }
        Following { _node: node, enrolled, challenges, answers: None }
    }

    pub(super) async fn answer(&self, node: &mut Following, id: u8) {
        node.answer(id, self.http_port).await;
    }

    pub(super) async fn stand(&self, id: u8, standing: NodeStanding) {
        let stored = self.controller.ledger.get::<Node>(&id.to_string()).expect("enrolled");
        let node = Node { standing, ..stored.value.clone() };
        self.controller.ledger.commit(Change::new().put(node)).await.expect("kept");
    }

    pub(super) fn standing(&self, id: u8) -> NodeStanding {
        self.controller.ledger.get::<Node>(&id.to_string()).expect("enrolled").value.standing
    }

    pub(super) async fn request(&self, name: &str) {
        self.ask(Deed::Request(request(PEBBLE, &[name]))).await;
    }

    pub(super) async fn ask(&self, deed: Deed) {
        let (reply, done) = oneshot::channel();
        self.asks.send(Ask { deed, reply }).await.expect("it runs");
        done.await.expect("it runs").expect("allowed");
    }

    pub(super) fn certificate(&self, name: &str) -> Option<Certificate> {
        self.controller.ledger.get::<Certificate>(name).map(|stored| stored.value)
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut moved = self.controller.ledger.moved();
        let looks = async {
            while !is_so() {
                // What is in the ledger, and what is not.
                let _ = tokio::time::timeout(Duration::from_millis(50), moved.changed()).await;
            }
        };
        assert!(tokio::time::timeout(LONG, looks).await.is_ok(), "{what}: not within {LONG:?}");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Following {
    async fn answer(&mut self, id: u8, port: u16) {
        let listener = TcpListener::bind((address(id), port)).await.expect("nobody else's");
        let challenges = Arc::clone(&self.challenges);
        self.answers = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&challenges)));
            }
        }));
    }

    /// Nobody reaches it any more; its stream goes on.
    pub(super) fn fall_silent(&mut self) {
        if let Some(answers) = self.answers.take() {
            answers.abort();
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

const fn address(id: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, id)
}

/// Port 80 of a node, which knows one kind of request.
async fn answer(mut stream: TcpStream, challenges: Arc<Challenges>) {
    let mut request = vec![0; 4_096];
    let length = stream.read(&mut request).await.unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap_or_default();
    let (status, body) = match challenges.http01(token) {
        Some(answer) => ("200 OK", answer.to_string()),
        None => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await; // who asked may have gone
}

fn node_of(enrolled: &Enrolled) -> u16 {
    u16::try_from(enrolled.identity.node).expect("a number of a node")
}
