//! Browsers use a connection for other names where they are told to (RFC 8336, RFC 9412).

use tests::coalescing::{Browser, Protocol, Told, run};

#[test]
fn browsers_need_one_connection_for_all_names_that_they_are_told_and_one_for_each_other() {
    for (browser, protocol) in [(Browser::Firefox, Protocol::H2), (Browser::Chromium, Protocol::H3)]
    {
        for (told, connections) in [(Told::All, 1), (Told::None, 6), (Told::Unrelated, 6)] {
            let run = run(browser, protocol, told).expect("the page is shown");
            assert_eq!(run.connections, connections, "{run:?}");
        }
    }
}
