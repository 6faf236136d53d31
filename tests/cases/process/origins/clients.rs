//! What clients that nobody of this project wrote can have of a site through the edge, and what the
//! edge can have of origins: the tables of `docs/clients.md`.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde::Deserialize;
use tests::credentials::SERVER_NAME;
use tests::fleet::programs;

use super::Edge;
use super::sites::{Site, Sites};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clients.md");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/features.py");
/// Where it is set, the tables of the page are written anew.
const WRITE_VARIABLE: &str = "LANDFAST_WRITE_CLIENTS";

/// As the script has them, and as people read them.
const FEATURES: [(&str, &str); 12] = [
    ("get", "GET"),
    ("post", "POST"),
    ("upload", "upload"),
    ("head", "HEAD"),
    ("not_modified", "304"),
    ("ranges", "range"),
    ("redirect", "redirect"),
    ("trailers", "trailers"),
    ("hints", "103"),
    ("websocket", "WebSocket"),
    ("download", "download"),
    ("many", "many at once"),
];

/// Rows of the script.
const CLIENTS: [(&str, &str, &str); 11] = [
    ("curl-h1", "curl", "HTTP/1.1"),
    ("curl-h2", "curl", "HTTP/2"),
    ("pycurl-h1", "libcurl (pycurl)", "HTTP/1.1"),
    ("pycurl-h2", "libcurl (pycurl)", "HTTP/2"),
    ("pycurl-h3", "libcurl (pycurl)", "HTTP/3"),
    ("aioquic-h3", "aioquic", "HTTP/3"),
    ("gtlsclient-h3", "gtlsclient", "HTTP/3"),
    ("nghttp-h2", "nghttp", "HTTP/2"),
    ("h2load-h2", "h2load", "HTTP/2"),
    ("h2load-h1", "h2load", "HTTP/1.1"),
    ("wrk-h1", "wrk", "HTTP/1.1"),
];

/// What a client has seen. What it cannot ask for is not there.
#[derive(Deserialize)]
pub(super) struct Row {
    pub(super) row: String,
    pub(super) features: BTreeMap<String, bool>,
}

impl Edge {
    /// What these rows see, and what they complain of.
    pub(super) fn seen_by(&self, rows: &[&str]) -> (Vec<Row>, String) {
        let output = Command::new(programs::python())
            .arg(SCRIPT)
            .arg(&self.credentials.authority)
            .args([SERVER_NAME, &self.port.to_string()])
            .args(rows)
            .output()
            .expect("python starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let rows = said.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        (rows.collect(), super::super::stderr(&output))
    }
}

/// A row for each of `rows`: its names, and which of the features it has. Each feature has a name, and
/// another one for people.
pub(super) fn table(
    first: &[&str],
    features: &[(&str, &str)],
    rows: &[(Vec<&str>, BTreeMap<String, bool>)],
) -> String {
    let heads = first.iter().copied().chain(features.iter().map(|(_, shown)| *shown));
    let heads: Vec<_> = heads.collect();
    let mut table = format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for (names, had) in rows {
        let cells = features.iter().map(|(feature, _)| match had.get(*feature) {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        });
        let cells: Vec<_> = names.iter().copied().chain(cells).collect();
        writeln!(table, "| {} |", cells.join(" | ")).expect("a String takes any text");
    }
    table
}

/// The page has this table behind this mark, or gets it where that is asked for.
pub(super) fn is_on_the_page(name: &str, table: &str, complaints: &str) {
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&begin).expect("the mark is there");
    let (shown, after) = rest.split_once(&end).expect("and the other one");
    if shown == table {
        return;
    }
    if env::var_os(WRITE_VARIABLE).is_some() {
        fs::write(PAGE, format!("{before}{begin}{table}{end}{after}")).expect("written");
        return;
    }
    panic!(
        "docs/clients.md has another table of {name}. If what was seen is as it should be: \
         {WRITE_VARIABLE}=1 cargo xtask test docs_clients_md\n\nseen:\n{table}\n{complaints}"
    );
}

#[test]
fn docs_clients_md_says_what_clients_can_have() {
    let sites = Sites::new();
    let origin = sites.python();
    let edge = Edge::in_front_of_all(&[("app", std::slice::from_ref(&origin.url), "")]);
    let (seen, complaints) = edge.seen_by(&CLIENTS.map(|(row, ..)| row));
    let rows = CLIENTS.map(|(row, client, version)| {
        let seen = seen.iter().find(|seen| seen.row == row);
        let seen = seen.unwrap_or_else(|| panic!("{row} is missing:\n{complaints}"));
        (vec![client, version], seen.features.clone())
    });
    is_on_the_page("clients", &table(&["client", "version"], &FEATURES, &rows), &complaints);
}

#[test]
fn docs_clients_md_says_what_origins_can_give() {
    let sites = Sites::new();
    let edge = Edge::in_front_of_none();
    let all = sites.all();
    let (mut rows, mut complaints) = (Vec::new(), String::new());
    let mut edge = edge;
    for Site { name, version, url, settings, lacks, .. } in &all {
        edge.proxy_to(&[("app", std::slice::from_ref(url), settings)]);
        edge.start();
        let (seen, said) = edge.seen_by(&["pycurl-h3", "pycurl-h2", "aioquic-h3:websocket"]);
        edge.stop();
        let [first, second, third] = &seen[..] else { panic!("three rows:\n{said}") };
        let both = FEATURES.iter().filter(|(feature, _)| !lacks.contains(feature));
        let both = both.filter_map(|(feature, _)| {
            if let Some(seen) = third.features.get(*feature) {
                return Some(((*feature).to_owned(), *seen));
            }
            let first = first.features.get(*feature)?;
            Some(((*feature).to_owned(), *first && *second.features.get(*feature)?))
        });
        rows.push((vec![*name, *version], both.collect()));
        complaints += &format!("--- {name} {version}\n{said}");
    }
    is_on_the_page("origins", &table(&["origin", "asked by"], &FEATURES, &rows), &complaints);
}
