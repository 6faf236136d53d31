//! What lines say, and what becomes of them when the file does not take them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::Value;

use super::line::{End, Line};
use super::{AccessLog, Ended, LogCounts};
use crate::config::origins::{Server, ServerHost};
use crate::config::{AccessLogConfig, LogFormat};
use crate::http::Version;
use crate::limits;

const AT: Duration = Duration::from_millis(784_111_777_042);

fn line() -> Line<'static> {
    Line {
        time: UNIX_EPOCH + AT,
        client: SocketAddr::from(([203, 0, 113, 9], 4711)),
        method: "GET",
        host: "a.example",
        path: "/x/y",
        query: Some("a=b"),
        version: Version::Http3,
        user_agent: Some(b"curl/8.5"),
        referer: None,
        distribution: None,
        behaviour: None,
        origin: None,
        server: None,
        reason: None,
        request_id: None,
        answer: Some((200, Duration::from_micros(1_500))),
    }
}

fn whole(line: &Line<'_>, format: LogFormat, ended: Ended) -> String {
    let (mut noted, mut out) = (Vec::new(), Vec::new());
    let place = line.begin(format, &mut noted);
    out.extend_from_slice(&noted[..place]);
    End { ended, bytes: 17, took: Duration::from_micros(2_000_003) }.write(format, &mut out);
    out.extend_from_slice(&noted[place..]);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn a_line_of_json_has_what_is_known_and_no_more() {
    let expected = concat!(
        r#"{"time":"1994-11-06T08:49:37.042Z","client":"203.0.113.9","port":4711,"method":"GET","#,
        r#""host":"a.example","path":"/x/y?a=b","version":"h3","status":200,"#,
        r#""head_seconds":0.001500,"user_agent":"curl/8.5","bytes":17,"seconds":2.000003,"#,
        r#""end":"whole"}"#,
        "\n"
    );
    assert_eq!(whole(&line(), LogFormat::Json, Ended::Whole), expected);
    let server = Server { host: ServerHost::Name("app.example".into()), port: 8080 };
    let all = Line {
        referer: Some(b"https://b.example/"),
        distribution: Some("*.example"),
        behaviour: Some(("/x", "proxy")),
        origin: Some("app"),
        server: Some(&server),
        reason: Some("connect"),
        request_id: Some(b"00ff"),
        answer: None,
        ..line()
    };
    let line: Value =
        serde_json::from_str(&whole(&all, LogFormat::Json, Ended::Cancelled)).expect("JSON");
    for (name, value) in [
        ("referer", "https://b.example/"),
        ("distribution", "*.example"),
        ("behaviour", "/x"),
        ("by", "proxy"),
        ("origin", "app"),
        ("server", "app.example:8080"),
        ("reason", "connect"),
        ("request_id", "00ff"),
        ("end", "cancelled"),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert!(line.get("status").is_none() && line.get("head_seconds").is_none());
}

/// As nginx writes `combined`.
#[test]
fn a_line_of_text_is_in_the_combined_log_format() {
    let expected = "203.0.113.9 - - [06/Nov/1994:08:49:37 +0000] \"GET /x/y?a=b HTTP/3.0\" 200 17 \
                    \"-\" \"curl/8.5\"\n";
    assert_eq!(whole(&line(), LogFormat::Text, Ended::Cut), expected);
    let other = Line {
        client: "[2001:db8::1]:4711".parse().expect("an address"),
        version: Version::Http11,
        method: "CONNECT",
        path: "",
        query: None,
        referer: Some(b"https://b.example/"),
        user_agent: None,
        answer: None,
        ..line()
    };
    let expected = "2001:db8::1 - - [06/Nov/1994:08:49:37 +0000] \"CONNECT a.example HTTP/1.1\" 499 17 \
                    \"https://b.example/\" \"-\"\n";
    assert_eq!(whole(&other, LogFormat::Text, Ended::Cancelled), expected);
}

#[test]
fn what_is_not_plain_text_is_escaped_and_what_is_long_is_cut() {
    let agent = "a\"b\\c\r\n\u{7f}\u{1b}[2J\u{202e}é🦀".as_bytes();
    let agent = [agent, b"\xff"].concat();
    let long = "z".repeat(limits::ACCESS_LOG_FIELD_BYTES + 1);
    let line = Line { user_agent: Some(&agent), path: &long, ..line() };
    let json = whole(&line, LogFormat::Json, Ended::Whole);
    let escaped =
        r#""user_agent":"a\"b\\c\u000d\u000a\u007f\u001b[2J\u202e\u00e9\ud83e\udd80\ufffd""#;
    assert!(json.contains(escaped), "{json}");
    let kept = format!("\"{}...?a=b\"", &long[1..]);
    assert!(json.contains(&kept), "{json}");
    let text = whole(&line, LogFormat::Text, Ended::Whole);
    let escaped = r#""a\x22b\x5Cc\x0D\x0A\x7F\x1B[2J\xE2\x80\xAE\xC3\xA9\xF0\x9F\xA6\x80\xFF""#;
    assert!(text.contains(escaped), "{text}");
}

proptest! {
    /// Whoever reads it finds one line, with every field where it belongs.
    #[test]
    fn nothing_that_a_client_sends_forges_a_line(
        path in ".{0,40}",
        query in proptest::option::of(".{0,40}"),
        agent in proptest::collection::vec(any::<u8>(), 0..80),
        referer in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let (user_agent, referer) = (Some(&agent[..]), Some(&referer[..]));
        let line = Line { path: &path, query: query.as_deref(), user_agent, referer, ..line() };
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = whole(&line, format, Ended::Whole);
            prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(text.ends_with('\n'));
            if format == LogFormat::Text {
                prop_assert_eq!(text.matches('"').count(), 6, "{}", text);
                continue;
            }
            let read: Value = serde_json::from_str(&text).expect("JSON");
            let agent = String::from_utf8_lossy(&agent);
            prop_assert_eq!(read["user_agent"].as_str(), Some(&*agent));
            prop_assert_eq!(read["status"].as_u64(), Some(200));
            prop_assert_eq!(read["end"].as_str(), Some("whole"));
        }
    }
}

fn log(path: &Path) -> AccessLog {
    let config = AccessLogConfig { path: path.into(), format: LogFormat::Text };
    AccessLog::open(&config, 2).expect("opened")
}

#[test]
fn lines_of_all_workers_are_in_the_file_at_the_end_and_in_another_once_it_was_moved() {
    let directory = tempfile::tempdir().expect("made");
    let (path, moved) = (directory.path().join("access.log"), directory.path().join("access.1"));
    let log = log(&path);
    log.start().expect("a thread");
    assert!(!log.reopen().expect("there"), "the same file");
    for worker in [0, 1, 0] {
        log.shared().put(worker, |out| out.extend_from_slice(b"before\n"));
    }
    fs::rename(&path, &moved).expect("moved");
    assert!(log.reopen().expect("made"));
    log.shared().put(1, |out| out.extend_from_slice(b"after\n"));
    log.close();
    let [old, new] = [&moved, &path].map(|path| fs::read_to_string(path).expect("there"));
    assert_eq!((old.matches("before\n").count(), new.matches("before\n").count()), (3, 0));
    assert_eq!((old + &new).matches("after\n").count(), 1);
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777 & !limits::ACCESS_LOG_MODE, 0);
    assert_eq!(log.counts(), LogCounts { written: 4, full: 0, failed: 0 });
}

/// Nothing is written before [`AccessLog::start`], as where a disk hangs.
#[test]
fn lines_that_there_is_no_room_for_are_dropped_and_counted_and_others_kept() {
    let directory = tempfile::tempdir().expect("made");
    let path = directory.path().join("access.log");
    let log = log(&path);
    let block = [b"x".repeat((1 << 20) - 1), b"\n".to_vec()].concat();
    let room = limits::ACCESS_LOG_QUEUE_BYTES >> 20;
    for _ in 0..room + 3 {
        log.shared().put(0, |out| out.extend_from_slice(&block));
    }
    log.shared().put(1, |out| out.extend_from_slice(b"of another worker\n"));
    assert_eq!(log.counts(), LogCounts { written: 0, full: 3, failed: 0 });
    log.start().expect("a thread");
    log.close();
    assert_eq!(log.counts(), LogCounts { written: room as u64 + 1, full: 3, failed: 0 });
    let written = fs::read_to_string(&path).expect("there");
    assert_eq!(written.lines().count(), room + 1);
    assert!(written.ends_with("\nof another worker\n"));
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let log = log("/dev/full".as_ref());
    log.start().expect("a thread");
    for _ in 0..3 {
        log.shared().put(0, |out| out.extend_from_slice(b"lost\n"));
    }
    log.close();
    assert_eq!(log.counts(), LogCounts { written: 0, full: 0, failed: 3 });
    let missing = AccessLogConfig { path: "/proc/none/x".into(), format: LogFormat::Json };
    assert!(AccessLog::open(&missing, 1).is_err());
}
