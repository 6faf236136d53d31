//! The connection IDs that clients use, as anybody on the way sees them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tests::fleet::client::second_address;
use tests::fleet::tap::Tap;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, PORT, eventually};

/// Ours are as long.
const ID_BYTES: usize = 17;

/// The IDs of the packets with short headers to an anycast address (RFC 8999 section 5.2).
fn ids(tap: &Tap, anycast: IpAddr) -> BTreeSet<Vec<u8>> {
    let mut heard = tap.heard();
    heard.retain(|heard| {
        heard.destination.ip() == anycast
            && heard.destination.port() == PORT
            && heard.payload[0] & 0x80 == 0
    });
    heard.iter().map(|heard| heard.payload[1..=ID_BYTES].to_vec()).collect()
}

/// A connection of an aioquic client that goes to another address in the middle: the IDs that were
/// heard, and node, worker and generation.
fn heard(fleet: &Fleet, anycast: IpAddr) -> (BTreeSet<Vec<u8>>, [u8; 4]) {
    let tap = fleet.tap().expect("a tap");
    let mut aioquic = fleet.client().aioquic(anycast).expect("started");
    aioquic.connected().expect("connected");
    let owner = aioquic.identity().expect("answered").owner;
    aioquic.change_address(second_address(anycast)).expect("another socket");
    assert_eq!(aioquic.identity().expect("answered").owner, owner);
    let numbers: Vec<u8> = owner.split('/').map(|part| part.parse().expect("a number")).collect();
    let [node, worker, generation] = numbers.try_into().expect("three of them");
    // What was heard is read by another thread. On another path a client uses another ID.
    let within = Duration::from_secs(5);
    eventually("two IDs are heard", within, || ids(&tap, anycast).len() >= 2).expect("they are");
    (ids(&tap, anycast), [0, node, worker, generation])
}

#[test]
fn an_id_says_its_owner_to_who_has_the_key_and_to_nobody_else() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let codec = fleet.codec().expect("the fleet file");
    let mut texts = BTreeSet::new();
    for anycast in ANYCAST {
        let (ids, owner) = heard(&fleet, anycast);
        for id in ids {
            let read = codec.decode(&id).unwrap_or_else(|| panic!("not of ours: {id:x?}"));
            assert!(read.as_slice().starts_with(&owner), "{id:x?}");
            assert!(!id.windows(4).any(|bytes| bytes == owner), "in clear: {id:x?}");
            // Two IDs of one owner have nothing in common (RFC 9000 section 5.1).
            texts.insert(id[1..9].to_vec());
            texts.insert(id[9..].to_vec());
        }
    }
    assert!(texts.len() >= 8, "{texts:x?}");
}

#[test]
fn an_id_in_clear_says_its_owner_to_everybody_and_is_steered_all_the_same() {
    let fleet = Fleet::start(&FleetOptions { plain_ids: true, ..FleetOptions::pair() });
    let fleet = fleet.expect("a fleet");
    for anycast in ANYCAST {
        fleet.router().route_to(&["a1"]).expect("routed");
        let (ids, owner) = heard(&fleet, anycast);
        assert!(!ids.is_empty() && ids.iter().all(|id| id[1..5] == owner), "{ids:x?}");
        let mut aioquic = fleet.client().aioquic(anycast).expect("started");
        aioquic.connected().expect("connected");
        let first = aioquic.identity().expect("answered");
        let counted = fleet.crossings(&["a2"], &["a1"]).expect("counters");
        fleet.router().route_to(&["a2"]).expect("routed");
        assert_eq!(aioquic.identity().expect("answered"), first);
        counted.expect(1).expect("packets cross to their owner");
    }
}
