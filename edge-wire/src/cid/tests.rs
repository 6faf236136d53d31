//! Connection IDs against the draft, and the kernel against user space.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex"))
        .collect()
}

fn check(config_id: u8, key: Option<&str>, server_id: &str, nonce: &str, expected: &str) {
    let (server_id, nonce, expected) = (bytes(server_id), bytes(nonce), bytes(expected));
    let key = key.map(|key| bytes(key).try_into().expect("16 bytes"));
    let codec = Codec::new(config_id, server_id.len(), nonce.len(), key.as_ref()).expect("valid");
    assert_eq!(codec.encode(&server_id, &nonce).as_slice(), expected);
    let decoded = codec.decode(&expected).expect("of this config");
    assert_eq!(decoded.as_slice(), [server_id, nonce].concat());
}

/// draft-ietf-quic-load-balancers, appendix of test vectors, unencrypted.
#[test]
fn vectors_in_clear() {
    check(0, None, "c4605e", "4504cc4f", "07c4605e4504cc4f");
    check(1, None, "350d28b420", "03487d970b", "2a350d28b42003487d970b");
    check(0, None, "ed793a", "8049718a", "07ed793a8049718a");
    check(1, None, "ed793a51d49b8f5f", "8e9853fe93", "2ded793a51d49b8f5f8e9853fe93");
}

/// The same appendix, encrypted: the vector of 16 bytes is the single-pass one.
#[test]
fn vector_of_a_single_pass() {
    check(
        2,
        Some("8f95f09245765f80256934e50c66207f"),
        "ed793a51d49b8f5f",
        "ee080dbf48c0d1e5",
        "504dd2d05a7b0de9b2b9907afb5ecf8cc3",
    );
}

/// The same appendix, the lengths that take four passes, odd ones and even ones; the last is its
/// worked example.
#[test]
fn vectors_of_four_passes() {
    let key = Some("8f95f09245765f80256934e50c66207f");
    check(0, key, "ed793a", "ee080dbf", "0720b1d07b359d3c");
    check(1, key, "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2");
    let longest = "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc";
    check(0, key, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", longest);
    let worked = Some("fdf726a9893ec05c0632d3956680baf0");
    check(0, worked, "31441a", "9c69c275", "0767947d29be054a");
}

/// A balancer of somebody else's is told of a server ID of two bytes: it reads the node.
#[test]
fn another_balancer_reads_the_node() {
    let owner = ServerId { node: 77, worker: 3, generation: 9 };
    for (length, key) in [(17, None), (17, Some([7; 16])), (14, Some([7; 16])), (20, Some([7; 16]))]
    {
        let ours = Codec::landfast(3, length, key.as_ref()).expect("valid");
        let id = ours.encode(&owner.to_bytes(), &std::vec![5; ours.nonce_len()]);
        let theirs = Codec::new(3, 2, length - 3, key.as_ref()).expect("valid");
        assert_eq!(theirs.decode(id.as_slice()).expect("of the config").as_slice()[..2], [0, 77]);
    }
}

#[test]
fn what_the_draft_does_not_allow_is_refused() {
    let error = |config, server_id, nonce| {
        Codec::new(config, server_id, nonce, None).err().expect("refused")
    };
    assert_eq!(error(7, 4, 12), CodecError::ConfigId);
    assert_eq!(error(0, 0, 12), CodecError::Length);
    assert_eq!(error(0, 4, 3), CodecError::Length);
    assert_eq!(error(0, 10, 10), CodecError::Length);
    for length in [0, 4, 8, 21] {
        let refused = Codec::landfast(0, length, None).err();
        assert_eq!(refused, Some(CodecError::Length), "{length} bytes");
    }
}

/// The ID, and what stands behind it in a packet.
fn in_a_packet(id: &ConnectionId, behind: u8) -> [u8; MAX_LEN] {
    let mut bytes = [behind; MAX_LEN];
    bytes[..id.as_slice().len()].copy_from_slice(id.as_slice());
    bytes
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(
        config_id in 0u8..7,
        key: Option<[u8; 16]>,
        (server_id, nonce) in (1usize..=15).prop_flat_map(|n| (
            prop::collection::vec(any::<u8>(), n),
            prop::collection::vec(any::<u8>(), 4..=19 - n),
        )),
    ) {
        let codec =
            Codec::new(config_id, server_id.len(), nonce.len(), key.as_ref()).expect("valid");
        let id = codec.encode(&server_id, &nonce);
        prop_assert_eq!(id.as_slice().len(), codec.id_len());
        let decoded = codec.decode(id.as_slice()).expect("own");
        prop_assert_eq!(decoded.as_slice(), [server_id, nonce].concat());
    }

    /// What the encoder in user space mints, the decoder in the kernel's map reads, whatever
    /// stands behind it in the packet.
    #[test]
    fn kernel_reads_what_the_worker_mints(
        config_id in 0u8..7, length in MIN_LEN..=MAX_LEN, key: Option<[u8; 16]>, node: u16,
        worker: u8, generation: u8, nonce: [u8; MAX_LEN], behind: u8,
    ) {
        let owner = ServerId { node, worker, generation };
        let codec = Codec::landfast(config_id, length, key.as_ref()).expect("valid");
        let id = codec.encode(&owner.to_bytes(), &nonce[..codec.nonce_len()]);
        let config = DecodeConfig::new(length, key.as_ref());
        let bytes = in_a_packet(&id, behind);
        prop_assert_eq!(super::config_id(bytes[0]), u32::from(config_id));
        for declared_len in [0, length as u8] {
            let candidate = Candidate::new(&bytes, declared_len);
            prop_assert_eq!(config.owner(&candidate), Some(owner));
            prop_assert_eq!(DecodeConfig::ABSENT.owner(&candidate), None);
        }
        for declared_len in [MIN_LEN as u8 - 1, length as u8 - 1, length as u8 + 1, 255] {
            prop_assert_eq!(config.owner(&Candidate::new(&bytes, declared_len)), None);
        }
    }

    /// An outsider cannot forge an owner: without the key an ID decodes to a random one.
    #[test]
    fn another_key_reads_another_owner(
        key: [u8; 16], other: [u8; 16], server_id: [u8; 4], nonce: [u8; MAX_LEN],
        length in MIN_LEN..=MAX_LEN,
    ) {
        prop_assume!(key != other);
        let codec = Codec::landfast(0, length, Some(&key)).expect("valid");
        let nonce = &nonce[..codec.nonce_len()];
        let id = codec.encode(&server_id, nonce);
        let other = Codec::landfast(0, length, Some(&other)).expect("valid");
        let read = other.decode(id.as_slice()).expect("right length");
        prop_assert_ne!(read.as_slice(), [&server_id[..], nonce].concat());
    }

    #[test]
    fn every_hash_names_a_worker(key: [u64; 2], id: [u8; MAX_LEN], workers in 1u8..) {
        prop_assert!(worker_by_hash(&key, &id, MAX_LEN as u8, workers) < workers);
    }
}
