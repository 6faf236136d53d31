//! Whom a worker resets, whom it meets with silence, and whom it sends on: each owner that a
//! connection ID can have, in each form of header (RFC 9000 section 10.3 and 21.11).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use edge_wire::cid::{Codec, DEFAULT_LEN, ServerId};
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::watch;

use super::*;
use crate::admission::Rules;
use crate::admission::blocklist::Blocklist;
use crate::config::{AdmissionConfig, NodeConfig, QuicConfig};
use crate::nodes::{Liveness, NodeTable};
use crate::quic::engine::{Engine, EngineSetup};
use crate::quic::keys::{RESET_TOKEN_LEN, ResetKey};
use fleet_wire::secrets::{ConnectionIdConfig, IdMode};

const OWN: ServerId = ServerId { node: 1, worker: 0, generation: 7 };
const WORKERS: u8 = 2;

/// Node 1 is ours, 2 is live, 3 dead, 4 of unknown state, and there is no other.
fn nodes() -> Arc<NodeTable> {
    let states = [Liveness::Live, Liveness::Live, Liveness::Dead, Liveness::Unknown];
    let node = |(id, liveness)| NodeConfig {
        id,
        name: format!("n{id}"),
        site: "here".into(),
        ipv4: None,
        ipv6: None,
        liveness,
    };
    Arc::new(NodeTable::new(&(1..).zip(states).map(node).collect::<Vec<_>>()))
}

/// The config that mints, one in clear, and such as are shorter and longer.
fn secrets() -> Secrets {
    let mut secrets = Secrets::generate(IdMode::Encrypted, DEFAULT_LEN).expect("random");
    for (config_id, length, key) in
        [(1, DEFAULT_LEN, None), (2, 9, Some([2; 16])), (3, 20, Some([3; 16])), (4, 12, None)]
    {
        let reset_key = [config_id; 32];
        secrets.connection_ids.push(ConnectionIdConfig { config_id, length, key, reset_key });
    }
    secrets
}

/// A worker whose neighbours' inboxes are looked into.
struct Worker {
    arrivals: Arrivals,
    engine: SharedEngine,
    secrets: Secrets,
    neighbour: mpsc::Receiver<ToWorker>,
    relay: mpsc::Receiver<ToRelay>,
}

fn worker() -> Worker {
    let secrets = secrets();
    let owners = Owners::new(&secrets, OWN, WORKERS, nodes());
    let certified = rcgen::generate_simple_self_signed(["localhost".into()]).expect("signed");
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("they belong together");
    let quic = QuicConfig {
        max_connections: 10,
        retry_threshold: 10,
        idle_timeout: Duration::from_secs(30),
        connection_id_lifetime: Duration::from_secs(3600),
    };
    let tls = Arc::new(tls);
    let setup = EngineSetup {
        owners: &owners,
        secrets: &secrets,
        tls,
        quic,
        send_budget_bytes: 1 << 20,
        seed: None,
    };
    let engine = Rc::new(RefCell::new(Engine::new(setup).expect("fit for QUIC")));
    let (to_self, _) = mpsc::channel(1);
    let (to_neighbour, neighbour) = mpsc::channel(1);
    let (to_relay, relay) = mpsc::channel(1);
    let peers = vec![to_self, to_neighbour];
    let config = AdmissionConfig { small_initials: false, ..Default::default() };
    let rules = Rules::new(config, Blocklist::default(), false);
    let door = Door::new(watch::Sender::new(rules).subscribe(), 1, Instant::now());
    let arrivals = Arrivals::new(engine.clone(), owners, peers, Some(to_relay), door);
    Worker { arrivals, engine, secrets, neighbour, relay }
}

impl Worker {
    /// What a datagram ends with that comes this way, and the answer.
    fn arrive(&mut self, bytes: &[u8], via: Via) -> (Reason, Option<Vec<u8>>) {
        let now = Instant::now();
        self.arrivals.new_turn();
        self.arrivals.reasons.fill(0);
        self.arrivals.datagram(
            now,
            Datagram {
                client: "203.0.113.9:4711".parse().expect("an address"),
                destination: "192.0.2.1:443".parse().expect("an address"),
                ecn: None,
                payload: BytesMut::from(bytes),
                via,
            },
        );
        let ended: Vec<_> = Reason::ALL
            .iter()
            .filter(|reason| self.arrivals.reasons[**reason as usize] > 0)
            .collect();
        assert_eq!((ended.len(), self.arrivals.reasons.iter().sum::<u64>()), (1, 1));
        let mut answer = Vec::new();
        let transmit = self.engine.borrow_mut().poll_transmit(now, 1, &mut answer);
        (*ended[0], transmit.map(|transmit| answer[..transmit.size].to_vec()))
    }

    fn minted(&self, config: usize, owner: ServerId) -> Vec<u8> {
        let ConnectionIdConfig { config_id, length, key, .. } =
            &self.secrets.connection_ids[config];
        let codec = Codec::landfast(*config_id, *length, key.as_ref()).expect("a config");
        codec.encode(&owner.to_bytes(), &vec![5; codec.nonce_len()]).as_slice().to_vec()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Short,
    /// With this first byte, of this version.
    Long(u8, u32),
}

/// Short; Initial, 0-RTT, Handshake and Retry of version 1 (RFC 9000 section 17.2); version 2
/// (RFC 9369), and a version that nobody speaks.
const FORMS: [Form; 7] = [
    Form::Short,
    Form::Long(0xc0, 1),
    Form::Long(0xd0, 1),
    Form::Long(0xe0, 1),
    Form::Long(0xf0, 1),
    Form::Long(0xd0, 0x6b33_43cf),
    Form::Long(0xc0, 0xabad_cafe),
];

fn datagram(form: Form, id: &[u8]) -> Vec<u8> {
    match form {
        Form::Short => [&[0x41][..], id, &[0xaa; 60]].concat(),
        Form::Long(first, version) => {
            let head = [&[first][..], &version.to_be_bytes(), &[id.len() as u8]].concat();
            // A source ID of no bytes, a token of none or a length, and more than is looked at.
            [&head[..], id, &[0, 0, 60], &[0xaa; 60]].concat()
        }
    }
}

const fn owner(node: u16, worker: u8, generation: u8) -> ServerId {
    ServerId { node, worker, generation }
}

#[test]
fn each_owner_in_each_form_of_header_has_its_answer() {
    use Reason as R;
    // Who minted the ID, and what a short and a long header come to.
    let cases = [
        // Connections of this worker that it does not know any more.
        (owner(1, 0, 7), R::ResetSent, R::Ignored),
        (owner(1, 1, 7), R::HandedOver, R::HandedOver),
        // A worker that this process does not have, an older process, and one that is to come.
        (owner(1, 2, 7), R::ResetSent, R::Ignored),
        (owner(1, 255, 7), R::ResetSent, R::Ignored),
        (owner(1, 0, 6), R::ResetSent, R::Ignored),
        (owner(1, 1, 8), R::ResetSent, R::Ignored),
        // A live node's own worker and generation are nobody else's business.
        (owner(2, 0, 7), R::Forwarded, R::Forwarded),
        (owner(2, 9, 1), R::Forwarded, R::Forwarded),
        (owner(3, 0, 7), R::ResetSent, R::Ignored),
        (owner(4, 0, 7), R::OwnerUnknown, R::OwnerUnknown),
        (owner(5, 0, 7), R::OwnerUnknown, R::OwnerUnknown),
        (owner(4095, 0, 7), R::OwnerUnknown, R::OwnerUnknown),
        (owner(u16::MAX, 0, 7), R::OwnerUnknown, R::OwnerUnknown),
    ];
    let mut worker = worker();
    let resets = ResetKey::new(&worker.secrets);
    for config in 0..worker.secrets.connection_ids.len() {
        for (minted_by, short, long) in cases {
            let id = worker.minted(config, minted_by);
            for form in FORMS {
                let bytes = datagram(form, &id);
                let (reason, answer) = worker.arrive(&bytes, Via::Wire);
                let what = format!("{minted_by:?} under config {config}, {form:?}");
                assert_eq!(reason, if form == Form::Short { short } else { long }, "{what}");
                assert_eq!(answer.is_some(), reason == R::ResetSent, "{what}");
                if let Some(reset) = answer {
                    // RFC 9000 section 10.3: shorter than what it answers, like a short header,
                    // and with the token that was promised for this very ID at its end.
                    assert!((21..bytes.len()).contains(&reset.len()), "{what}");
                    assert_eq!(reset[0] & 0xc0, 0x40, "{what}");
                    assert!(reset.ends_with(&resets.token(&id)), "{what}");
                }
                assert_eq!(worker.neighbour.try_recv().is_ok(), reason == R::HandedOver, "{what}");
                assert_eq!(worker.relay.try_recv().is_ok(), reason == R::Forwarded, "{what}");
            }
        }
    }
}

/// What another node or worker sent here goes no further; a reset is still sent for what is gone.
#[test]
fn what_was_sent_on_once_ends_here() {
    use Reason as R;
    let mut worker = worker();
    for (minted_by, by_node, by_worker) in [
        (owner(2, 0, 7), R::OwnerElsewhere, R::OwnerElsewhere),
        (owner(1, 1, 7), R::HandedOver, R::OwnerElsewhere),
        (owner(1, 0, 6), R::ResetSent, R::ResetSent),
        (owner(3, 0, 7), R::ResetSent, R::ResetSent),
        (owner(4, 0, 7), R::OwnerUnknown, R::OwnerUnknown),
    ] {
        for config in 0..worker.secrets.connection_ids.len() {
            let bytes = datagram(Form::Short, &worker.minted(config, minted_by));
            for (via, expected) in [(Via::Node, by_node), (Via::Worker, by_worker)] {
                let (reason, answer) = worker.arrive(&bytes, via);
                assert_eq!(reason, expected, "{minted_by:?} by {via:?}");
                assert_eq!(answer.is_some(), reason == R::ResetSent, "{minted_by:?} by {via:?}");
                let _ = worker.neighbour.try_recv();
            }
        }
    }
}

/// IDs that are of no config, of none that is in force, or not as long as they say.
#[test]
fn what_is_no_id_of_ours_draws_no_answer() {
    let mut worker = worker();
    for config_id in 0..8u8 {
        for length in 1..=20u8 {
            let mut id = vec![0x5a; usize::from(length)];
            id[0] = (config_id << 5) | (length - 1);
            let known = worker.arrivals.owners.of_id(&id) != Owner::Unknown;
            let (reason, answer) = worker.arrive(&datagram(Form::Short, &id), Via::Wire);
            assert!(known || reason == Reason::OwnerUnknown, "{config_id} {length}: {reason:?}");
            assert!(known || answer.is_none());
        }
    }
}

/// Two ends that do not know each other's connection would reset one another without end: each
/// answer is shorter than what it answers, and what is too short is not answered (RFC 9000
/// section 10.3.3).
#[test]
fn resets_of_resets_come_to_an_end() {
    let mut worker = worker();
    for config in [0, 2, 3] {
        let id = worker.minted(config, owner(1, 0, 6));
        for length in 22..100 {
            let mut bytes = datagram(Form::Short, &id);
            bytes.resize(length, 0xaa);
            let (_, answer) = worker.arrive(&bytes, Via::Wire);
            let answered = answer.map_or(0, |answer| answer.len());
            assert!(answered < length && (answered == 0 || answered > RESET_TOKEN_LEN + 4));
        }
    }
}

/// Fragments that the kernel put together would fill the neighbour's queue with fifty times its
/// memory.
#[test]
fn a_datagram_longer_than_ethernet_carries_is_dropped_before_any_queue() {
    let mut worker = worker();
    let id = worker.minted(0, ServerId { worker: 1, ..OWN });
    for (length, reason) in [(1500, Reason::HandedOver), (1501, Reason::Oversized)] {
        let mut bytes = datagram(Form::Short, &id);
        bytes.resize(length, 0);
        let mut meta = RecvMeta::default();
        meta.addr = "203.0.113.9:4711".parse().expect("an address");
        (meta.len, meta.stride) = (length, length);
        worker.arrivals.reasons.fill(0);
        worker.arrivals.train(Instant::now(), 443, &Train { meta, bytes: &bytes });
        assert_eq!(worker.arrivals.reasons[reason as usize], 1, "{length} bytes");
        assert_eq!(worker.neighbour.try_recv().is_ok(), reason == Reason::HandedOver);
    }
}

/// Whoever sends many of them is to be seen.
#[test]
fn a_datagram_without_a_byte_is_counted() {
    let mut worker = worker();
    let mut meta = RecvMeta::default();
    meta.addr = "203.0.113.9:4711".parse().expect("an address");
    worker.arrivals.train(Instant::now(), 443, &Train { meta, bytes: &[] });
    assert_eq!(worker.arrivals.reasons[Reason::NotQuic as usize], 1);
    assert_eq!((worker.arrivals.datagrams, worker.arrivals.bytes), (1, 0));
}
