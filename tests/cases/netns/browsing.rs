//! nginx behind the edge, used from a browser.

use tests::browsing::shown;
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
