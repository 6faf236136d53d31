//! WebSockets of which one side has ended.

use std::env;
use std::io;
use std::time::Instant;

use bytes::Bytes;
use edge_user::http::websocket;
use edge_user::limits;
use futures_util::future::join_all;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderValue, Request, Response};
use tests::http2_origin::Http2Origin;
use tests::origin::{Origin, Visit, field, path};
use tests::versions::{Client, VERSIONS, Version};

use super::Edge;
use super::bed::url;

/// Waits for the end of what the client says, and takes leave; or never does.
fn waiting() -> Origin {
    let script = |visit: &mut Visit, _| {
        let head = visit.head()?;
        let key = HeaderValue::try_from(field(&head, "sec-websocket-key").unwrap_or_default());
        let accept = websocket::accept(&key.expect("a value"));
        visit.say(&format!(
            "HTTP/1.1 101 Go\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {}\r\n\r\n",
            accept.to_str().expect("text")
        ))?;
        let end = loop {
            if let Err(error) = visit.read() {
                break error;
            }
        };
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        if path(&head).ends_with("/silent") {
            // Longer than anybody waits for it.
            loop {
                std::thread::park();
            }
        }
        visit.say("goodbye")
    };
    Origin::start(script).expect("a port")
}

/// The same by HTTP/2.
async fn wait_by_http2(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut content) = request.into_parts();
    let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
    while let Some(Ok(part)) = content.data().await {
        let _ = content.flow_control().release_capacity(part.len());
    }
    if head.uri.path().ends_with("/silent") {
        let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
    } else {
        let _ = stream.send_data(Bytes::from_static(b"goodbye"), true);
    }
}

fn in_front_of_both(over_http11: &Origin, over_http2: &Http2Origin) -> Edge {
    let (http11, http2) = ([url(over_http11.address())], [url(over_http2.address())]);
    Edge::in_front_of_all(&[("http11", &http11, ""), ("http2", &http2, r#"protocol = "h2""#)])
}

/// What comes when the client has ended, and whether it is all.
async fn rest(client: &Client, path: &str) -> (Vec<u8>, bool) {
    let mut socket = client.websocket(path, &[]).await.expect("sent");
    let head = socket.receiver.head().await.expect("a head");
    assert!(matches!(head.status().as_u16(), 101 | 200), "{head:?}");
    socket.sender.send(Bytes::from_static(b"hello")).await.expect("taken");
    socket.sender.finish(None).await.expect("open");
    let mut heard = Vec::new();
    loop {
        match socket.receiver.part_at_leisure().await {
            Ok(Some(part)) => heard.extend_from_slice(&part),
            Ok(None) => return (heard, true),
            Err(_) => return (heard, false),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_client_passes_and_what_the_server_says_then_arrives() {
    let (over_http11, over_http2) = (waiting(), Http2Origin::start(None, wait_by_http2));
    let edge = in_front_of_both(&over_http11, &over_http2.expect("a port"));
    for version in VERSIONS {
        let client = edge.client(version).await;
        for path in ["/http11/socket", "/http2/socket"] {
            let (heard, whole) = rest(&client, path).await;
            assert_eq!((&heard[..], whole), (&b"goodbye"[..], true), "{version:?} {path}");
        }
    }
}

/// Takes as long as the limit says, and is one of the long cases for that. A connection of HTTP/3 on
/// which nothing comes does not last as long.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_the_end_of_a_client_is_left() {
    if env::var_os("LANDFAST_TEST_ALL").is_none() {
        // `proxy::origins::body` shows the same of the times alone.
        return;
    }
    let (over_http11, over_http2) = (waiting(), Http2Origin::start(None, wait_by_http2));
    let edge = in_front_of_both(&over_http11, &over_http2.expect("a port"));
    let edge = &edge;
    let all = [Version::Http11, Version::Http2].map(|version| {
        ["/http11/silent", "/http2/silent"].map(|path| async move {
            let client = edge.client(version).await;
            let begun = Instant::now();
            let (heard, _) = rest(&client, path).await;
            assert_eq!(heard, b"", "{version:?} {path}");
            assert!(begun.elapsed() >= limits::TUNNEL_HALF_OPEN_WITHIN, "{version:?} {path}");
        })
    });
    join_all(all.into_iter().flatten()).await;
    for origin in ["http11", "http2"] {
        let sample = format!("landfast_origin_responses_cut_total{{origin=\"{origin}\"}}");
        assert_eq!(edge.sample(&sample).as_deref(), Some("2"), "{origin}");
    }
}
