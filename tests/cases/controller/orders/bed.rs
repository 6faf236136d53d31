//! A controller's task of orders, with an authority and a node that answers from the ledger.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use controller::acme::barrier::Has;
use controller::acme::observed::Observed;
use controller::acme::order::State;
use controller::acme::{self, Ask, DEFAULT_LIMITS, Deed, Fleet, Issuers, Times, probe};
use controller::certificate::names::Policy;
use controller::config::{ChallengeKind, Issuer};
use controller::ledger::{Change, Ledger};
use controller::records::{Certificate, Challenge, KeyType, Node, NodeStanding, Order, Request};
use controller::store::Embedded;
use tempfile::TempDir;
use tests::pebble::{Pebble, PebbleOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// One node, whose bundle is the ledger itself: it holds what is there.
struct OneNode {
    changed: watch::Sender<u64>,
}

impl Fleet for OneNode {
    fn live(&self) -> Vec<u16> {
        vec![1]
    }

    fn holds(&self, _key: &str, _serial: u64) -> Vec<(u16, Has)> {
        vec![(1, Has::Yes)]
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

pub(super) struct Bed {
    pub(super) ledger: Arc<Ledger>,
    authority: Pebble,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
    /// What the node answers from: the ledger of the controller that lives.
    shown: Arc<Mutex<Arc<Ledger>>>,
    issuers: Issuers,
    store: TempDir,
}

impl Bed {
    pub(super) async fn new(options: PebbleOptions) -> Self {
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
        };
        ledger.commit(Change::new().put(node)).await.expect("a test may assume");
        let shown = Arc::new(Mutex::new(Arc::clone(&ledger)));
        let http_port = answer_from(Arc::clone(&shown)).await;
        let authority = Pebble::start(PebbleOptions { http_port, ..options }).expect("pebble");
        let issuer = Issuer {
            directory: authority.directory_url(),
            contact: Vec::new(),
            root: Some(authority.trust().to_owned()),
            external_account: None,
            challenge: ChallengeKind::Http01,
            dns_hook: None,
            stateless: false,
        };
        let issuers = Issuers {
            by_name: BTreeMap::from([("pebble".to_owned(), issuer)]),
            limits: DEFAULT_LIMITS,
            policy: Policy { reserved: true, ..Policy::default() },
            internal_file: None,
            imported: Vec::new(),
            ports: probe::Ports { http: http_port, tls: 1 },
            times: Times::default(),
            seed: 1,
        };
        let (task, asks) = start(&ledger, &issuers);
        Self { ledger, authority, asks, task, shown, issuers, store }
    }

    /// How many orders the authority has made.
    pub(super) fn orders(&self) -> usize {
        self.authority.log().matches("Added order").count()
    }

    pub(super) async fn request(&self, name: &str) {
        let (reply, done) = oneshot::channel();
        let request = Request {
            id: name.into(),
            names: vec![name.into()],
            issuer: "pebble".into(),
            key_type: KeyType::P256,
        };
        self.asks
            .send(Ask { deed: Deed::Request(request), reply })
            .await
            .expect("a test may assume");
        done.await.expect("a test may assume").expect("a test may assume");
    }

    /// The certificate, once it is there.
    pub(super) async fn certificate(&self, id: &str, within: Duration) -> Certificate {
        self.until(id, within, || self.ledger.get::<Certificate>(id).is_some()).await;
        self.ledger.get::<Certificate>(id).expect("a test may assume").value
    }

    pub(super) fn failure(&self, id: &str) -> Option<String> {
        let state = State::of(&self.ledger.get::<Order>(id)?.value);
        state.failure.map(|failure| failure.why)
    }

    pub(super) async fn until(&self, what: &str, within: Duration, is_so: impl Fn() -> bool) {
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

    pub(super) async fn until_it_moves(&self, within: Duration) {
        let mut moved = self.ledger.moved();
        tokio::time::timeout(within, moved.changed())
            .await
            .expect("it goes on")
            .expect("a test may assume");
    }

    /// As kill -9 does: nothing is said, and only what was committed is there afterwards.
    pub(super) async fn die_and_return(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        let path = self.store.path().join("store.redb");
        // A store has one owner: orders that were aborted with their task let go of it in a moment.
        let empty = tempfile::tempdir().expect("a test may assume");
        let other = Embedded::create(&empty.path().join("s")).expect("a test may assume");
        let other = Arc::new(Ledger::open(Arc::new(other)).await.expect("a test may assume"));
        *self.shown.lock().expect("a test may assume") = Arc::clone(&other);
        self.ledger = other;
        let store = loop {
            match Embedded::open(&path) {
                Ok(store) => break store,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        self.ledger = Arc::new(Ledger::open(Arc::new(store)).await.expect("a test may assume"));
        *self.shown.lock().expect("a test may assume") = Arc::clone(&self.ledger);
        (self.task, self.asks) = start(&self.ledger, &self.issuers);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.authority.log());
        }
        self.task.abort();
    }
}

fn start(ledger: &Arc<Ledger>, issuers: &Issuers) -> (JoinHandle<()>, mpsc::Sender<Ask>) {
    let (asks, taken) = mpsc::channel(8);
    let observed =
        Arc::new(Observed::new(&prometheus::Registry::new()).expect("a test may assume"));
    let fleet = Arc::new(OneNode { changed: watch::Sender::new(0) });
    let (ledger, issuers) = (Arc::clone(ledger), issuers.clone());
    let task = tokio::spawn(async move {
        acme::run(ledger, fleet, issuers, taken, observed).await;
    });
    (task, asks)
}

/// Port 80 of a node: answers challenges that are in the ledger, and nothing else.
async fn answer_from(shown: Arc<Mutex<Arc<Ledger>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a test may assume");
    let port = listener.local_addr().expect("a test may assume").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let shown = Arc::clone(&shown);
            tokio::spawn(async move {
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap_or_default();
                let ledger = Arc::clone(&shown.lock().expect("a test may assume"));
                let challenge = ledger.get::<Challenge>(&format!("http-01/{token}"));
                let answer = match challenge.map(|stored| stored.value) {
                    Some(Challenge::Http01 { key_authorization, .. }) => format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{key_authorization}",
                        key_authorization.len()
                    ),
                    _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}
