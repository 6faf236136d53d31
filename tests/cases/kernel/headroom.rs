//! Where a driver leaves too little room in front of a packet, it is passed as it came.
//!
//! A test run has 256 bytes of room, of which metadata takes its share twice: it stands in front
//! of the packet, and moves with it.

use edge_wire::Reason::{Local, NoHeadroom, Stripped};
use tests::packet::{SERVICE_VLAN, VLAN, short_header};

use super::fixture::{Case, Fixture, cases, passed};
use super::fleet::{LIVE, LIVE_IN_VLAN, ONLY_IPV4, OURSELVES, families, id_of};
use super::wire::{sent, taken_in};

cases![without_room_a_packet_is_passed, with_room_metadata_goes_along];

/// As much metadata as a test run puts in front, from Linux 6.9 on; before, it is 32, and there is no
/// way to have too little room.
const MOST: usize = 216;

fn without_room_a_packet_is_passed() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for (sentence, owner) in [
            ("to a node", LIVE),
            ("to a node in a VLAN", LIVE_IN_VLAN),
            ("to a node in IPv4 alone", ONLY_IPV4),
        ] {
            let packet = packet.clone().payload(short_header(&id_of(owner), 60));
            let frame = packet.frame();
            case.add(behind(MOST, passed(sentence, family, frame, NoHeadroom)));
            let tagged = packet.tag(SERVICE_VLAN, 5).tag(VLAN, 6).frame();
            let sentence = format!("{sentence}, out of QinQ");
            case.add(behind(MOST, passed(sentence, family, tagged, NoHeadroom)));
        }
        let ours = packet.payload(short_header(&id_of(OURSELVES), 60));
        let sentence = "our own needs none";
        case.add(behind(MOST, passed(sentence, family, ours.frame(), Local)));
        let from_a_node = taken_in("what a node sent needs none", family, &ours, LIVE, 1);
        assert_eq!(from_a_node.reason, Stripped);
        case.add(behind(MOST, from_a_node));
    }
    case
}

fn with_room_metadata_goes_along() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for metadata_len in [4, 32] {
            let variant = format!("{family}, {metadata_len} bytes");
            let packet = packet.clone().payload(short_header(&id_of(LIVE), 60));
            let fixture = sent("to a node", &variant, &packet, LIVE);
            case.add(behind(metadata_len, fixture));
            let ours = packet.payload(short_header(&id_of(OURSELVES), 60));
            let fixture = taken_in("from a node", variant, &ours, LIVE, 1);
            case.add(behind(metadata_len, fixture));
        }
    }
    case
}

fn behind(metadata_len: usize, fixture: Fixture) -> Fixture {
    Fixture { metadata_len, ..fixture }
}
