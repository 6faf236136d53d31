//! Fuzz target of the dissector; a short run of it is part of `cargo test`.
//! For a long one: `cargo bolero test --package edge-wire a_frame`.

use edge_wire::cursor::Cursor;
use edge_wire::dissect::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6};

#[test]
fn a_frame_of_any_bytes_is_read_within_its_bounds() {
    bolero::check!().for_each(|frame: &[u8]| {
        read_frame(frame);
        // Random bytes seldom name a family: the rest of the parser gets them all the same.
        read(frame, ETHERTYPE_IPV4);
        read(frame, ETHERTYPE_IPV6);
    });
}

/// Frames that are kept for all fuzzers, as they are and changed.
#[test]
fn a_frame_of_the_corpus_is_read_within_its_bounds_however_it_is_changed() {
    let corpus = corpus();
    corpus.iter().for_each(|frame| read_frame(frame));
    type Change = (u16, Vec<(u8, u8)>, u8);
    bolero::check!().with_type::<Change>().for_each(|(which, changes, cut)| {
        let mut frame = corpus[usize::from(*which) % corpus.len()].clone();
        for (at, bits) in changes {
            if let Some(byte) = frame.get_mut(usize::from(*at)) {
                *byte ^= bits;
            }
        }
        frame.truncate(frame.len() - frame.len().min(usize::from(*cut)));
        read_frame(&frame);
    });
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus/frames");
    let files = std::fs::read_dir(folder).expect("the corpus");
    let frames = files.map(|file| std::fs::read(file.expect("an entry").path()).expect("a frame"));
    let frames: Vec<_> = frames.collect();
    assert!(frames.len() > 50, "{} frames", frames.len());
    frames
}

fn read_frame(frame: &[u8]) {
    let mut cursor = frame;
    if let Ok((length, ethertype)) = dissect::ethernet(&mut cursor) {
        assert_eq!(length + cursor.remaining(), frame.len());
        read(cursor, ethertype);
    }
}

fn read(packet: &[u8], ethertype: u16) {
    let mut cursor = packet;
    let Ok(udp) = dissect::udp(&mut cursor, ethertype) else { return };
    let headers = packet.len() - cursor.remaining();
    assert!(usize::from(udp.ip_len) <= packet.len());
    assert!(headers + usize::from(udp.payload_len) <= usize::from(udp.ip_len));
    let before = cursor.remaining();
    let Ok(quic) = dissect::quic_in(&mut cursor, &udp) else { return };
    assert!(before - cursor.remaining() <= usize::from(udp.payload_len));
    if dissect::candidate_in(&mut cursor, &quic, &udp).is_ok() {
        assert!(before - cursor.remaining() <= usize::from(udp.payload_len));
    }
}

#[test]
fn a_datagram_of_any_bytes_is_read_within_its_bounds() {
    bolero::check!().for_each(|datagram: &[u8]| {
        let (id, length) = dissect::any_connection_id(&mut { datagram });
        assert!(usize::from(length) <= id.len());
        assert!(id[usize::from(length)..].iter().all(|byte| *byte == 0));
        if let Ok(candidate) = dissect::candidate_of(datagram) {
            assert_eq!(candidate.first, id[0], "both read the same ID");
            let both = usize::from(length).min(9);
            assert_eq!(candidate.text[0].to_be_bytes()[..both - 1], id[1..both]);
        }
    });
}
