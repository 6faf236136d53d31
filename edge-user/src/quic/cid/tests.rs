use std::collections::HashSet;

use std::time::Duration;

use edge_wire::cid::{self, DEFAULT_LEN};
use proptest::prelude::*;
use quinn_proto::ConnectionIdGenerator;

use super::*;
use crate::config::NodeConfig;
use fleet_wire::secrets::{ConnectionIdConfig, Rotating};

const PLAIN: u8 = 1;
const ENCRYPTED: u8 = 2;
/// With the shortest nonces there are, encrypted in four passes.
const SHORT: u8 = 3;
const SHORT_PLAIN: u8 = 4;
const WORKERS: u8 = 4;
const OWN: ServerId = ServerId { node: 7, worker: 2, generation: 9 };

fn id_config(config_id: u8, length: usize, key: Option<[u8; 16]>) -> ConnectionIdConfig {
    ConnectionIdConfig { config_id, length, key, reset_key: [config_id; 32] }
}

fn secrets(mint: u8) -> Secrets {
    Secrets {
        connection_ids: vec![
            id_config(PLAIN, DEFAULT_LEN, None),
            id_config(ENCRYPTED, DEFAULT_LEN, Some([5; 16])),
            id_config(SHORT, cid::MIN_LEN, Some([6; 16])),
            id_config(SHORT_PLAIN, cid::MIN_LEN, None),
        ],
        mint,
        encapsulation_keys: Vec::new(),
        encapsulate_with: 0,
        tickets: Rotating { current: [3; 32], previous: None, next: None },
        tokens: Rotating { current: [4; 32], previous: None, next: None },
        worker_hash: [6; 16],
    }
}

/// Node 8 is live, node 9 dead, of all others nobody knows.
fn owners(own: ServerId) -> Owners {
    let node = |id, liveness| NodeConfig {
        id,
        name: format!("node{id}"),
        site: "site".to_owned(),
        ipv4: None,
        ipv6: None,
        liveness,
    };
    let nodes = [node(8, Liveness::Live), node(9, Liveness::Dead)];
    Owners::new(&secrets(ENCRYPTED), own, WORKERS, Arc::new(NodeTable::new(&nodes)))
}

const LIFETIME: Duration = Duration::from_secs(60);

fn mint(config: u8, own: ServerId) -> Mint {
    Mint::new(&secrets(config), owners(own), LIFETIME).expect("valid")
}

fn short_header(id: &[u8]) -> Vec<u8> {
    [&[0x40], id, &[0; 30]].concat()
}

fn long_header(id: &[u8]) -> Vec<u8> {
    [&[0xc0, 0, 0, 0, 1, id.len() as u8], id, &[0; 30]].concat()
}

fn expected(minted_by: ServerId) -> Owner {
    match minted_by {
        ServerId { node: 7, generation: 9, worker } if worker == OWN.worker => Owner::ThisWorker,
        ServerId { node: 7, generation: 9, worker } if worker < WORKERS => {
            Owner::OtherWorker(worker)
        }
        ServerId { node: 7, .. } => Owner::Gone,
        ServerId { node: 8, .. } => Owner::OtherNode(8),
        ServerId { node: 9, .. } => Owner::DeadNode(9),
        _ => Owner::Unknown,
    }
}

fn server_id() -> impl Strategy<Value = ServerId> {
    (6u16..11, 0u8..8, 8u8..11).prop_map(|(node, worker, generation)| ServerId {
        node,
        worker,
        generation,
    })
}

proptest! {
    #[test]
    fn an_id_names_who_minted_it(config in PLAIN..=SHORT_PLAIN, minted_by in server_id()) {
        let id = mint(config, minted_by).generate_cid();
        let owner = expected(minted_by);
        prop_assert_eq!(owners(OWN).of(&short_header(&id)), owner);
        prop_assert_eq!(owners(OWN).of(&long_header(&id)), owner);
    }

    /// RFC 9000 section 21.11: a stateless reset only where nobody else holds the connection.
    #[test]
    fn only_what_nobody_else_holds_may_be_reset(
        config in PLAIN..=SHORT_PLAIN, minted_by in server_id(),
    ) {
        let id = mint(config, minted_by).generate_cid();
        let own = matches!(expected(minted_by),
            Owner::ThisWorker | Owner::Gone | Owner::DeadNode(_));
        prop_assert_eq!(mint(ENCRYPTED, OWN).may_reset(&id), own);
    }

    #[test]
    fn any_bytes_have_an_owner(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let owner = owners(OWN).of(&bytes);
        prop_assert_eq!(owner == Owner::NotQuic, match bytes.first() {
            None => true,
            Some(first) if first & 0x80 == 0 => bytes.len() <= cid::MAX_LEN,
            Some(_) => bytes.len() < 6
                || (cid::MIN_LEN..=cid::MAX_LEN).contains(&usize::from(bytes[5]))
                    && bytes.len() < 6 + cid::MAX_LEN,
        });
    }

    /// What a client chooses itself, and what is of no config of ours.
    #[test]
    fn ids_of_others_are_new_in_long_headers_and_unknown_in_short_ones(
        mut id in prop::collection::vec(any::<u8>(), cid::DEFAULT_LEN),
        config in prop::sample::select(vec![0, SHORT_PLAIN + 1, 6, 7]),
    ) {
        id[0] = (config << 5) | (id[0] & 0x1f);
        prop_assert_eq!(owners(OWN).of(&long_header(&id)), Owner::NewConnection);
        prop_assert_eq!(owners(OWN).of(&long_header(&id[..8])), Owner::NewConnection);
        prop_assert_eq!(owners(OWN).of(&short_header(&id)), Owner::Unknown);
    }
}

#[test]
fn ids_never_repeat_nor_do_nonces_in_clear_look_alike() {
    for config in [PLAIN, ENCRYPTED, SHORT, SHORT_PLAIN] {
        let mut mints = [0, 1].map(|worker| mint(config, ServerId { worker, ..OWN }));
        let ids: HashSet<_> =
            (0..1000).flat_map(|_| mints.each_mut().map(Mint::generate_cid)).collect();
        assert_eq!(ids.len(), 2000);
        // Not a counter, whose high bytes would stay the same.
        let high: HashSet<_> = ids.iter().map(|id| id[5..7].to_vec()).collect();
        assert!(high.len() > 1900, "{} of config {config}", high.len());
        assert!(ids.iter().all(|id| cid::self_encoded_len(id[0]) == id.len()));
    }
}

/// The four bytes of a short nonce are a counter behind the cipher, so an ID that comes twice
/// would be one that was made twice. A reload that brings nothing new, or goes back and forth
/// between configs, must not begin again.
#[test]
fn a_config_that_mints_again_goes_on_where_it_was() {
    for (there, back) in [(SHORT, SHORT_PLAIN), (SHORT_PLAIN, SHORT)] {
        let mut mint = mint(there, OWN);
        let mut ids = HashSet::new();
        for _ in 0..50 {
            for config in [there, there, back] {
                mint.change(&secrets(config), owners(OWN)).expect("the same length");
                for _ in 0..200 {
                    let id = mint.generate_cid();
                    assert_eq!(cid::config_id(id[0]), u32::from(config));
                    assert!(ids.insert(id), "made twice");
                }
            }
        }
    }
}

#[test]
fn a_process_never_mints_another_length() {
    let mut mint = mint(SHORT, OWN);
    let refused = mint.change(&secrets(ENCRYPTED), owners(OWN)).expect_err("another length");
    assert_eq!(refused, MintError::Length(9, 17));
    assert_eq!(cid::config_id(mint.generate_cid()[0]), u32::from(SHORT), "nothing has changed");
    assert_eq!(mint.cid_len(), 9);
}

/// 2^32 IDs in: a connection that then begins must be served, and by this worker.
#[test]
fn ids_name_nobody_but_lead_here_where_nonces_have_run_out() {
    for config in [SHORT, SHORT_PLAIN] {
        let mut mint = mint(config, OWN);
        mint.use_up();
        let ids: HashSet<_> = (0..100).map(|_| mint.generate_cid()).collect();
        assert_eq!(ids.len(), 100);
        let hash_key = edge_wire::siphash::key(secrets(config).worker_hash);
        for id in ids {
            assert_eq!(owners(OWN).of(&short_header(&id)), Owner::Unknown);
            let mut bytes = [0; cid::MAX_LEN];
            bytes[..id.len()].copy_from_slice(&id);
            let worker = cid::worker_by_hash(&hash_key, &bytes, id.len() as u8, WORKERS);
            assert_eq!((id.len(), cid::config_id(id[0]), worker), (9, 7, OWN.worker));
        }
        // The cure that the log asks for.
        mint.change(&Secrets { mint: 7 - config, ..secrets(config) }, owners(OWN)).expect("fits");
        assert_eq!(cid::config_id(mint.generate_cid()[0]), u32::from(7 - config));
    }
}

/// What is forwarded once is never sent on (no loops), and nothing goes to a node without relay.
#[test]
fn a_datagram_moves_at_most_once_between_nodes_and_once_between_workers() {
    let elsewhere = Route::Drop(Reason::OwnerElsewhere);
    for (owner, via, relay, route) in [
        (Owner::OtherNode(8), Via::Wire, true, Route::Node(8)),
        (Owner::OtherNode(8), Via::Wire, false, elsewhere),
        (Owner::OtherNode(8), Via::Node, true, elsewhere),
        (Owner::OtherNode(8), Via::Worker, true, elsewhere),
        (Owner::OtherWorker(1), Via::Wire, false, Route::Worker(1)),
        (Owner::OtherWorker(1), Via::Node, false, Route::Worker(1)),
        (Owner::OtherWorker(1), Via::Worker, false, elsewhere),
        (Owner::DeadNode(9), Via::Wire, true, Route::Engine),
        (Owner::NotQuic, Via::Wire, true, Route::Drop(Reason::NotQuic)),
    ] {
        assert_eq!(owner.route(via, relay), route, "{owner:?} {via:?} {relay}");
    }
}
