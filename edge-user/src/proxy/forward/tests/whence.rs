//! An origin is told by the edge alone where a request comes from, or by proxies that the operator
//! believes.

use super::*;

/// Some proxies could be made to forget who the client is (as CVE-2024-45410).
#[test]
fn connection_takes_away_nothing_that_the_edge_says() {
    let named = "Forwarded, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Via, X-Request-Id, \
                 X-Edge, Content-Length";
    let client = [("connection", named), ("content-length", "5"), ("x-edge", "forged")];
    let set = rules(&[], &[("x-edge", "ours")], &[]);
    let id = HeaderValue::from_static("1234");
    let from = From { request_id: Some((&ID, &id)), ..from("192.0.2.9:1") };
    for forwarded in [Forwarded::Replace, Forwarded::Append] {
        let fields = request_fields(&map(&client), &[&set], &from, forwarded).expect("no circle");
        assert_eq!(fields["forwarded"], "for=192.0.2.9;host=www.example.com;proto=https");
        assert_eq!(fields["x-forwarded-for"], "192.0.2.9");
        assert_eq!(fields["x-forwarded-host"], "www.example.com");
        assert_eq!(fields["x-forwarded-proto"], "https");
        assert_eq!(fields["via"], "3 landfast");
        assert_eq!(fields["x-request-id"], id);
        assert_eq!(fields["x-edge"], "ours");
        assert_eq!(fields["content-length"], "5");
        assert!(!fields.contains_key("connection"));
    }
}

#[test]
fn connection_takes_away_nothing_that_a_proxy_of_the_operators_said() {
    let client = [
        ("connection", "x-forwarded-for, forwarded, x-real-ip, via"),
        ("x-forwarded-for", "198.51.100.1"),
        ("forwarded", "for=198.51.100.1"),
        ("x-real-ip", "198.51.100.1"),
        ("via", "1.1 inner"),
    ];
    let fields = sent_by(&client, &[], Forwarded::Append);
    let expected = pairs(&[
        ("forwarded", "for=198.51.100.1, for=192.0.2.9;host=www.example.com;proto=https"),
        ("via", "1.1 inner, 3 landfast"),
        ("x-forwarded-for", "198.51.100.1, 192.0.2.9"),
        ("x-real-ip", "198.51.100.1"),
    ]);
    assert_eq!(fields, expected);
}

#[test]
fn what_a_client_says_of_where_it_comes_from_is_thrown_away_or_believed() {
    let claims = [
        ("cf-connecting-ip", "198.51.100.1"),
        ("client-cert", ":AA==:"),
        ("client-ip", "198.51.100.1"),
        ("front-end-https", "on"),
        ("true-client-ip", "198.51.100.1"),
        ("x-client-ip", "198.51.100.1"),
        ("x-forwarded-client-cert", "By=a"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-prefix", "/admin"),
        ("x-original-url", "/admin"),
        ("x-real-ip", "198.51.100.1"),
        ("x-rewrite-url", "/admin"),
    ];
    assert!(sent(&claims).is_empty());
    assert_eq!(sent_by(&claims, &[], Forwarded::Append), pairs(&claims));
    let forged = [
        ("forwarded", "for=198.51.100.1;proto=http"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
    ];
    assert!(sent(&forged).is_empty());
}

#[test]
fn what_proxies_of_the_operators_said_is_added_to_in_one_line() {
    let client = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-for", "198.51.100.2, 198.51.100.3"),
        ("forwarded", "for=_hidden"),
        ("forwarded", "for=\"[2001:db8::1]\""),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "asked.example"),
    ];
    let expected = pairs(&[
        (
            "forwarded",
            "for=_hidden, for=\"[2001:db8::1]\", for=192.0.2.9;host=www.example.com;proto=https",
        ),
        ("x-forwarded-for", "198.51.100.1, 198.51.100.2, 198.51.100.3, 192.0.2.9"),
        ("x-forwarded-host", "asked.example"),
        ("x-forwarded-proto", "http"),
    ]);
    assert_eq!(sent_by(&client, &[], Forwarded::Append), expected);
}

/// RFC 7239 sections 4 and 6.
#[test]
fn an_address_and_a_host_are_written_so_that_they_can_be_read() {
    for (client, authority, forwarded, address) in [
        (
            "[2001:db8::9]:4711",
            "a.example:8443",
            "for=\"[2001:db8::9]\";host=\"a.example:8443\";proto=https",
            "2001:db8::9",
        ),
        (
            "[::ffff:192.0.2.9]:4711",
            "a.example",
            "for=192.0.2.9;host=a.example;proto=https",
            "192.0.2.9",
        ),
        ("192.0.2.9:1", "a\"b\\c", "for=192.0.2.9;host=\"a\\\"b\\\\c\";proto=https", "192.0.2.9"),
        ("192.0.2.9:1", "", "for=192.0.2.9;host=\"\";proto=https", "192.0.2.9"),
    ] {
        let from = From { authority, ..from(client) };
        let fields = request_fields(&HeaderMap::new(), &[], &from, Forwarded::Replace);
        let fields = fields.expect("no circle");
        assert_eq!(fields["forwarded"], forwarded);
        assert_eq!(fields["x-forwarded-for"], address);
        assert_eq!(fields["x-forwarded-host"], authority);
    }
}

/// What makes variables of fields (RFC 3875 section 4.1.18) takes `-` and `_` for one,
/// and mostly other signs.
#[test]
fn no_field_takes_anothers_place_by_a_name_that_is_read_alike() {
    let client = [
        ("x_forwarded_for", "198.51.100.1"),
        ("x-forwarded_for", "198.51.100.1"),
        ("x.forwarded.for", "198.51.100.1"),
        ("x-real~ip", "198.51.100.1"),
        ("x_real_ip", "198.51.100.1"),
        ("content_length", "7"),
        ("transfer_encoding", "chunked"),
        ("proxy_authorization", "a"),
        ("x_request_id", "forged"),
        ("x_edge", "forged"),
        ("x.edge", "forged"),
        ("x-plain", "forged"),
        ("x_secret", "forged"),
        ("x_other", "kept"),
        ("content_type", "kept"),
    ];
    let ours = rules(&["x-secret"], &[("x-edge", "ours"), ("x_plain", "ours")], &[("x-other", "")]);
    let id = HeaderValue::from_static("1234");
    let from = From { request_id: Some((&ID, &id)), ..from("192.0.2.9:1") };
    for forwarded in [Forwarded::Replace, Forwarded::Append] {
        let fields = request_fields(&map(&client), &[&ours], &from, forwarded).expect("no circle");
        let underscored = fields.keys().filter(|name| name.as_str().contains(['_', '.', '~']));
        let mut underscored: Vec<_> = underscored.map(HeaderName::as_str).collect();
        underscored.sort_unstable();
        assert_eq!(underscored, ["content_type", "x_other", "x_plain"]);
        assert_eq!(fields["x_plain"], "ours");
        assert_eq!(fields["x-edge"], "ours");
        assert!(!fields.contains_key("x-plain"));
    }
}

proptest! {
    #[test]
    fn whatever_a_client_sends_an_origin_is_told_by_us_alone_where_it_comes_from(
        names in proptest::collection::vec(
            prop_oneof![
                "[xX][-_][fF]orwarded[-_](for|host|proto)",
                "[Ff]orwarded|connection|via|te|x[-_]real[-_]ip|cookie|x-edge|x_edge",
                "[a-z_-]{1,20}",
            ],
            0..20,
        ),
        value in "(x-forwarded-for, |via|forwarded,|x-edge|1[.]1 [a-z]{1,5}, ){0,4}",
    ) {
        let value = HeaderValue::from_str(&value).expect("a value");
        let mut client = HeaderMap::new();
        for name in &names {
            client.append(name.parse::<HeaderName>().expect("a name"), value.clone());
        }
        let set = rules(&[], &[("x-edge", "ours")], &[]);
        let fields =
            request_fields(&client, &[&set], &from("192.0.2.9:1"), Forwarded::Replace);
        let fields = fields.expect("no circle");
        let read = |name: &str| -> Vec<&HeaderValue> {
            let alike = fields.iter().filter(|(field, _)| folded(field.as_str()) == name);
            alike.map(|(_, value)| value).collect()
        };
        prop_assert_eq!(read("x-forwarded-for"), ["192.0.2.9"]);
        prop_assert_eq!(read("x-forwarded-proto"), ["https"]);
        prop_assert_eq!(read("x-forwarded-host"), ["www.example.com"]);
        prop_assert_eq!(read("forwarded"), ["for=192.0.2.9;host=www.example.com;proto=https"]);
        prop_assert_eq!(read("x-edge"), ["ours"]);
        prop_assert_eq!(read("via").len(), 1);
        prop_assert!(read("x-real-ip").is_empty() && read("connection").is_empty());
    }
}
