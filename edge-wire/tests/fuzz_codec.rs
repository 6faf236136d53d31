//! Fuzz targets of the codecs; a short run of them is part of `cargo test`.
//! For a long one: `cargo bolero test --package edge-wire any_connection_id`.

use bolero::check;
use edge_wire::cid::{Candidate, Codec, DecodeConfig, MAX_LEN, MIN_LEN};
use edge_wire::tunnel::{self, Header};

#[test]
fn any_connection_id_is_decoded_or_refused() {
    check!().with_type::<(u8, u8, u8, Option<[u8; 16]>, Vec<u8>)>().for_each(
        |(config, server_id, nonce, key, id)| {
            let lengths = (usize::from(*server_id % 24), usize::from(*nonce % 24));
            let Ok(codec) = Codec::new(*config, lengths.0, lengths.1, key.as_ref()) else { return };
            read(&codec, lengths.0, id);
            // Random bytes are seldom of this config and length.
            let mut of_this_config = vec![0; 1 + lengths.0 + lengths.1];
            of_this_config.iter_mut().zip(id).for_each(|(byte, random)| *byte = *random);
            of_this_config[0] = (config << 5) | (lengths.0 + lengths.1) as u8;
            assert!(read(&codec, lengths.0, &of_this_config));
        },
    );
}

/// The draft's test vectors and IDs of ours, as they are kept for all fuzzers: as they are and
/// changed, under every length that server ID and nonce can have.
#[test]
fn an_id_of_the_corpus_is_decoded_however_it_is_changed() {
    let corpus = corpus();
    type Change = (u16, Vec<(u8, u8)>, u8, Option<[u8; 16]>);
    check!().with_type::<Change>().for_each(|(which, changes, split, key)| {
        let mut id = corpus[usize::from(*which) % corpus.len()].clone();
        for (at, bits) in changes {
            let at = usize::from(*at) % id.len();
            id[at] ^= bits;
        }
        let text_len = id.len() - 1;
        let server_id_len = 1 + usize::from(*split) % (text_len - 4);
        let config = id[0] >> 5;
        let nonce_len = text_len - server_id_len;
        match Codec::new(config, server_id_len, nonce_len, key.as_ref()) {
            Ok(codec) => {
                let says_so = usize::from(id[0] & 0x1f) == text_len;
                assert_eq!(read(&codec, server_id_len, &id), says_so);
            }
            Err(_) => assert_eq!(config, 7, "{server_id_len} and {nonce_len} bytes are allowed"),
        }
    });
}

/// One ID a file, by name.
fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus/connection_ids");
    let files = std::fs::read_dir(folder).expect("the corpus");
    let ids = files.map(|file| std::fs::read(file.expect("an entry").path()).expect("an ID"));
    let ids: Vec<_> = ids.collect();
    assert!(ids.len() > 5, "{} IDs", ids.len());
    ids
}

/// Was it decoded? Then encoding it again gives the same ID.
fn read(codec: &Codec, server_id_len: usize, id: &[u8]) -> bool {
    let Some(decoded) = codec.decode(id) else { return false };
    let (server_id, nonce) = decoded.as_slice().split_at(server_id_len);
    assert_eq!(codec.encode(server_id, nonce).as_slice(), id);
    true
}

#[test]
fn any_server_id_and_nonce_survive_the_wire() {
    check!().with_type::<(u8, Option<[u8; 16]>, [u8; 19], u8)>().for_each(
        |(config, key, bytes, split)| {
            let total = 5 + usize::from(split >> 4) % 15;
            let split = 1 + usize::from(*split) % (total - 4);
            let Ok(codec) = Codec::new(config % 7, split, total - split, key.as_ref()) else {
                panic!("{split} and {} bytes are allowed", total - split);
            };
            let id = codec.encode(&bytes[..split], &bytes[split..total]);
            let decoded = codec.decode(id.as_slice()).expect("our own");
            assert_eq!(decoded.as_slice(), &bytes[..total]);
        },
    );
}

/// The decoder in the kernel and the codec in user space agree on every ID.
#[test]
fn the_kernel_reads_any_connection_id_as_user_space_does() {
    check!().with_type::<([u8; MAX_LEN], u8, Option<[u8; 16]>)>().for_each(|(id, length, key)| {
        let length = MIN_LEN + usize::from(*length) % (MAX_LEN - MIN_LEN + 1);
        let mut id = *id;
        id[0] = (id[0] & 0xe0) | (length - 1) as u8;
        // Config 7 is none of a codec's; the kernel's map holds nothing for it.
        let Ok(codec) = Codec::landfast(id[0] >> 5, length, key.as_ref()) else { return };
        let decoded = codec.decode(&id[..length]).expect("of this config and length");
        let owner = DecodeConfig::new(length, key.as_ref())
            .owner(&Candidate::new(&id, 0))
            .expect("of this length");
        assert_eq!(owner.to_bytes(), decoded.as_slice()[..4]);
    });
}

#[test]
fn any_encapsulation_header_is_read_or_refused() {
    check!().with_type::<[u8; tunnel::LEN]>().for_each(|bytes| {
        let mut of_this_version = *bytes;
        [of_this_version[0], of_this_version[1], of_this_version[3]] = [tunnel::VERSION, 0, 0];
        let inner_len = u16::from_be_bytes([bytes[6], bytes[7]]);
        let Some(header) = Header::from_bytes(&of_this_version) else {
            assert!(usize::from(inner_len) < tunnel::MIN_INNER_LEN, "nothing else is looked at");
            return;
        };
        assert_eq!(header.to_bytes(), of_this_version, "writing undoes reading");
        assert_eq!(Header::from_bytes(bytes).is_some(), *bytes == of_this_version);
    });
}
