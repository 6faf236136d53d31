//! What libraries for WebSockets that nobody of this project wrote can have of one another through the
//! edge: a table of `docs/clients.md`.

mod tungstenite;

use std::collections::BTreeMap;
use std::time::Duration;

use tests::versions::{VERSIONS, Version};
use tokio::time::timeout;

use super::Edge;
use super::clients::{is_on_the_page, table};
use super::sites::{Site, Sites};

/// As the script has them, and as people read them.
const FEATURES: [(&str, &str); 8] = [
    ("ws_text", "text"),
    ("ws_binary", "binary"),
    ("ws_fragments", "fragments"),
    ("ws_ping", "PING"),
    ("ws_large", "1 MiB"),
    ("ws_close", "close"),
    ("ws_protocol", "subprotocol"),
    ("ws_deflate", "deflate"),
];

/// Rows of the script.
const CLIENTS: [(&str, &str, &str); 3] = [
    ("websockets-h1", "websockets", "HTTP/1.1"),
    ("wsproto-h2", "wsproto on h2", "HTTP/2"),
    ("wsproto-h3", "wsproto on aioquic", "HTTP/3"),
];

/// No client takes as long on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn docs_clients_md_says_what_libraries_for_websockets_can_have_of_one_another() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sites = Sites::new();
    let websockets = sites.websockets();
    let behind_nginx = sites.behind_nginx(&websockets, "websockets behind nginx");
    let (http11, http2) = (tungstenite::over_http11(), tungstenite::over_http2());
    let all = [websockets, behind_nginx, sites.hypercorn(), http11, http2];
    let mut edge = Edge::in_front_of_none();
    let (mut rows, mut complaints) = (Vec::new(), String::new());
    for Site { name, version, url, settings, lacks, .. } in &all {
        edge.proxy_to(&[("app", std::slice::from_ref(url), settings)]);
        edge.start();
        let (seen, said) = edge.seen_by(&CLIENTS.map(|(row, ..)| row));
        complaints += &format!("--- {name} {version}\n{said}");
        let mut put = |client, spoken, features: BTreeMap<String, bool>| {
            let had = features.into_iter().filter(|(feature, _)| !lacks.contains(&&**feature));
            rows.push((vec![client, spoken, *name, *version], had.collect()));
        };
        for (row, client, spoken) in CLIENTS {
            let seen = seen.iter().find(|seen| seen.row == row);
            let seen = seen.unwrap_or_else(|| panic!("{row} is missing:\n{complaints}"));
            put(client, spoken, seen.features.clone());
        }
        for spoken in VERSIONS {
            let seen = runtime.block_on(async {
                timeout(PATIENCE, tungstenite::seen(&edge, spoken)).await.expect("in time")
            });
            let (client, spoken) = match spoken {
                Version::Http11 => ("tokio-tungstenite", "HTTP/1.1"),
                Version::Http2 => ("tokio-tungstenite on h2", "HTTP/2"),
                Version::Http3 => ("tokio-tungstenite on quinn", "HTTP/3"),
            };
            complaints += &seen.1;
            put(client, spoken, seen.0);
        }
        edge.stop();
    }
    let table = table(&["client", "version", "origin", "asked by"], &FEATURES, &rows);
    is_on_the_page("websockets", &table, &complaints);
}
