//! What is a head and what is not: RFC 9114 sections 4.2 to 4.4, and what h3spec and the design of
//! a proxy ask for besides.

use super::request::{RequestHead, Target};
use super::response::{Asked, ResponseHead};
use super::*;
use crate::http::h3::qpack::encoder::Encoder;
use bytes::BytesMut;
use http::{Method, StatusCode};

type Field<'a> = (&'a [u8], &'a [u8]);

/// A section of literals, as no encoder would write it.
pub(crate) fn section(fields: &[Field<'_>]) -> Bytes {
    // An integer with a prefix of so many bits, which are the only ones set before.
    let integer = |flags: u8, most: usize, value: usize| match value.checked_sub(most) {
        None => vec![flags | value as u8],
        Some(left) if left < 0x80 => vec![flags | most as u8, left as u8],
        Some(left) => {
            let (low, high) = (left as u8 | 0x80, left >> 7);
            vec![flags | most as u8, low, high as u8 | 0x80, (high >> 7) as u8]
        }
    };
    let mut section = vec![0, 0];
    for (name, value) in fields {
        section.extend(integer(0x20, 0x07, name.len()));
        section.extend_from_slice(name);
        section.extend(integer(0x00, 0x7f, value.len()));
        section.extend_from_slice(value);
    }
    section.into()
}

const GET: [Field<'static>; 4] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"example.com"),
    (b":path", b"/a?b"),
];

fn request(fields: &[Field<'_>]) -> Result<RequestHead, Refusal> {
    RequestHead::read(section(fields), &())
}

fn get_and(fields: &[Field<'_>]) -> Result<RequestHead, Refusal> {
    request(&[&GET, fields].concat())
}

/// A GET whose pseudo-header field has another value, or none.
fn get_but(name: &[u8], value: Option<&[u8]>) -> Result<RequestHead, Refusal> {
    let fields = GET.iter().filter_map(|(field, before)| match *field == name {
        true => value.map(|value| (*field, value)),
        false => Some((*field, *before)),
    });
    request(&fields.collect::<Vec<_>>())
}

fn response(fields: &[Field<'_>]) -> Result<ResponseHead, Refusal> {
    ResponseHead::read(section(fields), &Asked::Other)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(read: Result<T, Refusal>, malformed: Malformed) {
    assert_eq!(read.expect_err("refused"), malformed.into());
}

#[test]
fn a_request_is_read() {
    let head = get_and(&[(b"accept", b"*/*"), (b"x-a", b"1"), (b"x-a", b"2")]).expect("a request");
    assert_eq!(head.method, Method::GET);
    let Target::Resource(resource) = &head.target else { panic!() };
    assert_eq!(resource.scheme.as_str(), "https");
    assert_eq!(resource.authority, "example.com");
    assert_eq!((resource.path.as_str(), head.path()), ("/a?b", "/a"));
    assert_eq!(head.fields.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(head.framing(&()), Framing::Content(None));
}

/// RFC 9114 section 4.3.1.
#[test]
fn a_request_has_each_pseudo_header_field_once_and_first() {
    for name in [&b":method"[..], b":scheme", b":path"] {
        refused(get_but(name, None), Malformed::MissingPseudo);
    }
    for (name, value) in GET {
        refused(request(&[&GET[..], &[(name, value)]].concat()), Malformed::RepeatedPseudo);
        let late = [&[(&b"accept"[..], &b"*/*"[..])], &GET[..]].concat();
        refused(request(&late), Malformed::LatePseudo);
        refused(get_and(&[(b"accept", b"*/*"), (name, value)]), Malformed::LatePseudo);
    }
    refused(request(&[]), Malformed::MissingPseudo);
    refused(get_and(&[(b":status", b"200")]), Malformed::MisplacedPseudo);
    for unknown in [&b":"[..], b":foo", b":Method", b":method ", b"::method"] {
        refused(get_and(&[(unknown, b"x")]), Malformed::UnknownPseudo);
    }
}

/// RFC 9114 sections 4.2 and 10.3: every byte in a name, and no name at all.
#[test]
fn names_are_lower_case_tokens() {
    for byte in 0..=u8::MAX {
        let name = [b'x', byte, b'y'];
        let allowed = byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || b"!#$%&'*+-.^_`|~".contains(&byte);
        match get_and(&[(&name, b"")]) {
            Ok(head) => assert!(allowed && head.fields.len() == 1, "{byte:#x}"),
            Err(refusal) => assert!(!allowed && refusal == Malformed::Name.into(), "{byte:#x}"),
        }
    }
    refused(get_and(&[(b"", b"x")]), Malformed::Name);
    // And one that is long enough to take another way through the library.
    let long = [b'a'; 100];
    assert!(get_and(&[(&long, b"")]).is_ok());
    refused(get_and(&[(&[&long[..], b"\""].concat(), b"")]), Malformed::Name);
    refused(get_and(&[(&[&long[..], b"A"].concat(), b"")]), Malformed::Name);
}

/// RFC 9114 section 10.3, RFC 9110 section 5.5: every byte in a value, and around it.
#[test]
fn values_have_no_control_characters_and_no_space_around_them() {
    for byte in 0..=u8::MAX {
        let allowed = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        let within = get_and(&[(b"x", &[b'a', byte, b'b'])]);
        assert_eq!(within.is_ok(), allowed, "{byte:#x}");
        for around in [[byte, b'a'], [b'a', byte]] {
            let is_space = matches!(byte, b' ' | b'\t');
            let read = get_and(&[(b"x", &around)]);
            assert_eq!(read.is_ok(), allowed && !is_space, "{byte:#x}");
            if is_space {
                refused(read, Malformed::ValueSpace);
            }
        }
    }
    assert!(get_and(&[(b"x", b"")]).is_ok());
    for value in [&b"a\r\nb: c"[..], b"a\nb", b"a\0b"] {
        refused(get_and(&[(b"x", value)]), Malformed::Value);
    }
}

/// The same bytes where they would end a line of HTTP/1.1, or a part of it.
#[test]
fn pseudo_header_fields_carry_nothing_into_another_version() {
    for (name, malformed) in [
        (&b":method"[..], Malformed::Method),
        (b":scheme", Malformed::Scheme),
        (b":authority", Malformed::Authority),
        (b":path", Malformed::Path),
    ] {
        for end in [
            &b"\r\n"[..],
            b"\r",
            b"\n",
            b"\0",
            b" ",
            b"\t",
            b" HTTP/1.1\r\nHost: evil",
            b"\x7f",
            b"\xff",
        ] {
            let (_, value) =
                GET.into_iter().find(|(field, _)| *field == name).expect("one of them");
            refused(get_but(name, Some(&[value, end].concat())), malformed);
            refused(get_but(name, Some(&[end, value].concat())), malformed);
        }
        refused(get_but(name, Some(b"")), malformed);
    }
}

#[test]
fn a_scheme_is_http_or_https() {
    assert!(get_but(b":scheme", Some(b"http")).is_ok());
    for scheme in [&b"ftp"[..], b"HTTPS", b"https:", b"http, https"] {
        refused(get_but(b":scheme", Some(scheme)), Malformed::Scheme);
    }
}

/// RFC 9114 section 4.3.1, RFC 9110 section 7.2.
#[test]
fn a_request_names_one_host() {
    refused(get_but(b":authority", None), Malformed::NoAuthority);
    assert!(get_and(&[(b"host", b"example.com")]).is_ok());
    for other in [&b"example.org"[..], b"example.com:443", b"EXAMPLE.com", b""] {
        refused(get_and(&[(b"host", other)]), Malformed::HostDiffers);
    }
    let twice = [(&b"host"[..], &b"example.com"[..]); 2];
    refused(get_and(&twice), Malformed::RepeatedHost);
    let by_host = |host: &'static [u8]| request(&[GET[0], GET[1], GET[3], (b"host", host)]);
    let Ok(RequestHead { target: Target::Resource(resource), .. }) = by_host(b"example.com:8443")
    else {
        panic!()
    };
    assert_eq!(resource.authority, "example.com:8443");
    for host in [&b""[..], b"user@example.com", b"a, b", b"a/b"] {
        refused(by_host(host), Malformed::Authority);
    }
}

/// RFC 9114 section 4.4.
#[test]
fn connect_is_an_authority_with_a_port_and_nothing_else() {
    let connect = (&b":method"[..], &b"CONNECT"[..]);
    let authority = (&b":authority"[..], &b"example.com:443"[..]);
    let head = request(&[connect, authority]).expect("a tunnel");
    assert!(matches!(&head.target, Target::Tunnel(to) if to == "example.com:443"));
    assert_eq!(head.framing(&()), Framing::Tunnel);
    refused(request(&[connect]), Malformed::NoAuthority);
    refused(request(&[connect, (b":authority", b"example.com")]), Malformed::Authority);
    refused(request(&[connect, authority, GET[1]]), Malformed::Connect);
    refused(request(&[connect, authority, GET[3]]), Malformed::Connect);
    refused(request(&[connect, authority, GET[1], GET[3]]), Malformed::Connect);
    let length = (&b"content-length"[..], &b"0"[..]);
    refused(request(&[connect, authority, length]), Malformed::Connect);
    let other_host = (&b"host"[..], &b"example.org:443"[..]);
    refused(request(&[connect, authority, other_host]), Malformed::HostDiffers);
}

/// RFC 9220, RFC 8441 section 4.
#[test]
fn an_extended_connect_has_all_of_a_request() {
    let connect = (&b":method"[..], &b"CONNECT"[..]);
    let websocket = (&b":protocol"[..], &b"websocket"[..]);
    let [_, scheme, authority, path] = GET;
    let head = request(&[connect, websocket, scheme, authority, path]).expect("a request");
    assert!(matches!(&head.target, Target::Protocol(_, protocol) if protocol == "websocket"));
    assert_eq!(head.framing(&()), Framing::Tunnel);
    for missing in [[websocket, scheme, authority], [websocket, authority, path]] {
        refused(request(&[&[connect][..], &missing].concat()), Malformed::MissingPseudo);
    }
    refused(request(&[connect, websocket, scheme, path]), Malformed::NoAuthority);
    refused(get_and(&[]).and(request(&[&GET[..], &[websocket]].concat())), Malformed::Protocol);
    for protocol in [&b""[..], b"a b", b"a\r\nb"] {
        let odd = (&b":protocol"[..], protocol);
        refused(request(&[connect, odd, scheme, authority, path]), Malformed::Protocol);
    }
    let all = [connect, websocket, scheme, authority, path, (b"content-length", b"5")];
    refused(request(&all), Malformed::Connect);
}

/// RFC 9114 section 4.2.
#[test]
fn fields_about_a_connection_are_refused() {
    for name in
        [&b"connection"[..], b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"]
    {
        for value in [&b""[..], b"close", b"chunked", b"x-a"] {
            refused(get_and(&[(name, value)]), Malformed::ConnectionField);
            refused(response(&[(b":status", b"200"), (name, value)]), Malformed::ConnectionField);
            refused(trailers(section(&[(name, value)])), Malformed::ConnectionField);
        }
    }
    assert!(get_and(&[(b"te", b"trailers")]).is_ok());
    for value in [&b"gzip"[..], b"trailers, gzip", b"", b"chunked"] {
        refused(get_and(&[(b"te", value)]), Malformed::Te);
    }
    refused(get_and(&[(b"te", b"trailers"), (b"te", b"gzip")]), Malformed::Te);
    refused(response(&[(b":status", b"200"), (b"te", b"trailers")]), Malformed::Te);
}

/// RFC 9110 section 8.6.
#[test]
fn a_length_is_one_decimal_number() {
    for (text, length) in [(&b"0"[..], 0), (b"42", 42), (b"18446744073709551615", u64::MAX)] {
        assert_eq!(get_and(&[(b"content-length", text)]).expect("read").length, Some(length));
    }
    for text in [
        &b""[..],
        b"-1",
        b"+1",
        b"1, 1",
        b"1,1",
        b"0x1",
        b"1.0",
        b"1e3",
        b"1 1",
        b"18446744073709551616",
        b"\xb2",
        b"a",
    ] {
        refused(get_and(&[(b"content-length", text)]), Malformed::Length);
    }
    for text in [b"1", b"2"] {
        let two = [(&b"content-length"[..], &b"1"[..]), (b"content-length", text)];
        refused(get_and(&two), Malformed::RepeatedLength);
    }
}

/// RFC 9114 section 4.2.1.
#[test]
fn crumbs_of_a_cookie_are_joined() {
    let head = get_and(&[(b"cookie", b"a=b")]).expect("a request");
    assert_eq!(head.fields["cookie"], "a=b");
    let crumbs =
        [(&b"cookie"[..], &b"a=b"[..]), (b"x", b"y"), (b"cookie", b"c=d"), (b"cookie", b"e")];
    let head = get_and(&crumbs).expect("a request");
    assert_eq!(head.fields.get_all("cookie").iter().collect::<Vec<_>>(), ["a=b; c=d; e"]);
    // What a server sends is none of its own.
    let crumbs = [(&b":status"[..], &b"200"[..]), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")];
    assert_eq!(response(&crumbs).expect("a response").fields.len(), 2);
}

/// RFC 9114 section 4.2.2: names, values, and 32 for each.
#[test]
fn a_section_is_bounded_in_bytes_and_in_lines() {
    let used: usize = GET.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    let fit = limits::MAX_FIELD_SECTION_BYTES as usize - used - 32 - 1;
    // In three, each shorter than the test's own integers allow for.
    let part = vec![b'a'; fit / 3];
    let rest = vec![b'a'; fit - 2 * (fit / 3) - 2 * 33];
    let fields = |rest: &[u8]| get_and(&[(b"x", &part), (b"x", &part), (b"x", rest)]);
    assert!(fields(&rest).is_ok());
    let too_large = fields(&[&rest[..], b"a"].concat()).expect_err("refused");
    assert_eq!(too_large, Excess::FieldSection.into());
    let many = vec![(&b"x"[..], &b""[..]); limits::MAX_FIELDS - GET.len()];
    assert!(get_and(&many).is_ok());
    let too_many = get_and(&[&many[..], &many[..1]].concat()).expect_err("refused");
    assert_eq!(too_many, Excess::FieldCount.into());
}

/// RFC 9204 section 3.1: a row may take one byte, and stands for more; it is counted as what it is.
#[test]
fn a_section_that_is_short_in_bytes_is_bounded_too() {
    let row_58 = [0xc0 | 58].repeat(limits::MAX_FIELDS + 1);
    let read = trailers([&[0, 0], &row_58[..]].concat().into());
    assert_eq!(read.expect_err("refused"), Excess::FieldCount.into());
}

/// RFC 9110 section 6.5.1.
#[test]
fn trailers_say_nothing_of_framing_or_routing() {
    let fields =
        [(&b"grpc-status"[..], &b"0"[..]), (b"x", b"y"), (b"cookie", b"a"), (b"cookie", b"b")];
    assert_eq!(trailers(section(&fields)).expect("trailers").len(), 4);
    assert_eq!(trailers(section(&[])).expect("trailers").len(), 0);
    for name in [&b"content-length"[..], b"host", b"trailer", b"expect", b"max-forwards"] {
        refused(trailers(section(&[(name, b"0")])), Malformed::TrailerField);
    }
    refused(trailers(section(&[(b"te", b"trailers")])), Malformed::Te);
    for (name, value) in [(&b":path"[..], &b"/"[..]), (b":status", b"200")] {
        refused(trailers(section(&[(name, value)])), Malformed::MisplacedPseudo);
    }
    refused(trailers(section(&[(b":foo", b"")])), Malformed::UnknownPseudo);
}

/// RFC 9114 section 4.3.2.
#[test]
fn a_response_has_a_status_and_no_more() {
    for status in [200, 204, 304, 404, 599] {
        let text = status.to_string();
        let head = response(&[(b":status", text.as_bytes()), (b"server", b"x")]).expect("one");
        assert_eq!((head.status.as_u16(), head.fields.len()), (status, 1));
    }
    refused(response(&[]), Malformed::MissingPseudo);
    refused(response(&[(b"server", b"x")]), Malformed::MissingPseudo);
    refused(response(&[(b":status", b"200"), (b":status", b"200")]), Malformed::RepeatedPseudo);
    refused(response(&[(b"server", b"x"), (b":status", b"200")]), Malformed::LatePseudo);
    refused(response(&[(b":status", b"200"), (b":path", b"/")]), Malformed::MisplacedPseudo);
    refused(response(&[(b":status", b"200"), (b":reason", b"OK")]), Malformed::UnknownPseudo);
    for status in [&b""[..], b"20", b"2000", b"099", b"2 0", b"+20", b"200 OK", b"abc", b"101"] {
        refused(response(&[(b":status", status)]), Malformed::Status);
    }
}

/// RFC 9110 sections 6.4.1, 8.6 and 9.3.6.
#[test]
fn a_response_has_content_by_its_status_and_what_was_asked() {
    let framing = |status: &[u8], length: Option<&[u8]>, asked| {
        let mut fields = vec![(&b":status"[..], status)];
        fields.extend(length.map(|length| (&b"content-length"[..], length)));
        ResponseHead::read(section(&fields), &asked).map(|head| head.framing(&asked))
    };
    let five = Some(&b"5"[..]);
    for (status, length, asked, expected) in [
        (&b"200"[..], five, Asked::Other, Framing::Content(Some(5))),
        (b"200", None, Asked::Other, Framing::Content(None)),
        (b"200", five, Asked::Head, Framing::NoContent),
        (b"304", five, Asked::Other, Framing::NoContent),
        (b"204", None, Asked::Other, Framing::NoContent),
        (b"204", Some(b"0"), Asked::Other, Framing::NoContent),
        (b"100", None, Asked::Other, Framing::Interim),
        (b"103", None, Asked::Head, Framing::Interim),
        (b"200", five, Asked::Connect, Framing::Tunnel),
        (b"404", five, Asked::Connect, Framing::Content(Some(5))),
    ] {
        assert_eq!(framing(status, length, asked), Ok(expected));
    }
    for status in [&b"204"[..], b"100", b"103"] {
        refused(framing(status, five, Asked::Other), Malformed::LengthWithoutContent);
    }
}

#[test]
fn a_head_that_was_read_is_written_and_read_again() {
    let tunnel = [(&b":method"[..], &b"CONNECT"[..]), (b":authority", b"a:1")];
    let websocket =
        [(&b":method"[..], &b"CONNECT"[..]), (b":protocol", b"websocket"), GET[1], GET[2], GET[3]];
    let fields = [(&b"accept"[..], &b"text/html, */*;q=0.8"[..]), (b"x-a", b"\xff"), (b"x-a", b"")];
    for pseudos in [&GET[..], &tunnel, &websocket] {
        let head = request(&[pseudos, &fields].concat()).expect("a request");
        let mut out = BytesMut::new();
        Encoder::default().request(&head.line(), &head.fields, &mut out);
        let again = RequestHead::read(out.freeze(), &()).expect("what we wrote");
        assert_eq!(format!("{again:?}"), format!("{head:?}"));
    }
    let head = response(&[(b":status", b"418"), (b"server", b"landfast")]).expect("a response");
    let mut out = BytesMut::new();
    Encoder::default().response(head.status, &head.fields, &mut out);
    let again = ResponseHead::read(out.freeze(), &Asked::Other).expect("what we wrote");
    assert_eq!((again.status, again.fields), (StatusCode::IM_A_TEAPOT, head.fields));
}
