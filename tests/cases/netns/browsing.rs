//! Origins behind the edge, used from a browser.

use tests::browsing::{shown, talked};
use tests::coalescing::{Browser, Protocol};

#[test]
fn browsers_show_a_page_of_nginx_with_all_that_belongs_to_it() {
    let pairs = [(Browser::Firefox, Protocol::H2, "2"), (Browser::Chromium, Protocol::H3, "3")];
    for (browser, protocol, version) in pairs {
        let asked = shown(browser, protocol).expect("the page is shown");
        for path in ["/", "/style.css", "/script.js", "/answer.txt?from=script"] {
            let line = format!("GET {path} HTTP/1.1 200 {version} landfast");
            assert!(asked.contains(&line), "{browser:?}: no {line} in {asked:#?}");
        }
    }
}

/// By extended CONNECT where there is a connection of HTTP/2 (RFC 8441). Neither browser asks for one
/// over HTTP/3 (RFC 9220): Firefox makes a connection of HTTP/2 for it, Chromium one of HTTP/1.1.
#[test]
fn a_websocket_of_a_page_reaches_its_origin() {
    for (browser, protocol, version) in [
        (Browser::Firefox, Protocol::H2, "2"),
        (Browser::Chromium, Protocol::H2, "2"),
        (Browser::Firefox, Protocol::H3, "2"),
        (Browser::Chromium, Protocol::H3, "1.1"),
    ] {
        let seen = talked(browser, protocol).expect("the page is shown");
        let expected = format!("{version} landfast, chat, deflates, 4001, done");
        assert_eq!(seen, expected, "{browser:?} {protocol:?}");
    }
}
