//! Origins change while requests are under way.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use tests::origin::Origin;
use tests::versions::VERSIONS;

use super::Edge;
use super::bed::url;

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_end_by_the_origin_that_they_began_with() {
    let (begun, has_begun) = channel();
    let (go_on, goes_on) = channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let old = Origin::start(move |visit, _| {
        visit.head()?;
        visit.say("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nthe ")?;
        let _ = begun.send(());
        let _ = goes_on.lock().expect("whole").recv();
        visit.say("old")
    });
    let old = old.expect("a port");
    let new = Origin::answering(200, "the new").expect("a port");
    let (to_old, to_new) = ([url(old.address())], [url(new.address())]);
    // A confined process reaches the ports that it started with.
    let edge = Edge::in_front_of_all(&[("app", &to_old, ""), ("other", &to_new, "")]);
    for version in VERSIONS {
        edge.proxy_to(&[("app", &to_old, "")]);
        let (code, _, warned) = edge.reload();
        assert_eq!((code, &*warned), (Some(0), ""), "{version:?}");
        let client = edge.client(version).await;
        let first = client.begin(tests::versions::request("GET", "/", &[]), false).await;
        let first = first.expect("begun");
        tokio::task::block_in_place(|| has_begun.recv()).expect("it is asked");

        edge.proxy_to(&[("app", &to_new, "")]);
        let (code, _, warned) = edge.reload();
        assert_eq!((code, &*warned), (Some(0), ""), "{version:?}");
        // On the same connection, but for HTTP/1.1.
        assert_eq!(client.get("/").await.expect("an answer").text(), "the new", "{version:?}");
        go_on.send(()).expect("it waits");
        let answer = first.receiver.answer().await.expect("an answer");
        assert_eq!((&*answer.text(), &answer.cut), ("the old", &None), "{version:?}");
    }
}

#[tokio::test]
async fn a_bad_configuration_of_origins_changes_nothing_and_says_why() {
    let origin = Origin::answering(200, "as before").expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.client(tests::versions::Version::Http2).await;
    assert_eq!(client.get("/").await.expect("an answer").text(), "as before");
    let address = origin.address();
    for (origins, why) in [
        (&[("app", &[url(address)][..], "max_failures = -1")], "max_failures"),
        (&[("app", &["ftp://192.0.2.1:21".to_owned()][..], "")], "ftp"),
        (&[("app", &[format!("https://{address}")][..], "ca = \"/nowhere.pem\"")], "/nowhere.pem"),
    ] {
        edge.proxy_to(origins);
        let (code, _, said) = edge.reload();
        assert!(code == Some(1) && said.contains(why), "{said}");
        assert_eq!(client.get("/").await.expect("an answer").text(), "as before");
    }
    assert_eq!(origin.sent().len(), 1, "the connection to the origin is kept");
}
