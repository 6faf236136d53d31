//! What a client sends, and what an origin gets of it.

mod whence;

use proptest::prelude::*;

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    map
}

fn rules(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderRules {
    let name = |name: &str| name.parse().expect("a name");
    let field = |(field, value): &(&str, &str)| (name(field), value.parse().expect("a value"));
    HeaderRules {
        remove: remove.iter().map(|field| name(field)).collect(),
        set: set.iter().map(field).collect(),
        add: add.iter().map(field).collect(),
    }
}

const ID: HeaderName = HeaderName::from_static("x-request-id");

fn from(client: &str) -> From<'static> {
    From {
        client: client.parse().expect("an address"),
        authority: "www.example.com",
        protocol: Version::Http3,
        request_id: None,
    }
}

/// What an origin gets, without what it always gets where that is as expected.
fn sent_by(
    client: &[(&str, &str)],
    rules: &[&HeaderRules],
    forwarded: Forwarded,
) -> Vec<(String, String)> {
    let fields = request_fields(&map(client), rules, &from("192.0.2.9:4711"), forwarded);
    let mut fields: Vec<_> = fields
        .expect("no circle")
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    for (name, value) in [
        ("forwarded", "for=192.0.2.9;host=www.example.com;proto=https"),
        ("x-forwarded-for", "192.0.2.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.example.com"),
        ("via", "3 landfast"),
    ] {
        fields.retain(|field| *field != (name.to_owned(), value.to_owned()));
    }
    // Those of one name stay in their order.
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

fn sent(client: &[(&str, &str)]) -> Vec<(String, String)> {
    sent_by(client, &[], Forwarded::Replace)
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn a_request_goes_on_as_the_client_made_it() {
    let fields = [
        ("accept", "text/html"),
        ("accept", "*/*;q=0.1"),
        ("authorization", "Bearer a"),
        ("content-length", "3"),
        ("content-type", "text/plain"),
        ("cookie", "a=b; c=d"),
        ("expect", "100-continue"),
        ("max-forwards", "7"),
        ("priority", "u=1, i"),
        ("trailer", "checksum"),
        ("x-caf", "caf\u{e9}"),
        ("x_own", "kept"),
    ];
    assert_eq!(sent(&fields), pairs(&fields));
}

/// RFC 9110 section 7.6.1, RFC 9113 section 8.2.2.
#[test]
fn what_belongs_to_the_clients_connection_stays_here() {
    let client = [
        ("connection", "keep-alive, X-Hop"),
        ("connection", ", UPGRADE,\tx-second ,"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip;q=0.5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-hop", "1"),
        ("x-hop", "2"),
        ("x-second", "3"),
        ("x-end", "4"),
    ];
    assert_eq!(sent(&client), pairs(&[("x-end", "4")]));
}

/// RFC 9110 section 10.1.4. Over HTTP/1.1 it is about the connection, and says so.
#[test]
fn of_te_trailers_alone_go_on() {
    for (te, expected) in [
        (&["trailers"][..], true),
        (&["Trailers"], true),
        (&["gzip;q=0.1, trailers"], true),
        (&["deflate", "trailers"], true),
        (&["gzip"], false),
        (&["x-trailers"], false),
        (&[], false),
    ] {
        let te: Vec<_> = te.iter().map(|te| ("te", *te)).collect();
        let expected = if expected { pairs(&[("te", "trailers")]) } else { Vec::new() };
        assert_eq!(sent(&te), expected, "{te:?}");
    }
    let mut fields = map(&[("te", "trailers"), ("a", "b")]);
    for_http11(&mut fields);
    assert_eq!(fields["connection"], "TE");
    let mut fields = map(&[("a", "b")]);
    for_http11(&mut fields);
    assert!(!fields.contains_key("connection"));
}

/// RFC 9113 section 8.2.3, RFC 9114 section 4.2.1.
#[test]
fn crumbs_of_a_cookie_are_joined() {
    let crumbs = [("cookie", "a=b"), ("cookie", "c=d; e=f"), ("cookie", "")];
    assert_eq!(sent(&crumbs), pairs(&[("cookie", "a=b; c=d; e=f")]));
}

/// RFC 9110 section 7.2: it goes with the target. Section 11.7.2, CVE-2016-5385.
#[test]
fn host_proxy_and_credentials_for_a_proxy_are_sent_to_no_origin() {
    let client = [
        ("host", "other.example"),
        ("proxy", "http://evil.example"),
        ("proxy-authorization", "Basic YTpi"),
    ];
    assert!(sent(&client).is_empty());
    assert!(sent_by(&client, &[], Forwarded::Append).is_empty());
}

#[test]
fn rules_come_last_those_of_the_behaviour_after_those_of_the_distribution() {
    let client = [("x-a", "client"), ("x-b", "client"), ("x-c", "client"), ("x-d", "client")];
    let distribution = rules(&["x-a"], &[("x-b", "first"), ("x-c", "first")], &[("x-d", "first")]);
    let behaviour = rules(&["x-forwarded-host"], &[("x-c", "second")], &[("x-a", "second")]);
    let fields = request_fields(
        &map(&client),
        &[&distribution, &behaviour],
        &from("192.0.2.9:1"),
        Forwarded::Replace,
    );
    let fields = fields.expect("no circle");
    let all = |name: &str| -> Vec<_> { fields.get_all(name).iter().collect() };
    assert_eq!(all("x-a"), ["second"]);
    assert_eq!(all("x-b"), ["first"]);
    assert_eq!(all("x-c"), ["second"]);
    assert_eq!(all("x-d"), ["client", "first"]);
    assert!(!fields.contains_key("x-forwarded-host"));
}

#[test]
fn the_id_of_a_request_is_ours() {
    let id = HeaderValue::from_static("1234");
    let from = From { request_id: Some((&ID, &id)), ..from("192.0.2.9:1") };
    let client = map(&[("x-request-id", "forged"), ("x-request-id", "again")]);
    let fields = request_fields(&client, &[], &from, Forwarded::Append).expect("no circle");
    assert_eq!(fields.get_all("x-request-id").iter().collect::<Vec<_>>(), [&id]);
    // Without an ID of ours it is a field as any other.
    assert_eq!(sent(&[("x-request-id", "theirs")]), pairs(&[("x-request-id", "theirs")]));
}

/// RFC 9110 section 7.6.3.
#[test]
fn via_names_the_version_that_the_client_speaks() {
    for (protocol, expected) in [
        (Version::Http11, "1.0 fred, 1.1 landfast"),
        (Version::Http2, "1.0 fred, 2 landfast"),
        (Version::Http3, "1.0 fred, 3 landfast"),
    ] {
        let from = From { protocol, ..from("192.0.2.9:1") };
        let client = map(&[("via", "1.0 fred")]);
        let fields = request_fields(&client, &[], &from, Forwarded::Replace).expect("no circle");
        assert_eq!(fields["via"], expected);
        assert!(via(protocol).ends_with(PSEUDONYM));
    }
}

/// RFC 5842 section 7.2.
#[test]
fn a_request_that_goes_in_circles_is_refused() {
    let pass = |via: &[&str]| {
        let via: Vec<_> = via.iter().map(|via| ("via", *via)).collect();
        request_fields(&map(&via), &[], &from("192.0.2.9:1"), Forwarded::Replace)
    };
    let mut fields = pass(&[]).expect("a first time");
    for _ in 0..limits::MAX_VIA_LOOPS {
        let again = fields["via"].to_str().expect("text").to_owned();
        fields = pass(&[&again]).expect("not yet");
    }
    let again = fields["via"].to_str().expect("text").to_owned();
    assert_eq!(pass(&[&again]).expect_err("a circle"), Looping);
    assert_eq!(Looping::STATUS.as_u16(), 508);
    // However it is written, and whoever stands between.
    let lines = ["1.1 Landfast (a),HTTP/2 landfast, 1.0 b", "3   landfast", "2\tLANDFAST"];
    assert_eq!(pass(&lines).expect_err("a circle"), Looping);
    // Others whose names or comments look alike.
    let others = ["1.1 landfast.example", "1.1 a landfast", "landfast", "1.1 landfast:443"];
    pass(&others).expect("none of them is ours");
}

#[test]
fn a_response_loses_what_belongs_to_the_origins_connection() {
    let mut fields = map(&[
        ("alt-svc", "h3=\":443\""),
        ("connection", "close, X-Hop"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-connection", "close"),
        ("upgrade", "h2c"),
        ("x-hop", "1"),
        ("cache-control", "max-age=9"),
        ("content-length", "5"),
        ("server", "origin/1"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("trailer", "checksum"),
    ]);
    response_fields(&mut fields, http::Version::HTTP_11);
    let mut names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let kept = ["cache-control", "content-length", "server", "set-cookie", "set-cookie"];
    assert_eq!(names, [&kept[..], &["trailer", "via"]].concat());
    assert_eq!(fields["via"], "1.1 landfast");
}

/// RFC 9112 section 6.3.
#[test]
fn a_length_beside_a_transfer_coding_is_not_believed() {
    let mut fields = map(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
    response_fields(&mut fields, http::Version::HTTP_11);
    assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["via"]);
}

#[test]
fn via_of_a_response_names_the_version_that_the_origin_speaks() {
    for (version, expected) in [
        (http::Version::HTTP_10, "1.1 inner, 1.0 landfast"),
        (http::Version::HTTP_11, "1.1 inner, 1.1 landfast"),
        (http::Version::HTTP_2, "1.1 inner, 2 landfast"),
        (http::Version::HTTP_3, "1.1 inner, 3 landfast"),
    ] {
        let mut fields = map(&[("via", "1.1 inner")]);
        response_fields(&mut fields, version);
        assert_eq!(fields["via"], expected);
    }
}

/// RFC 9110 section 6.5.1.
#[test]
fn trailers_say_nothing_that_an_origin_or_a_client_could_take_for_the_head() {
    let bad = [
        ("authorization", "a"),
        ("connection", "close"),
        ("content-length", "5"),
        ("content-type", "text/html"),
        ("content_length", "5"),
        ("cookie", "a=b"),
        ("forwarded", "for=198.51.100.1"),
        ("host", "a.example"),
        ("if-match", "*"),
        ("set-cookie", "a=b"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("via", "1.1 a"),
        ("x-forwarded-for", "198.51.100.1"),
    ];
    let of_ours = [("x-edge", "1"), ("x_edge", "1"), ("x-secret", "1"), ("x-request-id", "1")];
    let good = [("content-digest", "sha-256=:AA==:"), ("grpc-status", "0"), ("x-checksum", "1")];
    let set = rules(&["x-secret"], &[("x-edge", "ours")], &[]);
    let mut trailers = map(&[&bad[..], &of_ours, &good].concat());
    request_trailers(&mut trailers, &[&set], Some(&ID));
    assert_eq!(trailers, map(&good));
    let mut trailers = map(&[&bad[..], &good].concat());
    response_trailers(&mut trailers);
    assert_eq!(trailers, map(&good));
}

fn asked(append: Append, pattern: &str, path: &str, query: Option<&str>) -> String {
    let proxy = Proxy { origin: "app".into(), append, forwarded: Forwarded::Replace };
    let path = Path::parse(path).expect("a path");
    target(&proxy, &PathPattern::Prefix(pattern.into()), &path, query).to_string()
}

#[test]
fn an_origin_is_asked_for_the_path_in_normal_form_and_the_query_as_it_was() {
    for (append, pattern, path, query, expected) in [
        (Append::Path, "/", "/", None, "/"),
        (Append::Path, "/", "/", Some(""), "/?"),
        (Append::Path, "/api", "/api/a/../%62", Some("a=%62&c=../d"), "/api/b?a=%62&c=../d"),
        (Append::Path, "/", "/caf%c3%a9", Some("a b|c"), "/caf%C3%A9?a%20b%7Cc"),
        (Append::Rest, "/api", "/api", None, "/"),
        (Append::Rest, "/api", "/api/", None, "/"),
        (Append::Rest, "/api", "/%61pi/a%20b/c", Some("d"), "/a%20b/c?d"),
        (Append::Rest, "/api/", "/api/x", None, "/x"),
        (Append::Rest, "/", "/x", None, "/x"),
    ] {
        assert_eq!(asked(append, pattern, path, query), expected);
    }
}

/// RFC 9110 section 8.6, RFC 9112 section 6.1.
#[test]
fn the_length_of_a_response_is_one_number_or_none_at_all() {
    let checked = |status: u16, fields: &[(&str, &str)]| {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(status).expect("a status");
        *head.headers_mut() = map(fields);
        check_framing(&mut head)?;
        let lengths = head.headers().get_all("content-length").iter();
        Ok(lengths.map(|length| length.to_str().expect("text").to_owned()).collect::<Vec<_>>())
    };
    let length = |value| ("content-length", value);
    assert_eq!(checked(200, &[]), Ok(vec![]));
    assert_eq!(checked(200, &[length("4")]), Ok(vec!["4".into()]));
    assert_eq!(checked(200, &[length("4, 4")]), Ok(vec!["4".into()]));
    assert_eq!(checked(200, &[length("4"), length("4")]), Ok(vec!["4".into()]));
    assert_eq!(checked(304, &[length("4")]), Ok(vec!["4".into()]));
    assert_eq!(checked(204, &[length("4")]), Ok(vec![]));
    for odd in ["-2", "+2", "", "4, 5", "0x4", "4 4"] {
        assert_eq!(checked(200, &[length(odd)]), Err(BadFraming), "{odd}");
    }
    assert_eq!(checked(200, &[length("4"), length("5")]), Err(BadFraming));
    assert_eq!(checked(200, &[("transfer-encoding", "Chunked")]), Ok(vec![]));
    for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity"] {
        assert_eq!(checked(200, &[("transfer-encoding", coding)]), Err(BadFraming), "{coding}");
    }
}

/// RFC 9110 section 7.6.2.
#[test]
fn a_hop_is_counted_off_what_may_not_go_far() {
    let counted = |value: &str| {
        let mut fields = map(&[("max-forwards", value)]);
        let goes_on = count_hop(&mut fields);
        (goes_on, fields["max-forwards"].to_str().expect("text").to_owned())
    };
    assert_eq!(counted("10"), (true, "9".into()));
    assert_eq!(counted("1"), (true, "0".into()));
    assert_eq!(counted("0"), (false, "0".into()));
    for odd in ["", "-1", "x", "99999999999"] {
        assert_eq!(counted(odd), (true, odd.into()));
    }
    assert!(count_hop(&mut HeaderMap::new()));
}

proptest! {
    #[test]
    fn any_path_and_query_that_are_taken_can_be_asked_for(
        path in "(/([a-z.;=|]|%20|%41|%c3%a9){1,8}){1,4}/?",
        query in proptest::option::of("[ -~é]{0,40}"),
    ) {
        prop_assume!(Path::parse(&path).is_ok());
        for append in [Append::Path, Append::Rest] {
            let target = asked(append, "/", &path, query.as_deref());
            prop_assert!(target.starts_with('/') && !target.starts_with("//"));
        }
    }
}
