//! Origins that are spoken to in HTTP/2.

use std::fs;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tests::credentials::SERVER_NAME;
use tests::http2_origin::{Http2Origin, OriginTls};
use tests::versions::{Exchange, VERSIONS, Version, request};

use super::Edge;
use super::bed::url;

/// Says who was asked and in which form, and sends content and trailers back.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut content) = request.into_parts();
    let hints = Response::builder().status(103).header("link", "</a.css>").body(());
    let _ = respond.send_informational(hints.expect("a head"));
    let target = HeaderValue::try_from(head.uri.to_string()).expect("text");
    let response = Response::builder()
        .header("x-target", target)
        .header("x-host", u8::from(head.headers.contains_key("host")).to_string())
        .body(())
        .expect("a head");
    let Ok(mut stream) = respond.send_response(response, false) else { return };
    while let Some(Ok(part)) = content.data().await {
        let _ = content.flow_control().release_capacity(part.len());
        if !part.is_empty() {
            let _ = stream.send_data(part, false);
        }
    }
    let trailers = content.trailers().await.ok().flatten().unwrap_or_default();
    let _ = stream.send_trailers(trailers);
}

fn h2_in_clear(origin: &Http2Origin, more: &str) -> Edge {
    let settings = format!("protocol = \"h2\"\n{more}");
    Edge::in_front_of_all(&[("app", &[url(origin.address())], &settings)])
}

#[tokio::test]
async fn a_request_of_any_version_reaches_an_origin_of_http2_with_all_that_it_has() {
    let origin = Http2Origin::start(None, echo).expect("a port");
    let edge = h2_in_clear(&origin, "");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("17"));
    for version in VERSIONS {
        let client = edge.client(version).await;
        let fields: &[_] = &[("te", "trailers"), ("trailer", "x-sum")];
        let begun = client.begin(request("POST", "/a?b", fields), true).await;
        let Exchange { mut sender, receiver } = begun.expect("begun");
        sender.send(Bytes::from_static(b"content")).await.expect("sent");
        sender.finish(Some(trailers.clone())).await.expect("sent");
        let answer = receiver.answer().await.expect("an answer");
        assert_eq!((answer.status(), &*answer.text()), (200, "content"), "{version:?}");
        assert_eq!(answer.field("x-target"), format!("http://{SERVER_NAME}/a?b"), "{version:?}");
        assert_eq!((answer.field("x-host"), answer.field("via")), ("0", "2 landfast"));
        if version != tests::versions::Version::Http11 {
            assert_eq!(answer.trailers, trailers, "{version:?}");
            assert_eq!(answer.interim[0].headers()["link"], "</a.css>", "{version:?}");
        }
    }
}

#[tokio::test]
async fn many_requests_share_few_connections() {
    let origin = Http2Origin::start(None, echo).expect("a port");
    let edge = h2_in_clear(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        for answer in join_all((0..60).map(|_| client.post("/", b"content"))).await {
            assert_eq!(answer.expect("an answer").text(), "content", "{version:?}");
        }
    }
    let connections = origin.connections();
    assert!(connections <= 4, "{connections} connections, of two workers");
}

#[tokio::test]
async fn an_origin_that_resets_a_response_cuts_that_one_alone() {
    let origin = Http2Origin::start(None, async |request: Request<RecvStream>, mut respond| {
        let Ok(mut stream) = SendResponse::send_response(&mut respond, Response::new(()), false)
        else {
            return;
        };
        let _ = stream.send_data(Bytes::from_static(b"the beginning"), false);
        match request.uri().path() {
            "/reset" => stream.send_reset(Reason::INTERNAL_ERROR),
            _ => drop(stream.send_data(Bytes::from_static(b" and the end"), true)),
        }
    });
    let origin = origin.expect("a port");
    let edge = h2_in_clear(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let (cut, whole) = tokio::join!(client.get("/reset"), client.get("/whole"));
        let whole = whole.expect("an answer");
        assert_eq!((&*whole.text(), whole.cut), ("the beginning and the end", None));
        // Before its head was passed on it can be said; behind it the response is cut.
        let cut = cut.expect("an answer");
        assert!(cut.status() == 502 || cut.cut.is_some(), "{version:?}: {cut:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_go_on_is_told_so() {
    let waits = async |request: Request<RecvStream>, _respond: SendResponse<Bytes>| {
        let mut content = request.into_body();
        while let Some(Ok(part)) = content.data().await {
            let _ = content.flow_control().release_capacity(part.len());
        }
    };
    let origin = Http2Origin::start(None, waits).expect("a port");
    let edge = h2_in_clear(&origin, "idle_timeout_seconds = 1");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let begun = client.begin(request("POST", "/", &[]), true).await;
        let Exchange { mut sender, receiver } = begun.expect("begun");
        sender.send(Bytes::from_static(b"the beginning")).await.expect("sent");
        let answer = receiver.answer().await.expect("an answer");
        assert_eq!(answer.status(), 408, "{version:?}: {answer:?}");
    }
}

/// RFC 9110 section 10.1.1.
#[tokio::test]
async fn content_is_sent_when_an_origin_of_http2_asks_for_it_and_not_where_it_answers_before() {
    let origin = Http2Origin::start(None, async |request: Request<RecvStream>, mut respond| {
        let respond: &mut SendResponse<Bytes> = &mut respond;
        let (head, mut content) = request.into_parts();
        let mut status = 401;
        if head.uri.path() == "/wanted" {
            let go_on = Response::builder().status(100).body(()).expect("a head");
            let _ = respond.send_informational(go_on);
            let part = content.data().await.and_then(Result::ok);
            status = if part.as_deref() == Some(b"content") { 201 } else { 400 };
        }
        let response = Response::builder().status(status).body(()).expect("a head");
        let _ = respond.send_response(response, true);
    });
    let origin = origin.expect("a port");
    let edge = h2_in_clear(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let expecting =
            |path| request("POST", path, &[("content-length", "7"), ("expect", "100-continue")]);
        let begun = client.begin(expecting("/wanted"), true).await;
        let Exchange { mut sender, mut receiver } = begun.expect("begun");
        assert_eq!(receiver.head().await.expect("a head").status(), 100, "{version:?}");
        sender.send(Bytes::from_static(b"content")).await.expect("sent");
        sender.finish(None).await.expect("sent");
        assert_eq!(receiver.answer().await.expect("an answer").status(), 201, "{version:?}");

        let begun = client.begin(expecting("/unwanted"), true).await;
        let Exchange { sender: _sender, receiver } = begun.expect("begun");
        let answer = receiver.answer().await.expect("an answer");
        assert_eq!((answer.status(), answer.interim.len()), (401, 0), "{version:?}");
    }
}

#[tokio::test]
async fn an_origin_that_does_not_answer_in_time_is_a_timeout_and_floods_are_ended() {
    let origin = Http2Origin::start(None, async |request: Request<RecvStream>, mut respond| {
        let respond: &mut SendResponse<Bytes> = &mut respond;
        while request.uri().path() == "/flood" {
            let hints = Response::builder().status(102).body(()).expect("a head");
            if respond.send_informational(hints).is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
    });
    let origin = origin.expect("a port");
    let edge = h2_in_clear(&origin, "response_timeout_seconds = 1\nmax_failures = 0");
    for version in VERSIONS {
        let client = edge.client(version).await;
        assert_eq!(client.get("/").await.expect("an answer").status(), 504, "{version:?}");
        let answer = client.get("/flood").await.expect("an answer");
        assert_eq!(answer.status(), 502, "{version:?}");
        assert!(answer.text().contains("interim"), "{version:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_origin_by_tls_is_believed_by_its_name_and_its_authority() {
    let both = OriginTls::of(&["origin.test"], &["h2", "http/1.1"]);
    let other = OriginTls::of(&["origin.test"], &["h2"]);
    let old = OriginTls::of(&["127.0.0.1"], &["http/1.1"]);
    let origin = Http2Origin::start(Some(&both), echo).expect("a port");
    let without_http2 = Http2Origin::start(Some(&old), echo).expect("a port");
    let edge = Edge::in_front_of_none();
    for (name, tls) in [("both", &both), ("other", &other), ("old", &old)] {
        fs::write(edge.path(&format!("{name}.pem")), &tls.authority).expect("written");
    }
    let servers = [format!("https://{}", origin.address())];
    let old_servers = [format!("https://{}", without_http2.address())];
    let by =
        |file: &str, more: &str| format!("ca = \"{}\"\nmax_failures = 0\n{more}", edge.path(file));
    let named = "server_name = \"origin.test\"";
    let settings = [
        by("both.pem", named),
        by("both.pem", ""),
        by("both.pem", "server_name = \"another.test\""),
        by("other.pem", named),
        "verify = false\nmax_failures = 0".to_owned(),
        by("old.pem", "protocol = \"h2\""),
        "max_failures = 0\nserver_name = \"origin.test\"".to_owned(),
    ];
    edge.proxy_to(&[
        ("good", &servers, &settings[0]),
        ("by-address", &servers, &settings[1]),
        ("another", &servers, &settings[2]),
        ("untrusted", &servers, &settings[3]),
        ("unverified", &servers, &settings[4]),
        ("without-http2", &old_servers, &settings[5]),
        ("of-nobody", &servers, &settings[6]),
    ]);
    let mut edge = edge;
    edge.start();
    for version in VERSIONS {
        let client = edge.client(version).await;
        for (path, status) in [
            ("/good", 200),
            ("/by-address", 502),
            ("/another", 502),
            ("/untrusted", 502),
            ("/unverified", 200),
            ("/without-http2", 502),
            ("/of-nobody", 502),
        ] {
            let answer = client.post(path, b"content").await.expect("an answer");
            assert_eq!(answer.status(), status, "{version:?} {path}: {answer:?}");
            match status {
                200 => {
                    assert_eq!(answer.text(), "content", "{version:?} {path}");
                    let target = format!("https://{SERVER_NAME}{path}");
                    assert_eq!(answer.field("x-target"), target, "{version:?}");
                }
                _ => assert!(answer.text().contains("TLS is not acceptable"), "{path}: {answer:?}"),
            }
        }
    }
    let failed = edge.sample(r#"landfast_origin_failures_total{origin="another",reason="tls"}"#);
    assert_eq!(failed.as_deref(), Some("3"), "one by each version");
    assert!(edge.log().contains("verify"), "that nothing is verified is said:\n{}", edge.log());
}

/// Its answers stay where they are, and fill what there is room for on a connection that all clients
/// of a worker share.
#[tokio::test]
async fn a_client_that_takes_nothing_holds_up_no_other() {
    let origin = Http2Origin::start(None, async |request: Request<RecvStream>, mut respond| {
        let length = if request.uri().path() == "/long" { 1 << 20 } else { 5 };
        if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
            let _ = stream.send_data(Bytes::from(vec![b'x'; length]), true);
        }
    });
    let origin = origin.expect("a port");
    let edge = h2_in_clear(&origin, "idle_timeout_seconds = 2");
    let mut untaken = Vec::new();
    for _ in 0..4 {
        // Each on one worker or the other.
        let client = edge.client(Version::Http2).await;
        for _ in 0..20 {
            untaken.push(client.begin(request("GET", "/long", &[]), false).await.expect("begun"));
        }
    }
    for _ in 0..4 {
        for version in VERSIONS {
            let answer = edge.client(version).await.get("/").await.expect("an answer");
            assert_eq!((answer.status(), &*answer.text()), (200, "xxxxx"), "{version:?}");
        }
    }
    assert!(origin.connections() <= 4, "of two workers");
    drop(untaken);
}
