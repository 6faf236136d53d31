//! Hosts and paths, and who answers them.

use proptest::prelude::*;

use super::*;
use crate::config::distributions::{Answer, Append, Behaviour, HeaderRules, Redirect};

fn distribution(names: &[&str], paths: &[&str]) -> Distribution {
    let name = |name: &&str| match name.strip_prefix("*.") {
        Some(below) => HostPattern::Below(below.into()),
        None => HostPattern::Exact((*name).into()),
    };
    let behaviour = |path: &&str| {
        let path = match path.strip_prefix('=') {
            Some(exact) => PathPattern::Exact(exact.into()),
            None => PathPattern::Prefix((*path).into()),
        };
        let status = http::StatusCode::FOUND;
        let redirect = Redirect { to: "/".into(), status, append: Append::Nothing };
        let (request_headers, response_headers) = Default::default();
        Behaviour { path, answer: Answer::Redirect(redirect), request_headers, response_headers }
    };
    Distribution {
        names: names.iter().map(name).collect(),
        behaviours: paths.iter().map(behaviour).collect(),
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        request_id: None,
        server_timing: false,
    }
}

#[test]
fn a_name_is_answered_before_a_wildcard_that_stands_for_one_label() {
    let distributions = [
        distribution(&["*.example.com"], &["/"]),
        distribution(&["www.example.com", "example.com"], &["/"]),
        distribution(&["*.a.example.com"], &["/"]),
    ];
    let routes = Routes::new(&distributions);
    for (authority, expected) in [
        ("www.example.com", Ok(1)),
        ("WWW.Example.COM", Ok(1)),
        ("www.example.com.", Ok(1)),
        ("www.example.com:4433", Ok(1)),
        ("www.example.com:", Ok(1)),
        ("example.com", Ok(1)),
        ("b.example.com", Ok(0)),
        ("a.example.com", Ok(0)),
        ("b.a.example.com", Ok(2)),
        ("c.b.example.com", Err(HostRefused::Unknown)),
        ("example.org", Err(HostRefused::Unknown)),
        ("com", Err(HostRefused::Unknown)),
        ("192.0.2.1", Err(HostRefused::Unknown)),
        ("[2001:db8::1]:443", Err(HostRefused::Unknown)),
        ("*.example.com", Err(HostRefused::Malformed)),
        (".example.com", Err(HostRefused::Malformed)),
        ("", Err(HostRefused::Malformed)),
        ("user@www.example.com", Err(HostRefused::Malformed)),
        ("www.example.com@evil.example", Err(HostRefused::Malformed)),
        ("www.example.com:443@evil.example", Err(HostRefused::Malformed)),
        ("www.example.com, evil.example", Err(HostRefused::Malformed)),
        ("www.example.com/", Err(HostRefused::Malformed)),
        ("www.example.com:65536", Err(HostRefused::Malformed)),
        ("www%2eexample.com", Err(HostRefused::Malformed)),
        ("[www.example.com]", Err(HostRefused::Malformed)),
    ] {
        assert_eq!(routes.distribution(Some(authority)), expected, "{authority}");
    }
    assert_eq!(routes.distribution(None), Err(HostRefused::Missing));
}

#[test]
fn the_longest_path_answers_and_an_exact_one_before_it() {
    let paths = ["/", "/api", "/api/v2", "/api/v2/", "=/api", "=/"];
    let routes = Routes::new(&[distribution(&["a.example"], &paths)]);
    for (sent, expected) in [
        ("/", "=/"),
        ("/x", "/"),
        ("/api", "=/api"),
        ("/api/", "/api"),
        ("/api/x", "/api"),
        ("/apiary", "/"),
        ("/api/v2", "/api/v2"),
        ("/api/v2/", "/api/v2/"),
        ("/api/v2/x", "/api/v2/"),
        ("/api/v22", "/api"),
        ("/API", "/"),
        ("/%61pi/v2", "/api/v2"),
        ("/x/../api/y", "/api"),
        ("/api/%2e%2e/x", "/"),
        ("/api/v2/../../x", "/"),
    ] {
        let path = Path::parse(sent).expect("good");
        let found = routes.behaviour(0, &path).map(|index| paths[index]);
        assert_eq!(found, Some(expected), "{sent}");
    }
    let routes = Routes::new(&[distribution(&["a.example"], &["/a"])]);
    assert_eq!(routes.behaviour(0, &Path::parse("/b").expect("good")), None);
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{1,2}", Just("admin".to_owned())]
}

proptest! {
    /// Whatever detour an attacker takes into `/admin`, and however he writes it: what is below it
    /// is answered by its behaviour, and what is not is not.
    #[test]
    fn nobody_walks_round_a_behaviour(
        detours in prop::collection::vec((word(), 0_u8..4), 0..4),
        escape in any::<u32>(),
        last in word(),
        inside in any::<bool>(),
    ) {
        let mut sent = String::new();
        for (word, dots) in &detours {
            let dots = ["..", "%2e%2e", ".%2E", "%2e."][usize::from(*dots)];
            sent += &format!("/{word}/{dots}");
        }
        let mut escape = (0..32).map(|bit| escape >> bit & 1 == 1).cycle();
        let mut write = |text: &str| {
            text.bytes().map(|byte| match escape.next() {
                Some(true) => format!("%{byte:02x}"),
                _ => char::from(byte).to_string(),
            }).collect::<String>()
        };
        if inside {
            sent += "/";
            sent += &write("admin");
        }
        sent += "/";
        sent += &write(&last);
        let routes = Routes::new(&[distribution(&["a.example"], &["/", "/admin"])]);
        let path = Path::parse(&sent).expect("it stays below the root");
        let expected = usize::from(inside || last == "admin");
        prop_assert_eq!(routes.behaviour(0, &path), Some(expected), "{}", sent);
    }

    /// By the words of the module, one prefix after another.
    #[test]
    fn the_longest_prefix_by_segments_answers(
        prefixes in prop::collection::hash_set("(/[ab]{1,2}){1,3}/?", 1..8),
        sent in "(/[ab]{1,2}){1,4}/?",
    ) {
        let prefixes: Vec<_> = prefixes.iter().map(String::as_str).collect();
        let routes = Routes::new(&[distribution(&["a.example"], &prefixes)]);
        let is_below = |prefix: &&&str| {
            let below = if prefix.ends_with('/') { (**prefix).to_owned() } else { format!("{prefix}/") };
            sent == **prefix || sent.starts_with(&below)
        };
        let longest = prefixes.iter().filter(is_below).max_by_key(|prefix| prefix.len());
        let path = Path::parse(&sent).expect("good");
        let found = routes.behaviour(0, &path).map(|index| prefixes[index]);
        prop_assert_eq!(found, longest.copied());
    }

    #[test]
    fn no_authority_makes_it_panic(authority in any::<String>()) {
        let routes = Routes::new(&[distribution(&["*.example.com"], &["/"])]);
        let _ = routes.distribution(Some(&authority));
    }
}
