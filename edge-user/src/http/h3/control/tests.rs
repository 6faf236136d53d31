use bytes::BytesMut;
use proptest::prelude::*;

use super::super::frame::put_head;
use super::*;

fn varint(value: u64) -> Vec<u8> {
    // The first integer of a frame's head is one like any other.
    let mut out = BytesMut::new();
    put_head(value, 0, &mut out);
    out[..out.len() - 1].to_vec()
}

fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
}

fn settings_of(pairs: &[(u64, u64)]) -> Vec<u8> {
    let pairs = pairs.iter().flat_map(|(identifier, value)| [varint(*identifier), varint(*value)]);
    frame(SETTINGS, &pairs.flatten().collect::<Vec<_>>())
}

/// What becomes of a stream of these bytes, in chunks.
fn read(peer: &mut Peer, bytes: &[u8], chunk: usize) -> Result<Verdict, ControlRefusal> {
    let mut stream = Incoming::default();
    let mut verdict = Verdict::Read;
    for chunk in bytes.chunks(chunk) {
        verdict = stream.handle_bytes(peer, chunk)?;
        if verdict == Verdict::Unwanted {
            break;
        }
    }
    Ok(verdict)
}

fn control(frames: &[Vec<u8>]) -> Vec<u8> {
    [varint(CONTROL), settings_of(&[]), frames.concat()].concat()
}

/// Legal frames of a client.
fn legal() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let one = prop_oneof![
        (0u64..1 << 40)
            .prop_map(|id| frame(PRIORITY_UPDATE, &[varint(4 * id), vec![b'u']].concat())),
        (0u64..1 << 40, 0usize..5000).prop_map(|(kind, length)| {
            frame(
                0x1f * kind + 0x21,
                &vec![0xc1; length.min(limits::MAX_CONTROL_FRAME_BYTES as usize)],
            )
        }),
        Just(frame(GOAWAY, &varint(0))),
        Just(frame(MAX_PUSH_ID, &varint(1 << 20))),
    ];
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn legal_frames_pass_in_any_chunking(frames in legal(), chunk in 1usize..3000) {
        let mut peer = Peer::default();
        prop_assert_eq!(read(&mut peer, &control(&frames), chunk), Ok(Verdict::Read));
        prop_assert_eq!(peer.take_count() as usize, frames.len() + 2);
    }

    /// Whatever went before, and however it is cut: the header of the frame is enough.
    #[test]
    fn a_gibibyte_is_refused_at_its_header(frames in legal(), kind in 0x21u64..1 << 62, chunk in 1usize..3000) {
        let declared = [control(&frames), varint(kind), varint(1 << 30)].concat();
        let read = read(&mut Peer::default(), &declared, chunk);
        prop_assert_eq!(read, Err(ControlRefusal::FrameTooLong));
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..50) {
        let _ = read(&mut Peer::default(), &bytes, chunk);
    }
}

/// RFC 9114 sections 5.2, 6.2 and 7.2, RFC 9218 section 7.2, RFC 9220 section 3, RFC 9297 section
/// 2.1.1.
#[test]
fn what_breaks_a_rule_of_the_control_stream_is_refused_by_it() {
    use ControlRefusal as Rule;
    let start = |bytes: Vec<u8>| [varint(CONTROL), bytes].concat();
    let then = |bytes: Vec<u8>| control(&[bytes]);
    for (bytes, rule) in [
        (start(frame(GOAWAY, &varint(0))), Rule::MissingSettings),
        (start(frame(0x21, b"x")), Rule::MissingSettings),
        (start(frame(DATA, b"x")), Rule::MissingSettings),
        (then(settings_of(&[])), Rule::RepeatedSettings),
        (then(frame(DATA, b"x")), Rule::RequestFrame),
        (then(frame(HEADERS, b"x")), Rule::RequestFrame),
        (then(frame(PUSH_PROMISE, b"x")), Rule::RequestFrame),
        (then(frame(0x02, b"x")), Rule::Http2Frame),
        (then(frame(0x06, b"x")), Rule::Http2Frame),
        (then(frame(0x08, b"x")), Rule::Http2Frame),
        (then(frame(0x09, b"x")), Rule::Http2Frame),
        (start(settings_of(&[(0x02, 0)])), Rule::Http2Setting),
        (start(settings_of(&[(0x05, 0)])), Rule::Http2Setting),
        (start(settings_of(&[(0x08, 2)])), Rule::SettingValue),
        (start(settings_of(&[(0x33, 2)])), Rule::SettingValue),
        (start(settings_of(&[(0x06, 1), (0x21, 1), (0x06, 1)])), Rule::RepeatedSetting),
        (start(frame(SETTINGS, &[0x06])), Rule::FrameForm),
        (start(frame(SETTINGS, &[0x06, 0x40])), Rule::FrameForm),
        (then(frame(GOAWAY, &[])), Rule::FrameForm),
        (then(frame(GOAWAY, &[0, 0])), Rule::FrameForm),
        (then(frame(MAX_PUSH_ID, &[0x40])), Rule::FrameForm),
        (then(frame(CANCEL_PUSH, &[])), Rule::FrameForm),
        (then(frame(CANCEL_PUSH, &[0])), Rule::Push),
        (then(frame(PRIORITY_UPDATE_OF_PUSH, b"\0u=1")), Rule::Push),
        (then(frame(PRIORITY_UPDATE, &[])), Rule::FrameForm),
        (then(frame(PRIORITY_UPDATE, b"\x02u=1")), Rule::Priority),
        (control(&[frame(GOAWAY, &[1]), frame(GOAWAY, &[2])]), Rule::GoawayGrows),
        (control(&[frame(MAX_PUSH_ID, &[2]), frame(MAX_PUSH_ID, &[1])]), Rule::MaxPushIdShrinks),
        (varint(PUSH), Rule::PushStream),
    ] {
        for chunk in [1, 2, 1000] {
            let read = read(&mut Peer::default(), &bytes, chunk);
            assert_eq!(read, Err(rule), "{bytes:02x?}");
        }
    }
}

/// RFC 9204 sections 4.3 and 4.4.
#[test]
fn qpack_has_nothing_to_say_without_a_dynamic_table() {
    use ControlRefusal as Rule;
    let cancel = [&[0x41, 0x7f][..], &[0xff; 8], &[0x01]].concat();
    for (kind, instructions, verdict) in [
        (ENCODER, vec![0x20, 0x20], Ok(Verdict::Read)),
        (ENCODER, vec![0x21], Err(Rule::EncoderStream)),
        (ENCODER, vec![0x3f, 0x00], Err(Rule::EncoderStream)),
        (ENCODER, vec![0xc0, 0x01, b'x'], Err(Rule::EncoderStream)),
        (ENCODER, vec![0x41, b'x', 0x01, b'y'], Err(Rule::EncoderStream)),
        (ENCODER, vec![0x00], Err(Rule::EncoderStream)),
        (DECODER, cancel, Ok(Verdict::Read)),
        (DECODER, [&[0x7f][..], &[0xff; 9]].concat(), Err(Rule::DecoderStream)),
        (DECODER, vec![0x80], Err(Rule::DecoderStream)),
        (DECODER, vec![0x00], Err(Rule::DecoderStream)),
        (DECODER, vec![0x01], Err(Rule::DecoderStream)),
    ] {
        let bytes = [varint(kind), instructions].concat();
        assert_eq!(read(&mut Peer::default(), &bytes, 1), verdict, "{bytes:02x?}");
    }
}

#[test]
fn there_is_one_stream_of_each_kind_and_it_stays_open() {
    for kind in [CONTROL, ENCODER, DECODER] {
        let mut peer = Peer::default();
        let mut first = Incoming::default();
        assert_eq!(first.handle_bytes(&mut peer, &varint(kind)), Ok(Verdict::Read));
        assert_eq!(first.handle_end(), Err(ControlRefusal::ClosedStream));
        let second = read(&mut peer, &varint(kind), 1);
        assert_eq!(second, Err(ControlRefusal::SecondStream), "{kind}");
    }
    // RFC 9114 sections 6.2 and 6.2.3.
    assert_eq!(Incoming::default().handle_end(), Ok(()));
    for kind in [0x21, 0x54, 1 << 40] {
        let unknown = [varint(kind), vec![0; 9]].concat();
        assert_eq!(read(&mut Peer::default(), &unknown, 1), Ok(Verdict::Unwanted));
    }
}
