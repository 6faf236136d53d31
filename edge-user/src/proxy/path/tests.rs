//! What becomes of paths, one by one and by their properties.

use distributions::check_plain;
use proptest::prelude::*;

use super::*;

fn both(sent: &str) -> Result<(String, String), Odd> {
    Path::parse(sent).map(|path| (path.plain().to_owned(), path.escaped().to_owned()))
}

fn plain(sent: &str) -> String {
    both(sent).unwrap_or_else(|odd| panic!("{sent}: {odd}")).0
}

/// RFC 3986 sections 6.2.2.2 and 6.2.2.3, and its example in 6.2.2.
#[test]
fn paths_that_mean_the_same_have_one_form() {
    for (sent, expected) in [
        ("/", "/"),
        ("/b", "/b"),
        ("/%62", "/b"),
        ("/./b", "/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/a/./b/../b/%63/%7bfoo%7d", "/a/b/c/{foo}"),
        ("/a/", "/a/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/%2e%2e", "/a/"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/..a", "/..a"),
        ("/a;v=1/b", "/a;v=1/b"),
        ("/caf%C3%A9", "/café"),
        ("/%2561", "/%61"),
        ("/%252e%252e/b", "/%2e%2e/b"),
        ("/a%20b", "/a b"),
        ("/a|b", "/a|b"),
        ("/a%3Fb", "/a?b"),
    ] {
        assert_eq!(plain(sent), expected, "{sent}");
    }
}

#[test]
fn what_goes_into_a_uri_is_escaped_as_it_has_to_be() {
    for (sent, escaped) in [
        ("/%7e%41", "/~A"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%2561", "/%2561"),
        ("/a|b", "/a%7Cb"),
        ("/a%3fb%23", "/a%3Fb%23"),
        ("/x/../a%20b", "/a%20b"),
    ] {
        assert_eq!(both(sent).expect("good").1, escaped, "{sent}");
    }
    assert_eq!(escaped_query("a=1&b=%20/?"), "a=1&b=%20/?");
    assert_eq!(escaped_query("a=é\"|"), "a=%C3%A9%22%7C");
}

/// Each of these walked round a rule of one server or another.
#[test]
fn what_two_programs_may_read_in_two_ways_is_refused() {
    for (sent, odd) in [
        ("", Odd::Relative),
        ("*", Odd::Relative),
        ("a/b", Odd::Relative),
        ("http://a.example/", Odd::Relative),
        ("//", Odd::EmptySegment),
        ("//a.example/", Odd::EmptySegment),
        ("/a//b", Odd::EmptySegment),
        ("/a/b//", Odd::EmptySegment),
        ("/a/..//b", Odd::EmptySegment),
        ("/..", Odd::AboveRoot),
        ("/../a", Odd::AboveRoot),
        ("/%2e%2e/a", Odd::AboveRoot),
        ("/a/../../b", Odd::AboveRoot),
        ("/a/..;/b", Odd::DotParameters),
        ("/a/.;x=1/b", Odd::DotParameters),
        ("/a/%2e%2e%3bx/b", Odd::DotParameters),
        ("/a%2fb", Odd::Separator),
        ("/a/..%2fb", Odd::Separator),
        ("/a%5Cb", Odd::Separator),
        ("/a\\..\\b", Odd::Separator),
        ("/a%", Odd::Escape),
        ("/a%2", Odd::Escape),
        ("/a%zz", Odd::Escape),
        ("/a%+1", Odd::Escape),
        ("/a%00", Odd::Control),
        ("/a%0d%0a", Odd::Control),
        ("/a\r\nb", Odd::Control),
        ("/a%7f", Odd::Control),
        ("/a b", Odd::Unescaped),
        ("/a#b", Odd::Unescaped),
        ("/é", Odd::Unescaped),
        ("/%ff", Odd::NotUtf8),
        ("/a/%c0%ae%c0%ae/b", Odd::NotUtf8), // an overlong `..`
        ("/a/%c0%af", Odd::NotUtf8),         // and an overlong `/`
    ] {
        assert_eq!(both(sent), Err(odd), "{sent}");
    }
    let long = format!("/{}", "a".repeat(limits::MAX_PATH_BYTES));
    assert_eq!(both(&long), Err(Odd::Long));
    assert!(both(&long[..limits::MAX_PATH_BYTES]).is_ok());
}

#[test]
fn the_rest_of_a_path_is_counted_in_segments() {
    let path = Path::parse("/%61/b%7Cc/d/").expect("good");
    let rests: Vec<_> = (0..6).map(|count| path.after_segments(count)).collect();
    assert_eq!(rests, ["/a/b%7Cc/d/", "/b%7Cc/d/", "/d/", "/", "", ""]);
}

#[test]
fn what_an_operator_writes_is_a_form_that_requests_have() {
    for text in ["/", "/a", "/a/", "/a/b c/é", "/..."] {
        assert_eq!(check_plain(text), Ok(()), "{text}");
    }
    for text in ["", "a", "//", "/a//b", "/a/../b", "/.", "/a\\b", "/a\n", "/..;/a"] {
        assert!(check_plain(text).is_err(), "{text}");
    }
}

/// What RFC 3986 section 5.2.4 leaves of these segments, or nothing where they lead above the root.
fn resolved(segments: &[String]) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in segments {
        match segment.as_str() {
            "." => {}
            ".." => drop(kept.pop()?),
            segment => kept.push(segment),
        }
    }
    let end = segments.last().is_some_and(|last| matches!(last.as_str(), "." | ".."));
    let tail = if end { "/" } else { "" };
    let joined: String = kept.iter().map(|segment| format!("/{segment}")).collect();
    Some(joined + tail)
}

/// `segment` with each byte escaped or not, as `choices` say, in either case.
fn written(segment: &str, choices: &[u8]) -> String {
    let choices = choices.iter().cycle();
    let byte = |(byte, choice): (u8, &u8)| match choice % 3 {
        0 if byte.is_ascii_graphic() && !b"%?#\\".contains(&byte) => char::from(byte).to_string(),
        1 => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    segment.bytes().zip(choices).map(byte).collect()
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(".".to_owned()),
        3 => Just("..".to_owned()),
        5 => "[a-zA-Z0-9._~!$&'()*+,=:@ %|é-]{1,6}",
    ]
}

proptest! {
    /// However it is written: the form in which paths are compared is the one of its segments.
    #[test]
    fn no_way_to_write_a_path_changes_what_it_is_compared_with(
        segments in prop::collection::vec(segment(), 1..8),
        choices in prop::collection::vec(any::<u8>(), 1..16),
    ) {
        let sent: String = segments.iter().map(|s| format!("/{}", written(s, &choices))).collect();
        match resolved(&segments) {
            Some(expected) => prop_assert_eq!(plain(&sent), expected),
            None => prop_assert_eq!(both(&sent), Err(Odd::AboveRoot)),
        }
    }

    /// Whatever is sent: what is taken has no dot segment and no empty one, and is its own form.
    #[test]
    fn what_is_taken_is_in_normal_form(sent in "/[a-c./%2eEfF;5cC\\\\| é]{0,24}") {
        let Ok(path) = Path::parse(&sent) else { return Ok(()) };
        for form in [path.plain(), path.escaped()] {
            prop_assert!(form.starts_with('/'), "{}", form);
            let segments: Vec<_> = form[1..].split('/').collect();
            let (_, inner) = segments.split_last().expect("one at least");
            prop_assert!(!inner.contains(&""), "{}", form);
            let is_dot = |segment: &&str| matches!(*segment, "." | "..");
            prop_assert!(!segments.iter().any(is_dot), "{}", form);
        }
        let again = Path::parse(path.escaped()).expect("it was good");
        prop_assert_eq!(&again, &path);
        prop_assert!(matches!(again.escaped, Cow::Borrowed(_)) || path.escaped().contains('%')
            || path.escaped().contains("/."));
    }

    #[test]
    fn no_bytes_make_it_panic(sent in any::<String>()) {
        let _ = Path::parse(&sent);
        let _ = check_plain(&sent);
        let _ = escaped_query(&sent);
    }
}
