//! Files of nothing but the tables, and two sources together.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

const SITE: &str = r#"
[[origins]]
name = "app"
servers = ["http://192.0.2.7:8080"]
[[distributions]]
names = ["www.example.com", "*.shop.example.com"]
behaviours = [{ path = "/", proxy = { origin = "app" } }]
"#;

fn read(text: &str) -> Result<Served, String> {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    parse("site.toml".as_ref(), text).map_err(|error| error.render_by(&handler))
}

fn good(text: &str) -> Served {
    read(text).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn a_file_of_the_tables_alone_is_read_as_in_a_nodes_configuration() {
    let served = good(SITE);
    assert_eq!((served.distributions.len(), &*served.origins[0].name), (1, "app"));
    assert_eq!(served.distributions[0].label(), "www.example.com");
    assert_eq!(good(""), Served::default());
}

#[test]
fn every_mistake_of_a_file_is_shown_with_its_line() {
    let report = read(&SITE.replace("\"app\"", "\"ap p\"")).expect_err("no name of an origin");
    assert!(report.contains("site.toml:3:8"), "{report}");
    for (from, to, expected) in [
        ("origin = \"app\"", "origin = \"ap\"", "did you mean `app`?"),
        ("*.shop.example.com", "WWW.example.com.", "the name www.example.com is there twice"),
        ("path = \"/\"", "path = \"/a//\"", "it has an empty segment (//)"),
        ("[[origins]]", "node = 1\n[[origins]]", "there is no setting `node` here"),
    ] {
        assert!(SITE.contains(from), "{from}");
        let report = read(&SITE.replacen(from, to, 1)).expect_err(expected);
        assert!(report.contains(expected), "{report}");
    }
}

#[test]
fn two_sources_together_have_no_name_and_no_origin_twice() {
    let (ours, nothing) = (good(SITE), Served::default());
    assert_eq!(ours.with(&nothing), Ok(ours.clone()));
    assert_eq!(nothing.with(&ours), Ok(ours.clone()));
    let others = |text: &str| good(&SITE.replace("www.", "api.").replace(".shop.", text));
    let name = Clash::Name("*.shop.example.com".into());
    assert_eq!(ours.with(&others(".shop.")), Err(name));
    assert_eq!(ours.with(&others(".pay.")), Err(Clash::Origin("app".into())));
    let others = good(&SITE.replace("app", "api").replace("www.", "api.").replace(".shop.", "."));
    let both = ours.with(&others).expect("they differ");
    let labels: Vec<_> = both.distributions.iter().map(Distribution::label).collect();
    assert_eq!(labels, ["www.example.com", "api.example.com"]);
    assert_eq!(both.origins.len(), 2);
}

#[test]
fn two_sources_together_have_no_more_than_one_may_have() {
    let origin = |number: usize| {
        format!("[[origins]]\nname = \"o{number}\"\nservers = [\"http://192.0.2.7\"]\n")
    };
    let list = |numbers: std::ops::Range<usize>| good(&numbers.map(origin).collect::<String>());
    let half = limits::MAX_ORIGINS / 2;
    assert!(list(0..half).with(&list(half..2 * half)).is_ok());
    let clash = list(0..half).with(&list(half..2 * half + 1)).expect_err("one too many");
    assert_eq!(clash, Clash::Origins(limits::MAX_ORIGINS + 1));
}

#[test]
fn what_no_proxy_asks_and_who_is_not_verified_is_a_warning() {
    let unverified =
        SITE.replace("\"http://192.0.2.7:8080\"]", "\"https://192.0.2.7\"]\nverify = false");
    let warnings: Vec<_> = good(&unverified).warnings().collect();
    assert!(warnings[0].starts_with("origin app: `verify` is false"), "{warnings:?}");
    let unused = good(&SITE.replace("proxy = { origin = \"app\" }", "respond = { body = \"a\" }"));
    let warnings: Vec<_> = unused.warnings().collect();
    assert_eq!(warnings, ["origin app: no behaviour has a proxy to it"]);
}
