//! Field sections: what is read, what is refused, and that what is written is read.

use super::encoder::Encoder;
use super::static_table::EntryName;
use super::*;
use bytes::BufMut as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

/// Names and values of a section, with the N bit.
fn lines(section: &[u8]) -> Result<Vec<(String, Vec<u8>, bool)>, QpackRefusal> {
    let mut lines = Lines::new(Bytes::copy_from_slice(section))?;
    let mut all = Vec::new();
    while let Some(line) = lines.next_line()? {
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        all.push(match line {
            Line::Indexed(row) => (row.name_text.to_owned(), row.value_text.into(), false),
            Line::NameReference { name, value, never_indexed } => {
                (name.name_text.to_owned(), value.to_vec(), never_indexed)
            }
            Line::Literal { name, value, never_indexed } => {
                (text(name), value.to_vec(), never_indexed)
            }
        });
    }
    Ok(all)
}

fn read(section: &[u8]) -> Vec<(String, String)> {
    let text = |value| String::from_utf8(value).expect("text");
    lines(section).expect("a section").into_iter().map(|(n, v, _)| (n, text(v))).collect()
}

fn one(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

/// RFC 9204 appendix B.1.
#[test]
fn the_example_of_the_rfc_is_read_and_written() {
    let section = [&[0x00, 0x00, 0x51, 0x0b][..], b"/index.html"].concat();
    assert_eq!(read(&section), one(":path", "/index.html"));
}

/// RFC 9204 appendix B.2 to B.5: all of these refer to a dynamic table.
#[test]
fn the_examples_with_a_dynamic_table_are_refused() {
    for section in
        [&[0x03, 0x81, 0x10, 0x11][..], &[0x05, 0x00, 0x80, 0xc1, 0x81], &[0x02, 0x00, 0x80]]
    {
        assert_eq!(lines(section), Err(QpackRefusal::DynamicReference));
    }
}

/// RFC 9204 sections 4.5.2 to 4.5.6, without a required insert count that would give them away.
#[test]
fn every_line_that_refers_to_a_dynamic_table_is_refused() {
    for line in [
        &[0x80][..],
        &[0xbf, 0x00],
        &[0x10],
        &[0x1f, 0x00],
        &[0x40, 0x00],
        &[0x60, 0x00],
        &[0x00, 0x00],
        &[0x0f, 0x00, 0x00],
    ] {
        let section = [&[0, 0], line].concat();
        assert_eq!(lines(&section), Err(QpackRefusal::DynamicReference), "{line:x?}");
    }
}

/// RFC 9204 section 4.5.1.2: without references any base will do, except one below zero.
#[test]
fn a_base_is_not_below_zero() {
    assert_eq!(lines(&[0, 0x05, 0xc0 | 17]).map(|lines| lines.len()), Ok(1));
    assert_eq!(lines(&[0, 0x80]), Err(QpackRefusal::NegativeBase));
    assert_eq!(lines(&[0, 0x85]), Err(QpackRefusal::NegativeBase));
}

#[test]
fn what_is_cut_off_is_refused() {
    let mut out = BytesMut::new();
    let fields = [
        (HeaderName::from_static("x-some"), HeaderValue::from_static("of the value")),
        (http::header::SERVER, HeaderValue::from_static("landfast")),
    ];
    Encoder::default().trailers(&fields.into_iter().collect(), &mut out);
    let ends: Vec<_> = (0..out.len()).filter(|end| lines(&out[..*end]).is_ok()).collect();
    // The prefix alone, and behind the first line.
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0], 2);
    assert_eq!(lines(&[]), Err(QpackRefusal::Truncated));
    assert_eq!(lines(&[0]), Err(QpackRefusal::Truncated));
}

#[test]
fn every_row_is_read_by_its_index_and_the_next_is_none() {
    for index in 0..99u8 {
        let mut section = BytesMut::from(&[0, 0][..]);
        integer::put(index.into(), INDEXED | INDEXED_STATIC, 6, &mut section);
        integer::put(index.into(), NAME_REFERENCE | NAME_REFERENCE_STATIC, 4, &mut section);
        section.put_slice(&[1, b'x']);
        let row = static_table::entry(index.into()).expect("a row");
        let expected = [one(row.name_text, row.value_text), one(row.name_text, "x")].concat();
        assert_eq!(read(&section), expected);
    }
    for (flags, prefix) in
        [(INDEXED | INDEXED_STATIC, 6), (NAME_REFERENCE | NAME_REFERENCE_STATIC, 4)]
    {
        for index in [99, 1 << 40] {
            let mut section = BytesMut::from(&[0, 0][..]);
            integer::put(index, flags, prefix, &mut section);
            assert_eq!(lines(&section), Err(QpackRefusal::StaticIndex));
        }
    }
}

#[test]
fn a_length_beyond_the_section_takes_no_memory() {
    let mut section = BytesMut::from(&[0, 0, NAME_REFERENCE | NAME_REFERENCE_STATIC][..]);
    integer::put(1 << 61, 0x80, 7, &mut section);
    assert_eq!(lines(&section), Err(QpackRefusal::Truncated));
}

#[test]
fn strings_that_are_not_coded_are_slices_of_the_section() {
    let section = Bytes::from_static(&[0, 0, 0x51, 2, b'/', b'x']);
    let line = Lines::new(section.clone()).and_then(|mut lines| lines.next_line());
    let Ok(Some(Line::NameReference { value, .. })) = line else { panic!() };
    assert_eq!(value.as_ptr(), section[4..].as_ptr());
}

/// Fields whose names are in the table, nearly, or not at all.
fn fields() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let of_table = (0u64..99).prop_filter_map("a pseudo-header", |index| {
        let row = static_table::entry(index)?;
        let EntryName::Field(name) = &row.name else { return None };
        Some((name.clone(), row.value.clone()))
    });
    let name = "[a-z0-9!#$%&'*+.^_`|~-]{1,20}"
        .prop_map(|name| HeaderName::from_bytes(name.as_bytes()).expect("a token"));
    let value = prop::collection::vec(prop_oneof![0x20u8..0x7f, 0x80u8..], 0..80)
        .prop_map(|value| HeaderValue::from_bytes(&value).expect("no control character"));
    let field = (of_table, name, value, 0u8..4, any::<bool>());
    let field = field.prop_map(|((known, whole), name, mut value, kind, sensitive)| {
        value.set_sensitive(sensitive);
        match kind {
            0 => (known, whole),
            1 => (known, value),
            _ => (name, value),
        }
    });
    prop::collection::vec(field, 0..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read(heads in prop::collection::vec(fields(), 1..4)) {
        let mut encoder = Encoder::default();
        for head in heads.iter().chain(&heads) {
            let map: HeaderMap = head.iter().cloned().collect();
            let mut out = BytesMut::new();
            encoder.trailers(&map, &mut out);
            let written: Vec<_> = map
                .iter()
                .map(|(name, value)| {
                    (name.as_str().to_owned(), value.as_bytes().to_vec(), value.is_sensitive())
                })
                .collect();
            prop_assert_eq!(lines(&out), Ok(written));
        }
    }

    #[test]
    fn any_bytes_are_lines_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let section = [&[0, 0], &bytes[..]].concat();
        let size = lines(&section).map(|lines| lines.iter().map(|(n, v, _)| n.len() + v.len()).sum());
        // The longest row of the table has 77 bytes, and takes two.
        let size: usize = size.unwrap_or(0);
        prop_assert!(size <= 77 * section.len());
    }
}
