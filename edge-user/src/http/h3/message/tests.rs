//! The order of a message (RFC 9114 section 4.1), its length (section 4.1.2) and its end, however
//! the bytes come.

use super::*;
use crate::http::h3::frame::{self, DATA, HEADERS};
use crate::http::h3::qpack::encoder::{Encoder, RequestLine};
use crate::http::h3::refusal::{QpackRefusal, Scope, code};
use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

fn of_type(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put_head(kind, payload.len() as u64, &mut out);
    [&out[..], payload].concat()
}

fn data(payload: &[u8]) -> Vec<u8> {
    of_type(DATA, payload)
}

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(pair).collect()
}

fn written(write: impl FnOnce(&mut Encoder, &mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put_headers(&mut out, |out| write(&mut Encoder::default(), out));
    out.to_vec()
}

fn post(pairs: &[(&'static str, &'static str)]) -> Vec<u8> {
    let line = RequestLine {
        method: &Method::POST,
        scheme: Some("https"),
        authority: Some("example.com"),
        path: Some("/"),
        protocol: None,
    };
    written(|encoder, out| encoder.request(&line, &fields(pairs), out))
}

fn connect() -> Vec<u8> {
    let line = RequestLine {
        method: &Method::CONNECT,
        scheme: None,
        authority: Some("example.com:443"),
        path: None,
        protocol: None,
    };
    written(|encoder, out| encoder.request(&line, &HeaderMap::new(), out))
}

fn response(status: u16, pairs: &[(&'static str, &'static str)]) -> Vec<u8> {
    let status = StatusCode::from_u16(status).expect("a status");
    written(|encoder, out| encoder.response(status, &fields(pairs), out))
}

fn trailers(pairs: &[(&'static str, &'static str)]) -> Vec<u8> {
    written(|encoder, out| encoder.trailers(&fields(pairs), out))
}

/// What came out, in letters: Interim, Head, Data (once, with its bytes), Trailers, End.
fn read<H: Head>(
    mut message: Message<H>,
    bytes: &[u8],
    fin: bool,
    chunk: usize,
) -> Result<(String, Vec<u8>), Refusal> {
    let (mut order, mut content) = (String::new(), Vec::new());
    let mut chunks: Vec<_> = bytes.chunks(chunk).map(|chunk| (chunk, false)).collect();
    match chunks.last_mut() {
        Some(last) => last.1 = fin,
        None => chunks.push((&[], fin)),
    }
    for (chunk, fin) in chunks {
        message.handle_bytes(Bytes::copy_from_slice(chunk), fin);
        while let Some(event) = message.poll()? {
            let letter = match event {
                Event::Interim(_) => 'I',
                Event::Head(_) => 'H',
                Event::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    content.extend_from_slice(&bytes);
                    'D'
                }
                Event::Trailers(_) => 'T',
                Event::End => 'E',
            };
            if letter != 'D' || !order.ends_with('D') {
                order.push(letter);
            }
        }
    }
    Ok((order, content))
}

fn asked(parts: &[&[u8]]) -> Result<String, Refusal> {
    read(Request::request(), &parts.concat(), true, usize::MAX).map(|(order, _)| order)
}

fn answered(to: Asked, parts: &[&[u8]]) -> Result<String, Refusal> {
    read(Response::response(to), &parts.concat(), true, usize::MAX).map(|(order, _)| order)
}

#[track_caller]
fn refused(read: Result<String, Refusal>, refusal: impl Into<Refusal>) {
    assert_eq!(read, Err(refusal.into()));
}

/// RFC 9114 section 4.1.
#[test]
fn a_message_is_a_head_content_and_trailers() {
    let (head, x, end) = (post(&[]), data(b"x"), trailers(&[("x", "y")]));
    let grease = of_type(0x21, b"grease");
    assert_eq!(asked(&[&head]).as_deref(), Ok("HE"));
    assert_eq!(asked(&[&head, &x, &x]).as_deref(), Ok("HDE"));
    assert_eq!(asked(&[&head, &end]).as_deref(), Ok("HTE"));
    assert_eq!(asked(&[&head, &x, &end]).as_deref(), Ok("HDTE"));
    let greased = [&grease[..], &head, &grease, &x, &grease, &end, &grease];
    assert_eq!(asked(&greased).as_deref(), Ok("HDTE"));
}

/// RFC 9114 section 4.1: H3_FRAME_UNEXPECTED.
#[test]
fn frames_out_of_order_end_the_connection() {
    let (head, x, end) = (post(&[]), data(b"x"), trailers(&[]));
    refused(asked(&[&x, &head]), FrameRefusal::DataFirst);
    refused(asked(&[&data(b""), &head]), FrameRefusal::DataFirst);
    for more in [&x, &data(b""), &end] {
        refused(asked(&[&head, &end, more]), FrameRefusal::AfterTrailers);
        refused(asked(&[&head, &x, &end, more]), FrameRefusal::AfterTrailers);
    }
    // CANCEL_PUSH, SETTINGS, GOAWAY, MAX_PUSH_ID; types of HTTP/2; PUSH_PROMISE.
    for kind in [0x03, 0x04, 0x07, 0x0d, 0x02, 0x06, 0x08, 0x09, 0x05] {
        for before in [&[][..], &head] {
            let refusal = asked(&[before, &of_type(kind, &[0])]).expect_err("refused");
            assert_eq!(
                (refusal.code(), refusal.scope()),
                (code::FRAME_UNEXPECTED, Scope::Connection)
            );
        }
    }
    let push = answered(Asked::Other, &[&of_type(0x05, &[0, 0, 0])]).expect_err("refused");
    assert_eq!((push.code(), push.scope()), (code::ID_ERROR, Scope::Connection));
}

/// RFC 9114 section 7.1: H3_FRAME_ERROR.
#[test]
fn a_stream_that_ends_inside_a_frame_ends_the_connection() {
    let whole = [post(&[]), data(b"some"), trailers(&[("a", "b")])].concat();
    let head = post(&[]).len();
    let boundaries = [head, head + data(b"some").len(), whole.len()];
    for end in 1..=whole.len() {
        match asked(&[&whole[..end]]) {
            Ok(_) => assert!(boundaries.contains(&end)),
            Err(refusal) => {
                assert!(!boundaries.contains(&end));
                assert_eq!(
                    (refusal.code(), refusal.scope()),
                    (code::FRAME_ERROR, Scope::Connection)
                );
            }
        }
    }
}

/// RFC 9114 section 4.1: H3_REQUEST_INCOMPLETE, and the connection goes on.
#[test]
fn a_stream_that_ends_before_a_head_is_incomplete() {
    for bytes in [&[][..], &of_type(0x21, b"grease")] {
        let refusal = asked(&[bytes]).expect_err("refused");
        assert_eq!((refusal.code(), refusal.scope()), (code::REQUEST_INCOMPLETE, Scope::Stream));
    }
    refused(answered(Asked::Other, &[]), Refusal::Incomplete);
    refused(answered(Asked::Other, &[&response(103, &[])]), Malformed::NoFinalResponse);
}

/// RFC 9114 section 4.1.2: H3_MESSAGE_ERROR, and the connection goes on.
#[test]
fn a_body_is_as_long_as_it_was_declared() {
    let three = post(&[("content-length", "3")]);
    let end = trailers(&[("a", "b")]);
    assert_eq!(asked(&[&three, &data(b"abc")]).as_deref(), Ok("HDE"));
    assert_eq!(
        asked(&[&three, &data(b"a"), &data(b""), &data(b"bc"), &end]).as_deref(),
        Ok("HDTE")
    );
    for wrong in [
        &[][..],
        &[&data(b"ab")],
        &[&data(b"abcd")],
        &[&data(b"abc"), &data(b"d")],
        &[&data(b"ab"), &end],
        &[&end],
    ] {
        let parts: Vec<&[u8]> =
            std::iter::once(&three).chain(wrong.iter().copied()).map(|it| &it[..]).collect();
        let refusal = asked(&parts).expect_err("refused");
        assert_eq!(refusal, Malformed::LengthDiffers.into());
        assert_eq!((refusal.code(), refusal.scope()), (code::MESSAGE_ERROR, Scope::Stream));
    }
    refused(asked(&[&post(&[("content-length", "0")]), &data(b"x")]), Malformed::LengthDiffers);
}

#[test]
fn a_body_that_is_too_long_is_refused_before_any_of_it_is_passed_on() {
    let mut message = Request::request();
    let mut head = BytesMut::from(&post(&[("content-length", "3")])[..]);
    frame::put_head(DATA, 4, &mut head);
    message.handle_bytes([&head[..], b"abc"].concat().into(), false);
    assert!(matches!(message.poll(), Ok(Some(Event::Head(_)))));
    assert_eq!(message.poll().expect_err("refused"), Malformed::LengthDiffers.into());
    // And it stays so.
    message.handle_bytes(Bytes::from_static(b"d"), true);
    assert_eq!(message.poll().expect_err("refused"), Malformed::LengthDiffers.into());
}

/// RFC 9114 section 4.4.
#[test]
fn a_tunnel_has_data_and_nothing_else() {
    let grease = of_type(0x21, b"");
    assert_eq!(asked(&[&connect(), &data(b"x"), &grease, &data(b"y")]).as_deref(), Ok("HDE"));
    refused(asked(&[&connect(), &trailers(&[])]), FrameRefusal::InTunnel);
    let ok = response(200, &[("content-length", "9")]);
    assert_eq!(answered(Asked::Connect, &[&ok, &data(b"x")]).as_deref(), Ok("HDE"));
    refused(answered(Asked::Connect, &[&ok, &trailers(&[])]), FrameRefusal::InTunnel);
}

/// RFC 9114 section 4.1, RFC 9110 section 15.2.
#[test]
fn interim_responses_come_before_the_final_one_and_are_bounded() {
    let (hints, ok) = (response(103, &[("link", "</a>")]), response(200, &[]));
    assert_eq!(answered(Asked::Other, &[&hints, &hints, &ok, &data(b"x")]).as_deref(), Ok("IIHDE"));
    refused(answered(Asked::Other, &[&hints, &data(b"x")]), FrameRefusal::DataFirst);
    // After the final head a section is that of trailers.
    refused(answered(Asked::Other, &[&ok, &hints]), Malformed::MisplacedPseudo);
    let most = hints.repeat(limits::MAX_INTERIM_RESPONSES as usize);
    assert!(answered(Asked::Other, &[&most, &ok]).is_ok());
    refused(answered(Asked::Other, &[&most, &hints, &ok]), Excess::InterimResponses);
}

/// RFC 9110 section 6.4.1.
#[test]
fn some_responses_have_no_content() {
    let five = [("content-length", "5")];
    for (to, head) in [
        (Asked::Head, response(200, &five)),
        (Asked::Other, response(304, &five)),
        (Asked::Other, response(204, &[])),
    ] {
        assert_eq!(answered(to, &[&head]).as_deref(), Ok("HE"));
        assert_eq!(answered(to, &[&head, &data(b"")]).as_deref(), Ok("HE"));
        refused(answered(to, &[&head, &data(b"x")]), Malformed::Content);
    }
    refused(answered(Asked::Other, &[&response(200, &five)]), Malformed::LengthDiffers);
}

/// RFC 9204 section 2.2: QPACK_DECOMPRESSION_FAILED.
#[test]
fn a_section_that_cannot_be_decoded_ends_the_connection() {
    for section in [&[][..], &[0], &[0, 0, 0x80], &[1, 0], &[0, 0, 0x51, 0x05, b'/']] {
        let refusal = asked(&[&of_type(HEADERS, section)]).expect_err("refused");
        assert!(matches!(refusal, Refusal::Qpack(_)), "{section:x?}");
        let expected = (code::QPACK_DECOMPRESSION_FAILED, Scope::Connection);
        assert_eq!((refusal.code(), refusal.scope()), expected);
    }
    let in_trailers = of_type(HEADERS, &[0, 0, 0x80]);
    refused(asked(&[&post(&[]), &in_trailers]), QpackRefusal::DynamicReference);
}

#[test]
fn data_is_passed_on_as_it_came() {
    let mut message = Request::request();
    let bytes = Bytes::from([post(&[]), data(&[7; 5000])].concat());
    message.handle_bytes(bytes.clone(), true);
    assert!(matches!(message.poll(), Ok(Some(Event::Head(_)))));
    let Ok(Some(Event::Data(content))) = message.poll() else { panic!() };
    assert_eq!(content.as_ptr(), bytes[bytes.len() - 5000..].as_ptr());
}

#[test]
fn bytes_may_be_given_before_the_last_were_asked_for() {
    let mut message = Request::request();
    let whole = [post(&[]), data(b"some"), data(b"more")].concat();
    for byte in &whole {
        message.handle_bytes(Bytes::copy_from_slice(&[*byte]), false);
    }
    message.handle_bytes(Bytes::new(), true);
    let mut events = 0;
    while message.poll().expect("legal").is_some() {
        events += 1;
    }
    assert_eq!(events, 1 + 8 + 1);
    assert!(matches!(message.poll(), Ok(None)), "the end comes once");
}

proptest! {
    #[test]
    fn a_message_is_the_same_however_it_is_cut(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..5),
        with_trailers in any::<bool>(), declared in any::<bool>(), greased in any::<bool>(),
        chunk in 1usize..3000,
    ) {
        let content = bodies.concat();
        let length: &'static str = content.len().to_string().leak();
        let mut bytes = if declared { post(&[("content-length", length)]) } else { post(&[]) };
        for body in &bodies {
            bytes.extend(data(body));
            if greased {
                bytes.extend(of_type(0x1f * 7 + 0x21, &[1, 2, 3]));
            }
        }
        if with_trailers {
            bytes.extend(trailers(&[("grpc-status", "0")]));
        }
        let (order, read) = read(Request::request(), &bytes, true, chunk).expect("legal");
        let middle = if content.is_empty() { "" } else { "D" };
        prop_assert_eq!(order, format!("H{middle}{}E", if with_trailers { "T" } else { "" }));
        prop_assert_eq!(read, content);
    }

    /// Of any bytes, in any pieces: the same events and the same refusal.
    #[test]
    fn any_bytes_are_read_or_refused_whatever_the_pieces(
        bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1usize..20, begun in any::<bool>(),
    ) {
        let bytes = if begun { [post(&[]), bytes].concat() } else { bytes };
        let whole = read(Request::request(), &bytes, true, usize::MAX);
        prop_assert_eq!(read(Request::request(), &bytes, true, chunk), whole);
    }
}
