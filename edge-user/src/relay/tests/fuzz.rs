//! Fuzz target of what the relay unwraps; a short run of it is part of `cargo test`.

use super::{SHORTEST, peers, sender, wrapped};
use crate::relay::unwrap::unwrap;
use edge_wire::Reason;
use edge_wire::tunnel::LEN;

/// What a node sent, changed anywhere and cut or filled up: it is refused for one of four Reasons,
/// or nothing was changed that the tag covers.
#[test]
fn what_a_node_sent_is_refused_once_it_is_changed() {
    type Changed = (bool, Vec<u8>, Vec<(u8, u8)>, i8);
    bolero::check!().with_type::<Changed>().for_each(|(ipv6, payload, changes, end)| {
        let payload = &[SHORTEST, payload].concat();
        let (_, honest) = wrapped(*ipv6, payload);
        let mut bytes = honest.clone();
        for (at, bits) in changes {
            if let Some(byte) = bytes.get_mut(usize::from(*at)) {
                *byte ^= bits;
            }
        }
        bytes.resize(bytes.len().saturating_add_signed(isize::from(*end)), 0xee);
        match unwrap(&peers(2), sender(*ipv6), &bytes) {
            Ok(datagram) => {
                assert_eq!(bytes.len(), honest.len());
                let covered = LEN + if *ipv6 { 48 } else { 28 };
                assert_eq!(bytes[..covered], honest[..covered]);
                assert_eq!(datagram.payload.len(), payload.len());
            }
            Err(
                Reason::EncapsulationMalformed
                | Reason::EncapsulationKey
                | Reason::EncapsulationSender
                | Reason::EncapsulationForged,
            ) => assert_ne!(bytes, honest),
            Err(other) => panic!("{other:?}"),
        }
    });
}
