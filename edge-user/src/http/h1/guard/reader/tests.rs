use super::*;

const HEAD: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\n";

/// What is said of so many requests when these bytes came: whole, cut in two anywhere, and one by
/// one. Whether the content of the last is good comes behind them.
fn read(bytes: &str, requests: usize) -> (Vec<Result<(), Rejection>>, bool) {
    let bytes = bytes.as_bytes();
    let judged = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut reader = Reader::default();
        pieces.for_each(|piece| reader.read(piece));
        let heads = (0..requests).map(|_| reader.next_head()).collect();
        (heads, !reader.content_is_broken())
    };
    let whole = judged(&mut [bytes].into_iter());
    assert_eq!(judged(&mut bytes.chunks(1)), whole, "{}", bytes.escape_ascii());
    for cut in 0..=bytes.len() {
        let (start, end) = bytes.split_at(cut);
        assert_eq!(judged(&mut [start, end].into_iter()), whole, "{}", bytes.escape_ascii());
    }
    whole
}

/// A good request behind these bytes is seen.
#[test]
fn the_end_of_a_request_is_where_its_head_or_its_content_says() {
    for request in [
        format!("{HEAD}\r\n"),
        format!("\r\n\r\n{HEAD}\r\n"),
        format!("{HEAD}content-LENGTH:  0 \t\r\n\r\n"),
        format!("{HEAD}Content-Length: 0005\r\n\r\nGET \n"),
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{HEAD}transfer-encoding:chunked\r\n\r\n00A;x=\"{HEAD}\r\n0123456789\r\n0\r\n\r\n")
            .replace(&format!("x=\"{HEAD}"), "x=\"y\"; z"),
        format!("{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n1 \r\n\n\r\n0\t;x\r\nx: y\r\n\r\n"),
        format!("{HEAD}x{}: y\r\nx: {}\r\n\r\n", "a".repeat(200), "b".repeat(200)),
        "A#B /c HTTP/1.1\r\n\r\n".to_owned(),
        format!("{HEAD}x: #\u{e9}\r\n\r\n"),
    ] {
        let (heads, is_good) = read(&format!("{request}{HEAD}\r\n"), 3);
        assert_eq!(heads, [Ok(()), Ok(()), Err(Rejection::Framing)], "{request:?}");
        assert!(is_good);
    }
}

/// From there on nothing is good, and what was before it is.
#[test]
fn what_could_end_in_two_places_is_refused_with_all_that_follows() {
    let long = format!("{HEAD}Content-Length:{}3\r\n\r\nabc", " ".repeat(99));
    for (request, rule) in [
        (&*HEAD.replace("\r\nHost", "\nHost"), Rejection::Line),
        ("\n", Rejection::Line),
        ("GET / HTTP/1.1\n\n", Rejection::Line),
        ("GET / HTTP/1.1\r\n\n", Rejection::Line),
        ("GET / HTTP/1.1\r\nx: y\nContent-Length: 3\r\n\r\n", Rejection::Line),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", Rejection::Length),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\nContent-Length: 3\r\n\r\n", Rejection::Length),
        ("POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n", Rejection::Length),
        ("POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n", Rejection::Length),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", Rejection::Length),
        ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", Rejection::Length),
        (
            "POST / HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
            Rejection::Framing,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: x\r\n\r\n",
            Rejection::Framing,
        ),
        (&long, Rejection::Length),
    ] {
        let (heads, is_good) = read(&format!("{HEAD}\r\n{request}{HEAD}\r\n"), 3);
        assert_eq!(heads, [Ok(()), Err(rule), Err(rule)], "{request:?}");
        assert!(is_good, "{request:?}: it has no content");
    }
}

#[test]
fn chunks_that_could_end_in_two_places_are_refused_with_all_that_follows() {
    for chunks in [
        "3\nabc\r\n0\r\n\r\n",
        "3;x\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "x\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3,\r\nabc\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx: y\n\ny: z\r\n\r\n",
    ] {
        let request = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        let (heads, is_good) = read(&request, 1);
        assert_eq!((heads, is_good), (vec![Ok(())], false), "{chunks:?}");
        let (heads, _) = read(&format!("{request}{HEAD}\r\n"), 2);
        assert_eq!(heads, [Ok(()), Err(Rejection::Line)], "{chunks:?}");
    }
}

/// Where it ends is clear, so that the connection goes on.
#[test]
fn a_target_that_is_no_uri_is_refused_and_what_follows_is_not() {
    for target in ["/#", "/a#b", "https://a.example#b", "*#", "/\u{e9}", "/a?\u{e9}#"] {
        let odd = format!("GET {target} HTTP/1.1\r\nContent-Length: 1\r\n\r\n#");
        let (heads, _) = read(&format!("{HEAD}\r\n{odd}{HEAD}\r\n"), 3);
        assert_eq!(heads, [Ok(()), Err(Rejection::Uri), Ok(())], "{target}");
    }
    let mut reader = Reader::default();
    for _ in 0..3 {
        reader.read(b"GET /#a HTTP/1.1\r\n\r\n");
        assert_eq!(reader.next_head(), Err(Rejection::Uri));
    }
    // Of one that comes before the other was asked for nobody keeps count.
    reader.read(b"GET /#a HTTP/1.1\r\n\r\nGET /#b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n");
    for _ in 0..3 {
        assert_eq!(reader.next_head(), Err(Rejection::Uri));
    }
}
