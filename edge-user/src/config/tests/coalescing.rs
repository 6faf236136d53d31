//! Of which names clients are told.

use super::*;
use crate::config::coalescing::Coalescing;
use crate::config::distributions::HostPattern;

const SITE: &str = r#"
[coalescing]
add = ["x.shop.example.com", "a.shop.example.com"]
exclude = ["Admin.example.com.", "*.internal.example.com"]
[[distributions]]
names = ["www.example.com", "admin.example.com", "*.shop.example.com"]
behaviours = [{ path = "/", respond = {} }]
"#;

fn site() -> String {
    format!("{GOOD}{SITE}")
}

#[test]
fn names_are_added_and_excluded_in_no_order() {
    let config = parse(&site()).map_err(|error| render(&error)).expect("good");
    let told = Coalescing {
        announce: true,
        add: ["a.shop.example.com", "x.shop.example.com"].map(Box::from).into(),
        exclude: vec![
            HostPattern::Below("internal.example.com".into()),
            HostPattern::Exact("admin.example.com".into()),
        ],
    };
    assert_eq!(config.coalescing, told);
    assert_eq!(parse(GOOD).expect("good").coalescing, Coalescing::default());
    let off = parse(&format!("{GOOD}[coalescing]\nannounce = false\n")).expect("good");
    assert!(!off.coalescing.announce);
    let anybody = parse(&format!("{GOOD}[coalescing]\nadd = [\"a.example\"]\n")).expect("good");
    assert_eq!(anybody.coalescing.add, [Box::from("a.example")], "without distributions");
}

/// What is replaced in the good file, by what, and what the report must hold.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "\"x.shop.example.com\"",
        "\"x.example.com\"",
        &["no distribution answers for x.example.com", "not served here", "421"],
    ),
    (
        "\"x.shop.example.com\"",
        "\"*.shop.example.com\"",
        &["*.shop.example.com cannot be told to clients", "a wildcard", "write them out"],
    ),
    ("\"x.shop.example.com\"", "\"https://x.shop.example.com\"", &["is not a host name"]),
    (
        "\"x.shop.example.com\"",
        "\"A.shop.example.com\"",
        &["the name a.shop.example.com is there twice", "first here", "again here"],
    ),
    (
        "\"Admin.example.com.\"",
        "\"x.shop.example.com\"",
        &["x.shop.example.com is both added and excluded", "first here", "again here"],
    ),
    ("\"Admin.example.com.\"", "\"192.0.2.1\"", &["names only"]),
    ("add = ", "adds = ", &["did you mean `add`?"]),
];

#[test]
fn every_mistake_of_coalescing_is_refused_with_reason_and_place() {
    for (from, to, expected) in MISTAKES {
        let good = site();
        assert!(good.contains(from), "{from} is not in the file");
        let error = parse(&good.replacen(from, to, 1)).expect_err(&format!("{to} was taken"));
        let report = render(&error);
        for words in *expected {
            assert!(report.contains(words), "{from} -> {to}: no `{words}` in\n{report}");
        }
        assert!(report.contains("╭─[edge.toml:"), "{from} -> {to}: no place in\n{report}");
        assert_eq!(error.problems().len(), 1, "{from} -> {to}:\n{report}");
    }
    let names: String = (0..=1000).map(|number| format!("\"a{number}.example\",")).collect();
    let text = format!("{GOOD}[coalescing]\nexclude = [{names}]\n");
    let report = render(&parse(&text).expect_err("too many"));
    assert!(report.contains("1001 names that are excluded: at most 1000"), "{report}");
}
