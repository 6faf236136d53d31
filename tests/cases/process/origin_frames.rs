//! For which other names a connection is good, as the server tells it (RFC 8336, RFC 9412).

use std::net::Ipv4Addr;
use std::process::Command;

use nix::sys::signal::Signal;
use rustls::version::TLS13;
use tests::credentials::{Certificates, SERVER_NAME};
use tests::http2::{self, Frame, Raw, kind};
use tests::{http3, raw};

use super::{Edge, WITHIN, stderr};

/// In HTTP/3 (RFC 9412 section 2).
const ORIGIN: u64 = 0x0c;
const GOAWAY: u64 = 0x07;

/// Distributions, and this in the table of coalescing.
fn site(coalescing: &str) -> String {
    format!(
        r#"
[coalescing]
{coalescing}
[[distributions]]
names = ["{SERVER_NAME}", "a.landfast.test", "x.shop.test", "*.shop.test", "elsewhere.test"]
behaviours = [{{ path = "/", respond = {{ body = "here" }} }}]
"#
    )
}

impl Edge {
    /// One whose certificate has more names than it serves, and a wildcard.
    fn of_several(coalescing: &str) -> Self {
        let mut edge = Self::new();
        let names = [SERVER_NAME, "a.landfast.test", "unserved.test", "*.shop.test"];
        let made = Certificates::of(&names).and_then(|made| made.write(edge.directory.path()));
        edge.credentials = made.expect("written");
        edge.listen_by_tcp();
        edge.distribute(&site(coalescing));
        edge.start();
        edge
    }

    /// Content of a frame that tells these.
    fn told(&self, names: &[&str]) -> Vec<u8> {
        let entry = |name: &&str| {
            let origin = format!("https://{name}:{}", self.port);
            [&(origin.len() as u16).to_be_bytes()[..], origin.as_bytes()].concat()
        };
        names.iter().flat_map(entry).collect()
    }

    /// What a connection of HTTP/2 is told: all frames up to an answer.
    fn frames(&self) -> Vec<Frame> {
        let tls = self.client_tls(&TLS13, &[]);
        let mut raw = Raw::connect(self.address(), &tls, WITHIN).expect("connected");
        raw.send(&http2::get(1, "/")).expect("taken");
        let mut frames = Vec::new();
        while frames.last().is_none_or(|frame: &Frame| frame.kind != kind::DATA) {
            frames.push(raw.next_frame().expect("in time").expect("before the answer"));
        }
        frames
    }

    async fn quic(&self) -> quinn::Connection {
        let config = http3::client_config(&self.credentials.authority_der).expect("trusted");
        let endpoint = http3::endpoint(Ipv4Addr::LOCALHOST.into(), config).expect("a socket");
        let connecting = endpoint.connect(self.address(), SERVER_NAME).expect("good");
        connecting.await.expect("a connection")
    }
}

const SERVED: [&str; 3] = ["a.landfast.test", SERVER_NAME, "x.shop.test"];

/// RFC 8336 section 2.1.
#[test]
fn a_client_of_http2_is_told_behind_settings_which_names_are_served() {
    let edge = Edge::of_several("");
    let frames = edge.frames();
    assert_eq!((frames[0].kind, frames[0].flags), (kind::SETTINGS, 0));
    let payload = edge.told(&SERVED);
    assert_eq!(frames[1], Frame { kind: kind::ORIGIN, flags: 0, stream: 0, payload });
    assert!(frames[2..].iter().all(|frame| frame.kind != kind::ORIGIN), "once: {frames:?}");

    let output = Command::new("nghttp")
        .args(["-nv", "--no-verify-peer"])
        .arg(format!("https://127.0.0.1:{}/", edge.port))
        .output()
        .expect("nghttp is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in SERVED {
        let line = format!("[https://{name}:{}]", edge.port);
        assert!(said.contains("ORIGIN frame") && said.contains(&line), "{said}{}", stderr(&output));
    }
}

/// RFC 9412 section 2.
#[tokio::test]
async fn a_client_of_http3_is_told_behind_settings_on_the_control_stream() {
    let edge = Edge::of_several("");
    let connection = edge.quic().await;
    let mut control = raw::control(&connection).await;
    assert_eq!(raw::read_frame(&mut control).await.0, 0x04, "SETTINGS");
    assert_eq!(raw::read_frame(&mut control).await, (ORIGIN, edge.told(&SERVED)));
    // The next thing that is said on it, so that it was said once.
    edge.signal(Signal::SIGTERM);
    assert_eq!(raw::read_frame(&mut control).await.0, GOAWAY);
}

#[tokio::test]
async fn on_one_connection_the_names_that_are_told_are_answered_and_others_are_misdirected() {
    let edge = Edge::of_several("");
    let client = edge.connect().await;
    for (name, status) in
        [(SERVER_NAME, 200), ("a.landfast.test", 200), ("x.shop.test", 200), ("y.shop.test", 200)]
            .into_iter()
            .chain([("unserved.test", 421), ("elsewhere.test", 421), ("a.b.shop.test", 421)])
    {
        let url = format!("https://{name}:{}/", edge.port);
        let request = http::Request::get(url).body(()).expect("good");
        assert_eq!(client.ask(request).await.expect("an answer").status, status, "{name}");
    }
}

#[tokio::test]
async fn who_switches_it_off_sends_none_and_a_reload_changes_it() {
    let edge = Edge::of_several("announce = false");
    let origins = |edge: &Edge| {
        let frames = edge.frames();
        let told = frames.into_iter().filter(|frame| frame.kind == kind::ORIGIN);
        told.map(|frame| frame.payload).collect::<Vec<_>>()
    };
    let nothing = Vec::<Vec<u8>>::new();
    assert_eq!(origins(&edge), nothing);
    let connection = edge.quic().await;
    let mut unspoken = raw::control(&connection).await;
    assert_eq!(raw::read_frame(&mut unspoken).await.0, 0x04, "SETTINGS");

    let change = |coalescing: &str| {
        edge.distribute(&site(coalescing));
        let (code, said, warned) = edge.reload();
        assert_eq!((code, warned.as_str()), (Some(0), ""), "{said}");
        assert_eq!(said, "coalescing: changed\n");
    };
    change("add = [\"y.shop.test\"]\nexclude = [\"*.landfast.test\"]");
    let changed = edge.told(&[SERVER_NAME, "x.shop.test", "y.shop.test"]);
    assert_eq!(origins(&edge), std::slice::from_ref(&changed));
    let second = edge.quic().await;
    let mut control = raw::control(&second).await;
    assert_eq!(raw::read_frame(&mut control).await.0, 0x04, "SETTINGS");
    assert_eq!(raw::read_frame(&mut control).await, (ORIGIN, changed));
    // One that would be empty forbids what none forbids (RFC 8336 section 2.3).
    change("exclude = [\"*.landfast.test\", \"*.shop.test\", \"landfast.test\"]");
    assert_eq!(origins(&edge), nothing);

    edge.signal(Signal::SIGTERM);
    assert_eq!(raw::read_frame(&mut unspoken).await.0, GOAWAY, "nothing was said before it");
}
