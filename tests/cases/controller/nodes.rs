//! Nodes over real mutual TLS: how they join, what they get, and who gets nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use controller::config::NodeTimes;
use controller::identity::{Authority, hex, sha256};
use controller::ledger::{Change, Ledger};
use controller::nodes::{Holds, Nodes};
use controller::publish::{self, Publisher};
use controller::records::{self, Challenge, Kind as _, Node, NodeStanding};
use controller::store::{Embedded, KeyFile, Sealed};
use fleet_wire::PROTOCOL;
use fleet_wire::invitation::Invitation;
use fleet_wire::message::RenewIdentityRequest;
use fleet_wire::message::fleet_client::FleetClient;
use tests::simulated_node::enrolled::Enrolled;
use tests::simulated_node::{Conduct, SimulatedNode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const TIMES: NodeTimes =
    NodeTimes { lease: Duration::from_secs(20), keepalive: Duration::from_secs(2) };
pub(crate) const HOUR: u64 = 3600;

/// The part of a controller that nodes see.
pub(crate) struct Controller {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Controller {
    pub(crate) async fn start() -> Self {
        Self::start_with(TIMES).await
    }

    /// With other leases than usual.
    pub(crate) async fn start_with(times: NodeTimes) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Embedded::create(&directory.path().join("store")).expect("a store");
        let key = KeyFile::create(&directory.path().join("key")).expect("a key");
        let ledger = Ledger::open(Arc::new(Sealed::new(store, key))).await.expect("opened");
        let ledger = Arc::new(ledger);
        let record = Authority::generate(SystemTime::now().into()).expect("made");
        let authority = Arc::new(Authority::open(&record).expect("opened"));
        let nodes = Arc::new(Nodes::new(Arc::clone(&ledger), times.lease));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let publisher = Publisher {
            ledger: Arc::clone(&ledger),
            nodes: Arc::clone(&nodes),
            authority: Arc::clone(&authority),
            times,
        };
        let serving = tokio::spawn(async move {
            let names = ["127.0.0.1".to_owned()];
            let ended = publish::serve(publisher, &names, listener).await;
            panic!("it ended: {ended:?}");
        });
        Self { ledger, nodes, authority, address, serving, _directory: directory }
    }

    pub(crate) async fn invite(&self, id: u16, serves: &[&str], valid_seconds: u64) -> Invitation {
        let node = Node {
            id,
            name: format!("n{id}"),
            site: "s".into(),
            ipv4: None,
            ipv6: None,
            serves: serves.iter().map(|name| (*name).to_owned()).collect(),
            standing: NodeStanding::Joining,
            identities: Vec::new(),
            lost: None,
        };
        self.invite_as(node, valid_seconds).await
    }

    pub(crate) async fn invite_as(&self, node: Node, valid_seconds: u64) -> Invitation {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).expect("random");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let token_sha256 = hex(&sha256(&secret));
        let record = records::Invitation { node, token_sha256, expires: now + valid_seconds };
        self.ledger.commit(Change::new().put(record)).await.expect("kept");
        Invitation { authority: self.authority.fingerprint(), secret }
    }

    async fn enrol(&self, id: u16) -> Enrolled {
        let invitation = self.invite(id, &[], HOUR).await;
        Enrolled::by(&invitation, self.address).await.expect("enrolled")
    }

    async fn follow(&self, enrolled: &Enrolled, conduct: Conduct) -> SimulatedNode {
        let channel = enrolled.connect(self.address).await.expect("connected");
        SimulatedNode::follow(channel, conduct)
    }

    async fn put(&self, answer: &str) -> u64 {
        let change = Change::new().put(challenge(answer));
        self.ledger.commit(change).await.expect("kept").serial
    }
}

fn challenge(answer: &str) -> Challenge {
    Challenge::Http01 { token: "t".into(), key_authorization: answer.into() }
}

#[tokio::test]
async fn a_node_enrols_once_gets_the_state_and_each_change_of_it() {
    let controller = Controller::start().await;
    let invitation = controller.invite(1, &[], HOUR).await;
    let enrolled = Enrolled::by(&invitation, controller.address).await.expect("enrolled");
    assert_eq!(enrolled.identity.node, 1);
    let again = Enrolled::by(&invitation, controller.address).await.err().expect("used");
    assert!(format!("{again:?}").contains("used already, expired, or not ours"), "{again:?}");

    let serial = controller.put("t.first").await;
    let mut node = controller.follow(&enrolled, Conduct::default()).await;
    let at =
        |serial: u64| move |position: &fleet_wire::message::Position| position.serial >= serial;
    let held =
        node.until(|held| held.position.as_ref().is_some_and(at(serial))).await.expect("told");
    let keys: Vec<_> = held.items.keys().cloned().collect();
    assert_eq!(keys, [challenge("").key(), "node/1".to_owned()], "no invitation, no authority");
    let serial = controller.put("t.second").await;
    node.until(|held| held.position.as_ref().is_some_and(at(serial))).await.expect("told");
    let mut changed = controller.nodes.changed();
    while controller.nodes.holds(&challenge("").key(), serial) != [(1, Holds::Yes)] {
        changed.changed().await.expect("it lives");
    }
}

#[tokio::test]
async fn who_has_no_good_invitation_or_meets_another_controller_gets_nothing() {
    let controller = Controller::start().await;
    let late = controller.invite(1, &[], 0).await;
    assert!(Enrolled::by(&late, controller.address).await.is_err(), "expired");
    let good = controller.invite(2, &[], HOUR).await;
    let guessed = Invitation { secret: [0; 32], ..good.clone() };
    assert!(Enrolled::by(&guessed, controller.address).await.is_err(), "guessed");
    let other = Controller::start().await;
    let error = Enrolled::by(&good, other.address).await.err().expect("another authority");
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    assert!(other.ledger.all::<Node>().is_empty());
    Enrolled::by(&good, controller.address).await.expect("the secret was not shown to the other");
}

#[tokio::test]
async fn a_node_that_is_removed_is_cut_off_at_once_and_stays_a_stranger() {
    let controller = Controller::start().await;
    let enrolled = controller.enrol(1).await;
    let mut node = controller.follow(&enrolled, Conduct::default()).await;
    node.until(|held| held.position.is_some()).await.expect("told");
    let record = controller.ledger.get::<Node>("1").expect("enrolled");
    controller.ledger.commit(Change::new().delete(&record.value)).await.expect("removed");
    let ended = node.until(|_| false).await.expect_err("cut off");
    assert!(format!("{ended:?}").contains("not known (any more)"), "{ended:?}");
    let mut again = controller.follow(&enrolled, Conduct::default()).await;
    assert!(again.until(|held| held.position.is_some()).await.is_err());
    // Nor does its certificate make it another node of the same number.
    controller.enrol(1).await;
    let mut again = controller.follow(&enrolled, Conduct::default()).await;
    assert!(again.until(|held| held.position.is_some()).await.is_err());
}

#[tokio::test]
async fn renewals_whose_answers_are_lost_lock_nobody_out() {
    let controller = Controller::start().await;
    let enrolled = controller.enrol(1).await;
    for _ in 0..3 {
        let key = rcgen::KeyPair::generate().expect("a key");
        let request = rcgen::CertificateParams::default().serialize_request(&key).expect("made");
        let request = RenewIdentityRequest { request: request.der().to_vec().into() };
        let channel = enrolled.connect(controller.address).await.expect("connected");
        let renewed = FleetClient::new(channel).renew_identity(request).await.expect("renewed");
        assert_eq!(renewed.into_inner().node, 1);
    }
    let mut node = controller.follow(&enrolled, Conduct::default()).await;
    node.until(|held| held.position.is_some()).await.expect("the first identity is good still");
}

#[tokio::test]
async fn a_version_too_old_or_too_new_is_told_what_to_update() {
    let controller = Controller::start().await;
    let enrolled = controller.enrol(1).await;
    for (protocol, update) in [
        (PROTOCOL + 1, None),
        (PROTOCOL + 2, Some("update landfast-controller")),
        (u32::MAX, Some("update landfast-controller")),
    ] {
        let conduct = Conduct { protocol, ..Conduct::default() };
        let mut node = controller.follow(&enrolled, conduct).await;
        match (node.until(|held| held.position.is_some()).await, update) {
            (Ok(_), None) => {}
            (Err(error), Some(update)) => {
                assert!(format!("{error:?}").contains(update), "{error:?}");
            }
            (other, _) => panic!("{protocol}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_node_that_is_slow_holds_up_no_other() {
    let controller = Controller::start().await;
    let (slow, quick) = (controller.enrol(1).await, controller.enrol(2).await);
    let hour = Conduct { acknowledges_after: Duration::from_secs(HOUR), ..Conduct::default() };
    let _slow = controller.follow(&slow, hour).await;
    let mut quick = controller.follow(&quick, Conduct::default()).await;
    for change in 0..50 {
        let serial = controller.put(&format!("t.{change}")).await;
        quick
            .until(|held| held.position.is_some_and(|position| position.serial >= serial))
            .await
            .expect("told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nodes_take_a_change() {
    const NODES: u16 = 1_000;
    let controller = Controller::start().await;
    // All enrol before any follows: each that joins is news for all that follow.
    let mut enrolled = Vec::new();
    for id in 0..NODES {
        enrolled.push(controller.enrol(id).await);
    }
    let mut following = Vec::new();
    for node in &enrolled {
        following.push(controller.follow(node, Conduct::default()).await);
    }
    let mut changed = controller.nodes.changed();
    while controller.nodes.live().len() < usize::from(NODES) {
        changed.changed().await.expect("it lives");
    }
    let began = Instant::now();
    let serial = controller.put("t.everywhere").await;
    while controller.nodes.everywhere() < Some(serial) {
        changed.changed().await.expect("it lives");
    }
    let holds = controller.nodes.holds(&challenge("").key(), serial);
    assert_eq!(holds.len(), usize::from(NODES));
    assert!(holds.iter().all(|(_, holds)| *holds == Holds::Yes));
    println!("a change was acknowledged by {NODES} nodes in {:?}", began.elapsed());
}
