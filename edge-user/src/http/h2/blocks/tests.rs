mod beside_h2;

use proptest::prelude::*;

use super::*;
use crate::http::primitive::huffman;

const HEAD: FrameHead = FrameHead { kind: HEADERS, flags: END_HEADERS, stream: 1 };

fn hex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |digit: u8| (digit as char).to_digit(16).expect("hexadecimal") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn whole(blocks: &mut Blocks, block: &[u8]) -> Result<Block, Fault> {
    blocks.take(HEAD, block, true).map(|block| block.expect("it is whole"))
}

/// A field that becomes an entry (RFC 7541 section 6.2.1).
fn entry(name: &str, value: &str) -> Vec<u8> {
    let part = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [&[INCREMENTAL], &part(name)[..], &part(value)].concat()
}

const INCREMENTAL: u8 = 0x40;
const CONTINUATION: u8 = 9;

/// A string in Huffman code.
fn coded(text: &str) -> Vec<u8> {
    let mut code = bytes::BytesMut::new();
    huffman::encode(text.as_bytes(), &mut code);
    [&[0x80 | code.len() as u8], &code[..]].concat()
}

/// RFC 7541 appendix C.2 to C.6: the size of the list, of the entries in the table, and of all of them.
#[test]
fn the_examples_of_hpack_are_followed() {
    let requests = [(180, vec![57], 57), (233, vec![53, 57], 110), (245, vec![54, 53, 57], 164)];
    let responses = [
        (222, vec![63, 65, 52, 42], 222),
        (222, vec![42, 63, 65, 52], 222),
        (372, vec![98, 52, 65], 215),
    ];
    let c3 = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let c4 = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let c5 = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
         3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let c6 = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
         919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
         4ee5 b106 3d50 07",
    ];
    for (examples, results, most) in
        [(c3, &requests, 4096), (c4, &requests, 4096), (c5, &responses, 256), (c6, &responses, 256)]
    {
        let mut blocks = Blocks::default();
        blocks.table.resize(most).expect("allowed");
        for (example, (list, entries, all)) in examples.into_iter().zip(results) {
            let block = whole(&mut blocks, &hex(example)).expect("it is good");
            assert_eq!((block.list_bytes, block.has_pseudo), (*list, true), "{example}");
            assert_eq!(blocks.table.sizes(), (entries.clone(), *all), "{example}");
        }
    }
    // C.2: with an entry, without, never with, and as one of the static table.
    for (example, list, entries) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", 55, vec![55]),
        ("040c 2f73 616d 706c 652f 7061 7468", 49, vec![]),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", 46, vec![]),
        ("82", 42, vec![]),
    ] {
        let mut blocks = Blocks::default();
        assert_eq!(whole(&mut blocks, &hex(example)).expect("it is good").list_bytes, list);
        assert_eq!(blocks.table.sizes().0, entries, "{example}");
    }
}

/// RFC 9113 section 4.3: h2 ends the connection by each of them, too, but says PROTOCOL_ERROR.
#[test]
fn what_hpack_has_not_is_told_by_its_rule() {
    let string = |code: &[u8]| [&[0, 1, b'x', 0x80 | code.len() as u8], code].concat();
    for (block, fault) in [
        (vec![0x80], Fault::Index),
        (vec![0xbe], Fault::Index),
        (vec![0xff, 0x00], Fault::Index),
        (vec![0x7e, 1, b'y'], Fault::Index),
        (vec![0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Fault::Integer),
        // Zeros alone.
        (vec![0x00, 0x7f, 0x80, 0x80, 0x80, 0x80, 0x00], Fault::Integer),
        (vec![0x00, 1], Fault::Cut),
        (vec![0x00, 1, b'x', 2, b'y'], Fault::Cut),
        (vec![0x7f], Fault::Cut),
        (string(&[0x1f, 0xff]), Fault::Huffman),
        (string(&[0x18]), Fault::Huffman),
        (string(&[0xff; 4]), Fault::Huffman),
        (vec![0x3f, 0xe2, 0x1f], Fault::TableSize),
        (vec![0x82, 0x20], Fault::LateTableSize),
        (vec![0x00, 0, 1, b'y'], Fault::NoName),
        (vec![0x40, 0x80, 1, b'y'], Fault::NoName),
    ] {
        assert_eq!(whole(&mut Blocks::default(), &block), Err(fault), "{block:x?}");
    }
    let mut blocks = Blocks::default();
    let all = [&[0x3f, 0xe1, 0x1f, 0x20, 0x3f, 0xe1, 0x1f][..], &entry("x", "y"), &[0xbe]].concat();
    assert_eq!(whole(&mut blocks, &all).expect("4096, 0, 4096").list_bytes, 68);
    let error = whole(&mut blocks, &[0x20, 0xbe]);
    assert_eq!(error, Err(Fault::Index), "an empty table has no entry");
}

/// Plain and in Huffman code, said or as an entry, with the name of an entry of either table.
#[test]
fn a_fragment_is_one_in_a_path_and_nowhere_else() {
    let has =
        |blocks: &mut Blocks, block: &[u8]| whole(blocks, block).expect("it is good").has_fragment;
    let mut blocks = Blocks::default();
    assert!(has(&mut blocks, &[0x04, 4, b'/', b'a', b'#', b'b']));
    assert!(has(&mut blocks, &[0x44, 4, b'/', b'a', b'#', b'b']));
    assert!(has(&mut blocks, &[0xbe]), "as an entry");
    assert!(has(&mut blocks, &[&entry("x", "y")[..], &[0xbf]].concat()));
    assert!(!has(&mut blocks, &[0x0f, 48, 2, b'/', b'b']), "its name, with another value");
    assert!(!has(&mut blocks, &[&[0x04][..], &coded("/a")].concat()));
    assert!(has(&mut blocks, &[&[0x04][..], &coded("/a#")].concat()));
    assert!(has(&mut blocks, &[&[0x00][..], &coded(":path"), &coded("/a#")].concat()));
    assert!(!has(&mut blocks, &[&[0x00][..], &coded(":paths"), &coded("/a#")].concat()));
    for other in [&entry(":pathx", "#")[..], &entry("x", "#"), &entry("path", "#")] {
        assert!(!has(&mut blocks, other));
    }
    assert!(has(&mut blocks, &entry(":path", "#")));
}

#[test]
fn what_is_around_a_block_is_no_part_of_it() {
    let with = |flags, payload: &[u8]| {
        Blocks::default().take(FrameHead { flags: END_HEADERS | flags, ..HEAD }, payload, true)
    };
    let good = Ok(Some(42));
    let list =
        |block: Result<Option<Block>, Fault>| block.map(|block| block.map(|it| it.list_bytes));
    assert_eq!(list(with(PADDED, &[2, 0x82, 0, 0])), good);
    assert_eq!(list(with(HAS_PRIORITY, &[0, 0, 0, 9, 1, 0x82])), good);
    assert_eq!(list(with(PADDED | HAS_PRIORITY, &[1, 0x80, 0, 0, 9, 1, 0x82, 0])), good);
    assert_eq!(list(with(PADDED, &[0])), Ok(Some(0)));
    for (flags, payload) in [
        (PADDED, &[3, 0x82, 0][..]),
        (PADDED, &[]),
        (HAS_PRIORITY, &[0; 4]),
        (PADDED | HAS_PRIORITY, &[2, 0, 0, 0, 9, 1, 0x82]),
    ] {
        assert_eq!(with(flags, payload), Err(Fault::Padding), "{payload:x?}");
    }
    // h2 does not read the block of a stream that depends on itself.
    let itself = [0, 0, 0, 1, 9];
    assert_eq!(with(HAS_PRIORITY, &[&itself[..], &[0x82]].concat()), Ok(None));
    let changes = with(HAS_PRIORITY, &[&itself[..], &entry("x", "y")].concat());
    assert_eq!(changes, Err(Fault::Unread));
}

/// However a block comes in frames, and frames in parts; what is not whole is held for so long alone.
#[test]
fn a_block_may_come_in_any_parts() {
    let block =
        [&[0x82, 0x87][..], &entry(":path", "/a#b"), &entry("x", "y"), &[0x0f, 47], &coded("z")]
            .concat();
    let expected = whole(&mut Blocks::default(), &block).expect("it is good");
    // Three frames, of which any may be empty.
    let cuts = (0..=block.len()).flat_map(|first| (first..=block.len()).map(move |at| (first, at)));
    for ((first, second), part) in cuts.flat_map(|cuts| [1, 2, 3, 50].map(|part| (cuts, part))) {
        let frames = [&block[..first], &block[first..second], &block[second..]];
        let (mut blocks, mut ended) = (Blocks::default(), None);
        for (number, frame) in frames.into_iter().enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            let flags = if number == 2 { END_HEADERS } else { 0 };
            let head = FrameHead { kind, flags, stream: 1 };
            for start in (0..frame.len().max(1)).step_by(part) {
                let end = frame.len().min(start + part);
                let ends = end == frame.len();
                ended = blocks.take(head, &frame[start..end], ends).expect("it is good");
                assert_eq!(blocks.open.is_some(), ended.is_none());
            }
            assert_eq!(blocks.is_open(1), flags == 0);
            assert!(!blocks.is_open(3));
        }
        assert_eq!(ended, Some(expected));
    }
}

/// Whatever they carry, nothing among it: who sends little has a long line read again and again.
#[test]
fn a_block_has_as_many_frames_as_h2_takes_and_no_more() {
    for part in [&[][..], b"y", &[b'y'; 1 << 14]] {
        let mut blocks = Blocks::default();
        let mut take = |kind, flags, part: &[u8]| {
            blocks.take(FrameHead { kind, flags, stream: 1 }, part, true)
        };
        assert_eq!(take(HEADERS, 0, &[0, 1, b'x', 0x7f, 0x80, 0x80, 0x80, 0x01]), Ok(None));
        for _ in 0..limits::MAX_CONTINUATIONS {
            assert_eq!(take(CONTINUATION, 0, part), Ok(None));
        }
        assert_eq!(take(CONTINUATION, 0, part), Err(Fault::ManyFrames));
    }
    let mut blocks = Blocks::default();
    let mut take = |kind, flags| blocks.take(FrameHead { kind, flags, stream: 1 }, &[0x82], true);
    assert_eq!(take(HEADERS, 0), Ok(None));
    for _ in 0..limits::MAX_CONTINUATIONS {
        assert_eq!(take(CONTINUATION, 0), Ok(None));
    }
    let list_bytes = take(CONTINUATION, END_HEADERS).map(|block| block.map(|it| it.list_bytes));
    assert_eq!(list_bytes, Ok(Some(42 * (limits::MAX_CONTINUATIONS as u32 + 2))));
}

proptest! {
    #[test]
    fn any_bytes_are_followed_or_told_by_a_rule(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
        flags in any::<u8>(),
    ) {
        let mut blocks = Blocks::default();
        for frame in &frames {
            let _ = blocks.take(FrameHead { flags, ..HEAD }, frame, true);
            let (sizes, all) = blocks.table.sizes();
            prop_assert_eq!(sizes.iter().sum::<u32>(), all);
            prop_assert!(all <= limits::HEADER_TABLE_BYTES);
        }
    }
}
