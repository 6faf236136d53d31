//! A node that holds what the ledger holds, and answers authorities as the edge does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use controller::acme::Fleet;
use controller::acme::barrier::Has;
use controller::ledger::Ledger;
use controller::records::{Account, Challenge, Kind};
use edge_user::config::{Listen, UnknownNames};
use edge_user::tcp::{Answers, ClearPort};
use edge_user::tls::tickets::FleetTickets;
use edge_user::tls::{Acceptor, Challenges, Live};
use fleet_wire::message::Item;
use tests::simulated_node::answers;
use tokio::sync::watch;

/// Ports that were free a moment ago can be taken: so often others are tried.
const ATTEMPTS: u32 = 5;

pub(crate) struct Edge {
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) http_port: u16,
    pub(crate) tls_port: u16,
    /// The ledger of the controller that lives.
    follows: watch::Sender<Arc<Ledger>>,
    pub(crate) bundle: Arc<Bundle>,
}

/// As one node that has applied the ledger up to a serial.
pub(crate) struct Bundle {
    applied: AtomicU64,
    changed: watch::Sender<u64>,
}

impl Fleet for Bundle {
    fn live(&self) -> Vec<u16> {
        vec![1]
    }

    fn holds(&self, _key: &str, serial: u64) -> Vec<(u16, Has)> {
        let applied = self.applied.load(Ordering::SeqCst);
        vec![(1, if applied >= serial { Has::Yes } else { Has::NotYet })]
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl Edge {
    /// Serves, for as long as the process runs; follows `ledger` within this runtime.
    pub(crate) fn start(ledger: &Arc<Ledger>) -> Self {
        let challenges = Arc::new(Challenges::new());
        let certificates = Arc::new(Live::new(UnknownNames::Refuse));
        let (clear, http_port) = clear();
        let tls_port = serve_tls(&certificates, &challenges);
        let tally = Arc::default();
        let answers = Answers { challenges: Arc::clone(&challenges), certificates, tally };
        clear.serve(answers).expect("a thread");
        let follows = watch::Sender::new(Arc::clone(ledger));
        let bundle =
            Arc::new(Bundle { applied: AtomicU64::new(0), changed: watch::Sender::new(0) });
        let following = follow(follows.subscribe(), Arc::clone(&challenges), Arc::clone(&bundle));
        tokio::spawn(following);
        Self { challenges, http_port, tls_port, follows, bundle }
    }

    /// From now on it has what is in this ledger, once it has looked.
    pub(crate) fn follow(&self, ledger: &Arc<Ledger>) {
        self.bundle.applied.store(0, Ordering::SeqCst);
        self.follows.send_replace(Arc::clone(ledger));
    }
}

fn clear() -> (ClearPort, u16) {
    let free = || {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        bound.local_addr().expect("bound").port()
    };
    for _ in 0..ATTEMPTS {
        let (http, https) = (free(), free());
        let listen = Listen {
            anycast: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            port: https,
            tcp: true,
            http_port: Some(http),
            interfaces: Vec::new(),
            workers: 1,
        };
        if let Ok(Some(port)) = ClearPort::bind(&listen) {
            return (port, http);
        }
    }
    panic!("no port is free")
}

/// Shakes hands as a worker does, for as long as this runtime lasts. Says at which port.
fn serve_tls(certificates: &Arc<Live>, challenges: &Arc<Challenges>) -> u16 {
    let tickets = Arc::new(FleetTickets::new(&tests::credentials::secrets(1).tickets));
    let acceptor = Arc::new(Acceptor::new(certificates, &tickets, challenges));
    let listener = edge_user::tcp::group::bind(0, 1).expect("a free port").remove(0);
    let port = listener.local_addr().expect("bound").port();
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = Arc::clone(&acceptor);
            tokio::spawn(async move { acceptor.meet(stream).await });
        }
    });
    port
}

async fn follow(
    mut follows: watch::Receiver<Arc<Ledger>>,
    challenges: Arc<Challenges>,
    bundle: Arc<Bundle>,
) {
    let mut held: BTreeMap<String, Item> = BTreeMap::new();
    loop {
        let ledger = Arc::clone(&follows.borrow_and_update());
        let mut moved = ledger.moved();
        let serial = moved.borrow_and_update().serial;
        let there: BTreeMap<String, Item> =
            items::<Challenge>(&ledger).chain(items::<Account>(&ledger)).collect();
        for key in held.keys().filter(|key| !there.contains_key(*key)) {
            answers::forget(&challenges, key);
        }
        for item in there.values() {
            answers::take(&challenges, item).expect("what the controller sends is good");
        }
        held = there;
        bundle.applied.store(serial, Ordering::SeqCst);
        bundle.changed.send_modify(|count| *count += 1);
        drop(ledger); // a controller that returns opens the store anew
        tokio::select! {
            _ = moved.changed() => {}
            followed = follows.changed() => if followed.is_err() { return },
        }
    }
}

fn items<K: Kind>(ledger: &Ledger) -> impl Iterator<Item = (String, Item)> {
    ledger.all::<K>().into_iter().filter_map(|stored| {
        let key = stored.value.key();
        let (body, _) = stored.value.into_record().item()?;
        Some((key.clone(), Item { key, body: Some(body) }))
    })
}
