//! Names, paths, and what answers.

use http::StatusCode;

use super::*;
use crate::config::distributions::{Answer, Append, HostPattern, PathPattern, Redirect, Respond};

const SITE: &str = r#"
[[distributions]]
names = ["www.example.com", "*.Shop.example.com."]
request_id = "X-Request-ID"
[distributions.response_headers]
set = { "Strict-Transport-Security" = "max-age=31536000" }
remove = ["server"]
[[distributions.behaviours]]
path = "/"
respond = { body = "hello\n" }
response_headers = { add = { link = "</a.css>; rel=preload" } }
[[distributions.behaviours]]
path = "/old"
redirect = { to = "https://new.example.com/", status = 308, append = "rest" }
[[distributions.behaviours]]
path = "/old"
exact = true
respond = { status = 410 }
[[distributions]]
names = ["example.com"]
behaviours = [{ path = "/", redirect = { to = "https://www.example.com", append = "path" } }]
"#;

fn sites() -> String {
    format!("{GOOD}{SITE}")
}

#[test]
fn distributions_have_names_behaviours_and_rules() {
    let config = parse(&sites()).map_err(|error| render(&error)).expect("good");
    let [first, second] = &config.distributions[..] else { panic!("two") };
    let names = [
        HostPattern::Exact("www.example.com".into()),
        HostPattern::Below("shop.example.com".into()),
    ];
    assert_eq!((first.names.as_slice(), first.label().as_str()), (&names[..], "www.example.com"));
    assert_eq!(first.request_id.as_ref().expect("set"), "x-request-id");
    let rules = &first.response_headers;
    assert_eq!(rules.set[0].0, "strict-transport-security");
    assert_eq!((rules.remove[0].as_str(), rules.add.len()), ("server", 0));
    assert_eq!(first.behaviours[0].response_headers.add[0].1, "</a.css>; rel=preload");
    let paths: Vec<_> = first.behaviours.iter().map(|behaviour| behaviour.path.clone()).collect();
    let old = PathPattern::Prefix("/old".into());
    assert_eq!(paths, [PathPattern::Prefix("/".into()), old, PathPattern::Exact("/old".into())]);
    let Answer::Respond(Respond { status, body, content_type }) = &first.behaviours[0].answer
    else {
        panic!("a response");
    };
    assert_eq!((status.as_u16(), body.as_ref()), (200, &b"hello\n"[..]));
    assert_eq!(content_type.as_ref().expect("of text"), "text/plain; charset=utf-8");
    let redirect =
        |to: &str, status, append| Answer::Redirect(Redirect { to: to.into(), status, append });
    let old = redirect("https://new.example.com", StatusCode::PERMANENT_REDIRECT, Append::Rest);
    assert_eq!(first.behaviours[1].answer, old);
    let www = redirect("https://www.example.com", StatusCode::FOUND, Append::Path);
    assert_eq!(second.behaviours[0].answer, www);
    assert!(parse(GOOD).expect("good").distributions.is_empty());
}

#[test]
fn files_at_an_exact_path_have_a_name() {
    let files = "files = { root = \"/srv\", append = \"rest\" }";
    let site = SITE.replace("respond = { status = 410 }", files);
    let shown = render(&parse(&format!("{GOOD}{site}")).expect_err("no name"));
    assert!(shown.contains("an exact path has no rest"), "{shown}");
}

/// What is replaced in the good file, by what, and what the report must hold.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "[\"example.com\"]",
        "[\"WWW.example.com\"]",
        &["the name www.example.com is there twice", "first here", "again here"],
    ),
    ("[\"example.com\"]", "[]", &["a distribution without a name answers nobody"]),
    ("[\"example.com\"]", "[\"*\"]", &["`*` is not a host name", "there is none for every host"]),
    ("[\"example.com\"]", "[\"a.*.com\"]", &["a * stands for the whole first label"]),
    ("[\"example.com\"]", "[\"192.0.2.1\"]", &["names only", "[edge.toml:41:10]"]),
    ("[\"example.com\"]", "[\"1.2.3\"]", &["`1.2.3` is not a host name"]),
    ("[\"example.com\"]", "[\"caf\u{e9}.example\"]", &["is not a host name", "xn--"]),
    ("[\"example.com\"]", "[\"https://a.example\"]", &["without scheme, port and path"]),
    ("[\"example.com\"]", "[\"a.example:443\"]", &["without scheme, port and path"]),
    ("[\"example.com\"]", "[\"a..example\"]", &["labels of letters, digits and hyphens"]),
    ("path = \"/old\"\nexact = true", "path = \"/old\"", &["two behaviours have the path /old"]),
    ("path = \"/old\"\nred", "path = \"old\"\nred", &["it does not begin with /", "no path"]),
    (
        "path = \"/old\"\nred",
        "path = \"/a/../b\"\nred",
        &["is that of no request: it has a dot segment"],
    ),
    ("path = \"/old\"\nred", "path = \"/a//b\"\nred", &["an empty segment"]),
    ("path = \"/old\"\nred", "path = \"/a%20b\"\nred", &["has an escape", "write the character"]),
    ("path = \"/old\"\nred", "path = \"/old/*\"\nred", &["is more than a path", "goes without *"]),
    ("path = \"/old\"\nred", "path = \"/old?a\"\nred", &["is more than a path"]),
    (
        "respond = { status = 410 }",
        "",
        &["nothing answers at `/old`", "redirect, respond, files, proxy"],
    ),
    (
        "respond = { status = 410 }",
        "respond = { status = 410 }\nredirect = { to = \"/\" }",
        &["more than one thing answers at `/old`", "redirect", "respond"],
    ),
    (
        "respond = { status = 410 }",
        "files = { root = \"srv\" }",
        &["`root` is not an absolute path", "relative"],
    ),
    (
        "respond = { status = 410 }",
        "files = { root = \"/srv\", index = \"a/b\" }",
        &["`a/b` is not the name of an index file"],
    ),
    (
        "respond = { status = 410 }",
        "files = { root = \"/srv\", append = \"nothing\" }",
        &["`append` cannot be `nothing`", "one of: path, rest"],
    ),
    (
        "respond = { status = 410 }",
        "files = { root = \"/srv\", precompressed = [\"deflate\"] }",
        &["`precompressed` cannot be `deflate`", "one of: br, zstd, gzip"],
    ),
    (
        "respond = { status = 410 }",
        "files = { root = \"/srv\", precompressed = [\"br\", \"br\"] }",
        &["`br` is there twice"],
    ),
    ("status = 410", "status = 100", &["`status` is 100: it must be 200 to 599"]),
    ("status = 410", "status = 304", &["304 answers a question that nobody asked"]),
    ("status = 410", "status = 204, body = \"x\"", &["204 has no body"]),
    ("status = 410", "content_type = \"a\\nb\"", &["what no field can have"]),
    ("status = 308", "status = 300", &["`status` is 300, which is no redirect", "301 or 308"]),
    ("append = \"rest\"", "append = \"all\"", &["`append` cannot be `all`"]),
    ("https://new.example.com/", "ftp://new.example.com/", &["is not where a client can go"]),
    ("https://new.example.com/", "//new.example.com/", &["is not where a client can go"]),
    ("https://new.example.com/", "https://a@new.example.com/", &["is not where a client can go"]),
    ("https://new.example.com/", "new.example.com", &["is not where a client can go"]),
    ("https://new.example.com/", "https://a.example/\\r\\nx: y", &["is not where"]),
    ("https://new.example.com/", "https://a.example/?b", &["has a query or a fragment"]),
    (
        "[\"server\"]",
        "[\"Transfer-Encoding\"]",
        &["transfer-encoding says how a message is framed", "not to be changed"],
    ),
    ("Strict-Transport-Security", "content-length", &["content-length says how", "leave it out"]),
    ("Strict-Transport-Security", "a b", &["`a b` is not the name of a field"]),
    ("max-age=31536000", "a\\r\\nset-cookie: b", &["what no field can have", "not a value"]),
    ("X-Request-ID", "connection", &["connection says how a message is framed"]),
    (
        "{ link = ",
        "{ Link = \"a\", link = ",
        &["the field link is there twice", "upper and lower case"],
    ),
    ("behaviours = [{ path", "behaviors = [{ path", &["did you mean `behaviours`?"]),
    (
        "behaviours = [{ path = \"/\", redirect = { to = \"https://www.example.com\", append = \"path\" } }]",
        "",
        &["a distribution without behaviours answers nothing", "no behaviours"],
    ),
];

#[test]
fn every_mistake_of_distributions_is_refused_with_reason_and_place() {
    for (from, to, expected) in MISTAKES {
        let good = sites();
        assert!(good.contains(from), "{from} is not in the file");
        let error = parse(&good.replacen(from, to, 1)).expect_err(&format!("{to} was taken"));
        let report = render(&error);
        for words in *expected {
            assert!(report.contains(words), "{from} -> {to}: no `{words}` in\n{report}");
        }
        assert!(report.contains("╭─[edge.toml:"), "{from} -> {to}: no place in\n{report}");
        assert_eq!(error.problems().len(), 1, "{from} -> {to}:\n{report}");
    }
}

#[test]
fn more_than_the_bounds_is_a_mistake() {
    let site =
        |names: &str, more: &str| format!("{GOOD}\n[[distributions]]\nnames = [{names}]\n{more}");
    let refused = |text: &str, words: &str| {
        let report = render(&parse(text).expect_err(words));
        assert!(report.contains(words), "no `{words}` in\n{report}");
    };
    let behaviour = |path: usize| {
        format!("[[distributions.behaviours]]\npath = \"/{path}\"\nredirect = {{ to = \"/\" }}\n")
    };
    let names: String = (0..=1000).map(|number| format!("\"a{number}.example\",")).collect();
    refused(&site(&names, &behaviour(0)), "1001 names of a distribution: at most 1000");
    let behaviours: String = (0..=256).map(behaviour).collect();
    refused(&site("\"a.example\"", &behaviours), "257 behaviours of a distribution: at most 256");
    let distributions: String = (0..=1000)
        .map(|number| {
            site("", "").replace("[]", &format!("[\"b{number}.example\"]"))[GOOD.len()..].to_owned()
                + &behaviour(0)
        })
        .collect();
    refused(&format!("{GOOD}{distributions}"), "1001 distributions: at most 1000");
    let body = "a".repeat(crate::config::distributions::limits::MAX_RESPOND_BODY_BYTES + 1);
    let body =
        format!("[[distributions.behaviours]]\npath = \"/\"\nrespond = {{ body = \"{body}\" }}\n");
    refused(&site("\"a.example\"", &body), "a body of 65537 bytes: at most 65536");
    let long = format!("response_headers = {{ set = {{ a = \"{}\" }} }}\n", "a".repeat(16 << 10));
    refused(&site("\"a.example\"", &(long + &behaviour(0))), "bytes of header rules in one place");
}
