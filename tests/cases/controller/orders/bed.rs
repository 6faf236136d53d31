//! A controller's task of orders, with an authority, one before it that can be told to misbehave, and
//! a node that answers from the ledger.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use controller::acme::observed::Observed;
use controller::acme::order::{Phase, State};
use controller::acme::{self, Ask, DEFAULT_LIMITS, Deed, Issuers, Times, probe};
use controller::certificate::names::Policy;
use controller::config::{ChallengeKind, Issuer};
use controller::ledger::{Change, Ledger};
use controller::records::{Certificate, KeyType, Node, NodeStanding, Order, Request};
use controller::store::Embedded;
use tempfile::TempDir;
use tests::pebble::{Endpoint, Pebble, PebbleOptions, Unruly};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::edge::Edge;

/// The issuer that is pebble itself.
pub(crate) const PEBBLE: &str = "pebble";
/// The same, with somebody before it who can be told to misbehave.
pub(crate) const UNRULY: &str = "unruly";

pub(crate) struct Bed {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) authority: Pebble,
    pub(crate) unruly: Unruly,
    pub(crate) edge: Edge,
    pub(crate) observed: Arc<Observed>,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
    issuers: Issuers,
    store: TempDir,
}

impl Bed {
    pub(crate) async fn new(options: PebbleOptions) -> Self {
        Self::with(options, |_, _| {}).await
    }

    /// With orders told otherwise than usual.
    pub(crate) async fn with(
        options: PebbleOptions,
        told: impl FnOnce(&mut Issuers, &Pebble),
    ) -> Self {
        let store = tempfile::tempdir().expect("a test may assume");
        let path = store.path().join("store.redb");
        let ledger = Ledger::open(Arc::new(Embedded::create(&path).expect("a test may assume")))
            .await
            .expect("a test may assume");
        let ledger = Arc::new(ledger);
        let node = Node {
            id: 1,
            name: "a".into(),
            site: "a".into(),
            ipv4: Some(Ipv4Addr::LOCALHOST),
            ipv6: None,
            serves: Vec::new(),
            standing: NodeStanding::Serving,
            identities: Vec::new(),
            lost: None,
        };
        ledger.commit(Change::new().put(node)).await.expect("a test may assume");
        let edge = Edge::start(&ledger);
        let (http_port, tls_port) = (edge.http_port, edge.tls_port);
        let options = PebbleOptions { http_port, tls_port, ..options };
        let authority = Pebble::start(options).expect("pebble");
        let unruly = Unruly::before(&authority).expect("it listens");
        let mut issuers = Issuers {
            by_name: BTreeMap::from([
                (PEBBLE.to_owned(), issuer(authority.directory_url(), &authority)),
                (UNRULY.to_owned(), issuer(unruly.directory_url(), &authority)),
            ]),
            policy: Policy { reserved: true, ..Policy::default() },
            internal_file: None,
            imported: Vec::new(),
            ports: probe::Ports { http: http_port, tls: tls_port },
            times: Times::default(),
            lease: Duration::from_secs(10),
            seed: 1,
        };
        told(&mut issuers, &authority);
        let observed = Observed::new(&prometheus::Registry::new()).expect("a test may assume");
        let observed = Arc::new(observed);
        let (task, asks) = start(&ledger, &issuers, &edge, &observed);
        Self { ledger, authority, unruly, edge, observed, asks, task, issuers, store }
    }

    /// How many orders the authority has made.
    pub(crate) fn orders(&self) -> usize {
        self.authority.log().matches("Added order").count()
    }

    pub(crate) async fn request(&self, name: &str) {
        self.request_at(PEBBLE, &[name]).await;
    }

    pub(crate) async fn request_at(&self, issuer: &str, names: &[&str]) {
        self.ask(Deed::Request(request(issuer, names))).await.expect("a test may assume");
    }

    /// As an operator's command asks.
    pub(crate) async fn ask(&self, deed: Deed) -> Result<(), String> {
        self.begin(deed).await.await.expect("a test may assume")
    }

    /// The same, without waiting for what comes of it.
    pub(crate) async fn begin(&self, deed: Deed) -> oneshot::Receiver<Result<(), String>> {
        let (reply, done) = oneshot::channel();
        self.asks.send(Ask { deed, reply }).await.expect("a test may assume");
        done
    }

    /// Starts it anew with orders told otherwise.
    pub(crate) async fn tell(&mut self, told: impl FnOnce(&mut Issuers)) {
        told(&mut self.issuers);
        self.die_and_return().await;
    }

    /// The certificate, once it is there.
    pub(crate) async fn certificate(&self, id: &str, within: Duration) -> Certificate {
        self.until(id, within, || self.ledger.get::<Certificate>(id).is_some()).await;
        self.ledger.get::<Certificate>(id).expect("a test may assume").value
    }

    /// The one that is there.
    pub(crate) fn certificate_now(&self, id: &str) -> Option<Certificate> {
        self.ledger.get::<Certificate>(id).map(|stored| stored.value)
    }

    pub(crate) fn failure(&self, id: &str) -> Option<String> {
        let state = State::of(&self.ledger.get::<Order>(id)?.value);
        state.failure.map(|failure| failure.why)
    }

    /// When the next attempt is, after a failure: seconds since 1970.
    pub(crate) fn not_before(&self, id: &str) -> Option<u64> {
        match State::of(&self.ledger.get::<Order>(id)?.value).phase {
            Phase::Waiting { not_before } => Some(not_before),
            _ => None,
        }
    }

    /// Waits until the authority that can be told to misbehave was asked so often.
    pub(crate) async fn until_asked(&self, endpoint: Endpoint, requests: usize, within: Duration) {
        let asked = async {
            while self.unruly.requests(endpoint) < requests {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let heard = tokio::time::timeout(within, asked).await;
        assert!(heard.is_ok(), "{endpoint:?}: {}", self.unruly.requests(endpoint));
    }

    /// Waits until no order is in the ledger.
    pub(crate) async fn until_idle(&self, within: Duration) {
        self.until("orders end", within, || self.ledger.all::<Order>().is_empty()).await;
    }

    pub(crate) async fn until(&self, what: &str, within: Duration, is_so: impl Fn() -> bool) {
        let mut moved = self.ledger.moved();
        let looks = async {
            while !is_so() {
                moved.changed().await.expect("a test may assume");
            }
        };
        if tokio::time::timeout(within, looks).await.is_err() {
            panic!("{what}: not within {within:?}; {:?}", self.ledger.all::<Order>());
        }
    }

    pub(crate) async fn until_it_moves(&self, within: Duration) {
        let mut moved = self.ledger.moved();
        tokio::time::timeout(within, moved.changed())
            .await
            .expect("it goes on")
            .expect("a test may assume");
    }

    /// As kill -9 does: nothing is said, and only what was committed is there afterwards.
    pub(crate) async fn die_and_return(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        let path = self.store.path().join("store.redb");
        // A store has one owner: orders that were aborted with their task let go of it in a moment.
        let empty = tempfile::tempdir().expect("a test may assume");
        let other = Embedded::create(&empty.path().join("s")).expect("a test may assume");
        self.ledger = Arc::new(Ledger::open(Arc::new(other)).await.expect("a test may assume"));
        self.edge.follow(&self.ledger);
        let store = loop {
            match Embedded::open(&path) {
                Ok(store) => break store,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        self.ledger = Arc::new(Ledger::open(Arc::new(store)).await.expect("a test may assume"));
        self.edge.follow(&self.ledger);
        (self.task, self.asks) = start(&self.ledger, &self.issuers, &self.edge, &self.observed);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn request(issuer: &str, names: &[&str]) -> Request {
    Request {
        id: names[0].into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        issuer: issuer.into(),
        key_type: KeyType::P256,
    }
}

/// An issuer as the configuration has it where it says no more than a URL and what to trust.
fn issuer(directory: String, authority: &Pebble) -> Issuer {
    Issuer {
        directory,
        contact: Vec::new(),
        root: Some(authority.trust().to_owned()),
        external_account: None,
        challenge: ChallengeKind::Http01,
        dns_hook: None,
        stateless: false,
        key_type: KeyType::P256,
        limits: DEFAULT_LIMITS,
    }
}

fn start(
    ledger: &Arc<Ledger>,
    issuers: &Issuers,
    edge: &Edge,
    observed: &Arc<Observed>,
) -> (JoinHandle<()>, mpsc::Sender<Ask>) {
    let (asks, taken) = mpsc::channel(8);
    let fleet = Arc::clone(&edge.bundle);
    let (ledger, issuers, observed) = (Arc::clone(ledger), issuers.clone(), Arc::clone(observed));
    let task = tokio::spawn(async move {
        acme::run(ledger, fleet, issuers, taken, observed).await;
    });
    (task, asks)
}
