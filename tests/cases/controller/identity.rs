//! The edge's own way to its controller, over real mutual TLS: how it gets an identity and keeps
//! it, and what somebody on the way between them comes to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge_user::identity::{AttemptError, ConnectError, ControllerAddress, Identity, enrol};
use fleet_wire::PROTOCOL;
use fleet_wire::invitation::Invitation;
use fleet_wire::message::fleet_client::FleetClient;
use fleet_wire::message::{Hello, Report, report};
use futures_util::{Stream, StreamExt as _, stream};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::nodes::{Controller, HOUR};
use controller::config::NodeTimes;
use controller::ledger::Change;
use controller::limits;
use controller::records::Node;

async fn enrolled(controller: &Controller, id: u16) -> Identity {
    let invitation = controller.invite(id, &[], HOUR).await;
    enrol(&invitation, &[controller.address.into()]).await.expect("enrolled")
}

async fn connected(identity: &Identity, controller: &Controller) -> Channel {
    identity.connect(&[controller.address.into()]).await.expect("connected")
}

/// Asks to follow, and says whether the controller takes this identity.
pub(super) async fn follow(channel: Channel) -> Result<(), Status> {
    let hello = Hello { protocol: PROTOCOL, version: "test".into(), ..Hello::default() };
    let reports = never_ending(Report { kind: Some(report::Kind::Hello(hello)) });
    let mut orders = FleetClient::new(channel).follow(reports).await?.into_inner();
    orders.message().await.map(|order| assert!(order.is_some(), "Welcome"))
}

/// One report, and no end.
fn never_ending(report: Report) -> impl Stream<Item = Report> {
    stream::iter([report]).chain(stream::pending())
}

/// Why the only address led nowhere.
fn attempt(error: ConnectError) -> AttemptError {
    match error {
        ConnectError::Nowhere(mut attempts) if attempts.len() == 1 => attempts.remove(0).1,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_edge_enrols_connects_and_renews_with_a_new_key() {
    let controller = Controller::start().await;
    let first = enrolled(&controller, 7).await;
    assert_eq!(first.node(), 7);
    let now = SystemTime::now();
    assert!(now < first.renew_at() && first.renew_at() < first.ends_at());
    follow(connected(&first, &controller).await).await.expect("it is known");
    let renewed = first.renew(connected(&first, &controller).await).await.expect("renewed");
    // Until it is used, both are good: a renewal that is never kept locks nobody out.
    follow(connected(&first, &controller).await).await.expect("still");
    follow(connected(&renewed, &controller).await).await.expect("already");
    // On disk and back.
    let directory = tempfile::tempdir().expect("a directory");
    renewed.store(directory.path()).expect("kept");
    let loaded = Identity::load(directory.path()).expect("good").expect("kept");
    let again = loaded.renew(connected(&loaded, &controller).await).await.expect("renewed");
    follow(connected(&again, &controller).await).await.expect("it is known");
    let error = follow(connected(&first, &controller).await).await.expect_err("two renewals ago");
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
}

#[tokio::test]
async fn an_invitation_is_good_once_and_not_for_ever() {
    let controller = Controller::start().await;
    let addresses = [controller.address.into()];
    let invitation = controller.invite(1, &[], HOUR).await;
    enrol(&invitation, &addresses).await.expect("enrolled");
    let late = controller.invite(2, &[], 0).await;
    for (invitation, what) in [(invitation, "used"), (late, "expired")] {
        let error = enrol(&invitation, &addresses).await.expect_err(what);
        assert!(error.is_refusal(), "{error}");
        let words = error.to_string();
        assert!(words.contains("used already, expired, or not ours"), "{words}");
        assert!(words.contains("nodes invite"), "it says what to do: {words}");
    }
}

#[tokio::test]
async fn a_node_that_is_removed_is_refused_whatever_it_holds() {
    let controller = Controller::start().await;
    let identity = enrolled(&controller, 1).await;
    let open = connected(&identity, &controller).await;
    let record = controller.ledger.get::<Node>("1").expect("enrolled");
    controller.ledger.commit(Change::new().delete(&record.value)).await.expect("removed");
    // On the connection that was there, and on a new one.
    for channel in [open, connected(&identity, &controller).await] {
        let error = identity.renew(channel.clone()).await.expect_err("removed");
        assert!(
            error.is_refusal() && error.to_string().contains("not known (any more)"),
            "{error}"
        );
        assert_eq!(follow(channel).await.expect_err("removed").code(), Code::Unauthenticated);
    }
}

/// Somebody who answers at the controller's address sees neither the invitation nor a request.
#[tokio::test]
async fn another_controller_is_shown_nothing() {
    let (ours, other) = (Controller::start().await, Controller::start().await);
    let invitation = ours.invite(1, &[], HOUR).await;
    let error = enrol(&invitation, &[other.address.into()]).await.expect_err("another authority");
    assert!(matches!(attempt(error), AttemptError::Stranger));
    assert!(other.ledger.all::<Node>().is_empty());
    let identity = enrol(&invitation, &[ours.address.into()]).await.expect("not used up");
    // Nor has a node of the same number at another controller anything to say at ours.
    let theirs = enrolled(&other, 1).await;
    for (identity, controller) in [(&identity, &other), (&theirs, &ours)] {
        let error = identity.connect(&[controller.address.into()]).await.expect_err("a stranger");
        assert!(matches!(attempt(error), AttemptError::Stranger));
    }
    follow(connected(&identity, &ours).await).await.expect("its own is there still");
}

/// A server with this chain and key, that would talk to anybody; and how many believed it.
async fn impostor(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("there is 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let believers = Arc::<AtomicU32>::default();
    let counted = Arc::clone(&believers);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // Whoever believes it sends Finished, and waits for what is said then.
            let shaken = acceptor.accept(tcp).await;
            counted.fetch_add(shaken.is_ok().into(), Ordering::Relaxed);
        }
    });
    (address, believers)
}

/// Each node of a fleet has a certificate of the same authority: it must not make one of them the
/// controller of the others, nor the holder of the authority's certificate, which is no secret.
#[tokio::test]
async fn a_node_cannot_play_the_controller() {
    let controller = Controller::start().await;
    let key = KeyPair::generate().expect("a key");
    let request = CertificateParams::default().serialize_request(&key).expect("made");
    let now = SystemTime::now().into();
    let node = controller.authority.identify(2, request.der(), now).expect("a node's");
    let mut own = CertificateParams::default();
    own.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let own = own.self_signed(&key).expect("signed").der().clone();
    let authority = controller.authority.certificate().clone();
    let identity = enrolled(&controller, 1).await;
    let invitation = controller.invite(3, &[], HOUR).await;
    for chain in [node.chain, vec![own.clone(), authority], vec![own]] {
        let (address, believers) = impostor(chain, &key).await;
        let address = [address.into()];
        for error in [
            enrol(&invitation, &address).await.expect_err("a node"),
            identity.connect(&address).await.expect_err("a node"),
        ] {
            let error = attempt(error);
            assert!(matches!(error, AttemptError::Stranger | AttemptError::Tls(_)), "{error}");
        }
        assert_eq!(believers.load(Ordering::Relaxed), 0);
    }
    enrol(&invitation, &[controller.address.into()]).await.expect("nobody has seen it");
}

/// Carries bytes between an edge and the controller, and inverts those from `from` on of the first
/// connection's answers.
async fn meddler(to: SocketAddr, from: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((edge, _)) = listener.accept().await {
            tokio::spawn(meddle(edge, to, from));
        }
    });
    address
}

async fn meddle(edge: TcpStream, to: SocketAddr, from: usize) -> io::Result<()> {
    let (mut asks, mut answers) = edge.into_split();
    let (mut replies, mut requests) = TcpStream::connect(to).await?.into_split();
    let up = async move { tokio::io::copy(&mut asks, &mut requests).await };
    let down = async move {
        let (mut passed, mut buffer) = (0, [0; 4096]);
        loop {
            let read = replies.read(&mut buffer).await?;
            if read == 0 {
                return io::Result::Ok(());
            }
            for (place, byte) in (passed..).zip(&mut buffer[..read]) {
                *byte ^= if place >= from { 0xff } else { 0 };
            }
            passed += read;
            answers.write_all(&buffer[..read]).await?;
        }
    };
    tokio::spawn(up);
    down.await
}

/// Who carries the packets can change them; all that comes of it is no connection.
#[tokio::test]
async fn who_changes_bytes_on_the_way_cuts_the_connection_and_nothing_else() {
    let controller = Controller::start().await;
    let identity = enrolled(&controller, 1).await;
    let invitation = controller.invite(2, &[], HOUR).await;
    // In ServerHello, in the certificates, in what follows them.
    for from in [0, 60, 400, 1000] {
        let between: ControllerAddress = meddler(controller.address, from).await.into();
        let error = identity.connect(std::slice::from_ref(&between)).await.expect_err("changed");
        assert!(matches!(error, ConnectError::Nowhere(_)), "{from}: {error}");
        enrol(&invitation, &[between]).await.expect_err("changed");
    }
    enrol(&invitation, &[controller.address.into()]).await.expect("not used up");
}

/// Who takes a connection and says nothing holds up nobody for ever: in TCP, as here, or at the
/// controller's own address by swallowing packets.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = [silent.local_addr().expect("bound").into()];
    let nobody = Invitation { authority: [0; 32], secret: [0; 32] };
    let error = attempt(enrol(&nobody, &address).await.expect_err("silent"));
    assert!(matches!(error, AttemptError::Late { .. }), "{error}");
}

#[tokio::test]
async fn the_first_address_that_leads_there_is_taken() {
    let (controller, other) = (Controller::start().await, Controller::start().await);
    let identity = enrolled(&controller, 1).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = nobody.local_addr().expect("bound");
    drop(nobody);
    let mut addresses = vec![
        closed.into(),
        other.address.into(),
        "no-such-name.invalid:4840".parse().expect("one"),
    ];
    let error = identity.connect(&addresses).await.expect_err("none of them");
    let ConnectError::Nowhere(attempts) = &error else { panic!("{error}") };
    assert!(matches!(attempts[0].1, AttemptError::Tcp(_)), "{error}");
    assert!(matches!(attempts[1].1, AttemptError::Stranger), "{error}");
    assert!(
        matches!(attempts[2].1, AttemptError::Resolve(_) | AttemptError::Late { .. }),
        "{error}"
    );
    addresses.push(controller.address.into());
    follow(identity.connect(&addresses).await.expect("the last")).await.expect("known");
}

/// By a name that is not in the controller's certificate: the message names the setting.
#[tokio::test]
async fn a_controller_under_a_name_that_it_does_not_have_is_not_believed() {
    let controller = Controller::start().await;
    let identity = enrolled(&controller, 1).await;
    let named = format!("localhost:{}", controller.address.port()).parse().expect("an address");
    let error = attempt(identity.connect(&[named]).await.expect_err("another name"));
    assert!(matches!(error, AttemptError::OtherName), "{error}");
    assert!(error.to_string().contains("`names`"), "{error}");
}

/// Of node 1, issued so long ago. Identities are good for a day.
fn issued(controller: &Controller, ago: Duration) -> (Identity, String) {
    let key = KeyPair::generate().expect("a key");
    let request = CertificateParams::default().serialize_request(&key).expect("made");
    let then = SystemTime::now() - ago;
    let made = controller.authority.identify(1, request.der(), then.into()).expect("made");
    let pem = |der: &[u8]| {
        let encoded = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
    };
    let heading = "landfast identity 1\n".to_owned();
    let text = [heading, key.serialize_pem(), pem(&made.chain[0]), pem(&made.chain[1])].concat();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("identity");
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("set");
    let identity = Identity::load(directory.path()).expect("good").expect("there");
    (identity, made.key_sha256)
}

/// An identity whose time is over is refused in the handshake, which a client of TLS 1.3 has done
/// by then: `connect` says it all the same.
#[tokio::test]
async fn an_identity_that_has_ended_gets_no_connection() {
    let controller = Controller::start().await;
    let (identity, _) = issued(&controller, Duration::from_secs(48 * HOUR));
    assert!(identity.ends_at() < SystemTime::now());
    let error = attempt(identity.connect(&[controller.address.into()]).await.expect_err("ended"));
    assert!(matches!(error, AttemptError::Rejected), "{error}");
}

/// A stolen identity is not good for longer because its connection was never closed.
#[tokio::test]
async fn a_connection_ends_with_the_identity_that_opened_it() {
    let lease = limits::MAX_LEASE; // which ends no stream of this test
    let times = NodeTimes { lease, keepalive: limits::DEFAULT_KEEPALIVE };
    let controller = Controller::start_with(times).await;
    // What is left must be enough to connect in, on a busy host.
    let ago = limits::IDENTITY_LIFETIME - Duration::from_secs(10);
    enrolled(&controller, 1).await;
    let (identity, key) = issued(&controller, ago);
    let record = controller.ledger.get::<Node>("1").expect("enrolled").value;
    let record = Node { identities: vec![key], ..record };
    controller.ledger.commit(Change::new().put(record)).await.expect("kept");
    let hello = Hello { protocol: PROTOCOL, version: "test".into(), ..Hello::default() };
    let reports = never_ending(Report { kind: Some(report::Kind::Hello(hello)) });
    let mut fleet = FleetClient::new(connected(&identity, &controller).await);
    let mut orders = fleet.follow(reports).await.expect("it is good yet").into_inner();
    assert!(orders.message().await.expect("it is good yet").is_some(), "Welcome");
    let end = async { while let Ok(Some(_)) = orders.message().await {} };
    tokio::time::timeout(lease / 2, end).await.expect("it ends");
    assert!(identity.ends_at() <= SystemTime::now(), "not before");
}
