//! Who may name what: libraries, clocks and sockets, `unsafe`.

use super::code;
use super::{File, Violation};

/// A library of `edge-user` and the files that may name it; a folder ends with `/`.
struct Room {
    library: &'static str,
    files: &'static [&'static str],
}

/// Invariant 4 of ARCHITECTURE.md.
const ROOMS: &[Room] = &[
    Room { library: "aya", files: &["steering.rs", "steering/"] },
    Room { library: "aya_log", files: &["steering.rs", "steering/"] },
    Room { library: "quinn_proto", files: &["quic.rs", "quic/"] },
    Room {
        library: "h2",
        files: &["http/h2.rs", "http/h2/", "http/tests.rs", "proxy/origins/http2.rs"],
    },
    Room {
        library: "hyper",
        files: &[
            "http/h1.rs",
            "http/h1/guard/tests.rs",
            "tcp/clear.rs",
            "admin/http.rs",
            "proxy/origins/health.rs",
        ],
    },
    Room { library: "httparse", files: &["proxy/origins/http11/"] },
    Room { library: "h3", files: &["quic/streams.rs", "quic/streams/", "http/h3.rs"] },
    Room { library: "caps", files: &["sandbox.rs", "sandbox/tests.rs"] },
    Room { library: "landlock", files: &["sandbox.rs"] },
    Room {
        library: "rustls",
        files: &["tls.rs", "tls/", "quic.rs", "quic/", "identity.rs", "identity/"],
    },
    Room { library: "tokio_rustls", files: &["tls/", "identity/"] },
    Room { library: "tonic", files: &["identity.rs", "identity/", "follow.rs", "follow/"] },
    Room { library: "x509_parser", files: &["tls/x509.rs", "identity/certificate.rs"] },
];

/// Files of code that is given bytes and the time; invariant 2 of ARCHITECTURE.md.
const WITHOUT_CLOCK: &[&str] = &[
    "edge-wire/src/",
    "edge-user/src/quic/engine.rs",
    "edge-user/src/http/h3/",
    "edge-user/src/http/primitive/",
    "edge-user/src/http/h2/blocks.rs",
    "edge-user/src/http/h2/blocks/line.rs",
    "edge-user/src/http/h2/blocks/table.rs",
    "edge-user/src/http/h2/streams.rs",
    "edge-user/src/http/h1/guard/reader.rs",
    "edge-user/src/proxy/origins/http11/section.rs",
    "edge-user/src/proxy/origins/http11/framing.rs",
    "edge-user/src/follow/state.rs",
    "controller/src/renew.rs",
    "controller/src/acme/order.rs",
    "controller/src/acme/barrier.rs",
    "controller/src/rotation.rs",
    "controller/src/ledger/book.rs",
    "controller/src/identity/lost.rs",
    "edge-user/src/proxy/path.rs",
    "edge-user/src/proxy/route.rs",
    "edge-user/src/proxy/coalescing.rs",
    "edge-user/src/proxy/forward.rs",
    "edge-user/src/proxy/forward/",
    "edge-user/src/proxy/files/coding.rs",
];

/// What such code does not name: clocks, sockets, the environment and files.
const CLOCKS_AND_SOCKETS: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "tokio",
    "std::env",
    "std::fs",
];

/// Every file that may hold `unsafe`, and what for.
const UNSAFE: &[&str] = &[
    "edge-user/src/preflight/ethtool.rs", // an ioctl that takes a pointer
    "edge-ebpf/src/", // packet bytes between two checked pointers, and the kernel's helpers
    "edge-wire/src/maps.rs", // `aya::Pod` of the map values
    "edge-wire/src/aes/rounds/kernel.rs", // rounds in the kernel's instructions
    "edge-wire/src/siphash.rs", // a round in the kernel's instructions
];

/// In `edge-user`, a library's name stays in its room.
pub(super) fn libraries_stay_in_their_rooms(files: &[File]) -> Vec<Violation> {
    let why = "a library that one room names can be replaced in one room";
    code_of(files, "edge-user/src/", |file, line, text, violations| {
        let path = &file.path["edge-user/src/".len()..];
        for Room { library, files: room } in ROOMS {
            if is_one_of(path, room) || !is_used(text, library) {
                continue;
            }
            let what = format!("`{library}` is named outside {}", room.join(", "));
            violations.push(file.violation(line, what, why));
        }
    })
}

/// Protocol code is given bytes and the time, so that a test owns both.
pub(super) fn protocol_code_reads_no_clock(files: &[File]) -> Vec<Violation> {
    let why = "it is given bytes and the time, so that a seeded test owns both";
    code_of(files, "", |file, line, text, violations| {
        if !is_one_of(&file.path, WITHOUT_CLOCK) {
            return;
        }
        for name in CLOCKS_AND_SOCKETS.iter().filter(|name| code::names(text, name)) {
            violations.push(file.violation(line, format!("`{name}` in protocol code"), why));
        }
    })
}

/// Losing the controller must not stop an edge, nor the reverse: they share no code but the wire, and
/// what both read in files.
pub(super) fn the_edge_and_the_controller_are_strangers(files: &[File]) -> Vec<Violation> {
    let why = "the edge outlives the controller; what both say to each other is in fleet-wire";
    code_of(files, "", |file, line, text, violations| {
        for (folder, stranger) in [("edge-user", "controller"), ("controller", "edge_user")] {
            if file.is_in(folder) && is_used(text, stranger) {
                violations.push(file.violation(line, format!("`{stranger}` in {folder}"), why));
            }
        }
    })
}

/// `unsafe` stands in few files, which are listed.
pub(super) fn unsafe_stays_in_its_files(files: &[File]) -> Vec<Violation> {
    let why = "the files where memory safety is a matter of reading are few and known";
    code_of(files, "", |file, line, text, violations| {
        if code::names(text, "unsafe") && !is_one_of(&file.path, UNSAFE) {
            let what = "`unsafe` in a file that xtask/src/tidy/rooms.rs does not list";
            violations.push(file.violation(line, what, why));
        }
    })
}

/// Lines before `unsafe` in which its proof is looked for.
const PROOF_WITHIN: usize = 8;

/// Each `unsafe` has its proof above it. Clippy checks that too, but never sees the code of the
/// kernel side, which it cannot compile.
pub(super) fn unsafe_carries_its_proof(files: &[File]) -> Vec<Violation> {
    let why = "the proof is written, not thought";
    code_of(files, "edge-ebpf/src/", |file, line, text, violations| {
        let above = || file.text.lines().take(line).skip(line.saturating_sub(PROOF_WITHIN + 1));
        let proof = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
        // `#[unsafe(no_mangle)]` and its like are checked by what they are, not by a proof.
        let attribute = text.trim_start().starts_with("#[");
        if code::names(text, "unsafe") && !attribute && !above().any(proof) {
            violations.push(file.violation(line, "`unsafe` without `// SAFETY:`", why));
        }
    })
}

/// Shows `rule` each line of code, unit tests left out, of the Rust files that begin with `prefix`.
fn code_of(
    files: &[File],
    prefix: &str,
    rule: impl Fn(&File, usize, &str, &mut Vec<Violation>),
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with(prefix)) {
        for (line, text) in code::before_tests(&code::only(&file.text)) {
            rule(file, line, text, &mut violations);
        }
    }
    violations
}

fn is_one_of(path: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| path == *entry || (entry.ends_with('/') && path.starts_with(entry)))
}

/// Whether a line takes something from a crate: as a path, or by `use`. A module or a variable of
/// the same name (`mod h3;`, `http::h3::answer`) is something else.
fn is_used(line: &str, library: &str) -> bool {
    let is_path = line.match_indices(&format!("{library}::")).any(|(at, _)| {
        let before = &line[..at];
        let is_item = before.ends_with("::") && !before.ends_with(" ::");
        let in_word = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_item && !in_word
    });
    is_path || line.trim_start().starts_with(&format!("use {library};"))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::lines;
    use super::*;

    #[test]
    fn a_library_is_named_in_its_room_only() {
        let rule = libraries_stay_in_their_rooms;
        let text = "//! aya does this\nuse aya::Ebpf;";
        assert_eq!(lines(rule, "edge-user/src/serve.rs", text), [2]);
        assert!(lines(rule, "edge-user/src/steering/attach.rs", text).is_empty());
        assert!(lines(rule, "tests/kernel/fixtures.rs", text).is_empty());
        let text = "mod h3;\nuse crate::http::h3::answer;\nh3::server::Connection::new()";
        assert_eq!(lines(rule, "edge-user/src/http.rs", text), [3]);
    }

    #[test]
    fn the_engine_and_the_wire_read_no_clock() {
        let rule = protocol_code_reads_no_clock;
        let text = "fn a(now: Instant) {}\nlet now = Instant::now();";
        assert_eq!(lines(rule, "edge-user/src/quic/engine.rs", text), [2]);
        assert_eq!(lines(rule, "edge-wire/src/cid.rs", "use std::net::UdpSocket;"), [1]);
        assert_eq!(lines(rule, "edge-user/src/proxy/route.rs", "std::fs::read(path)"), [1]);
        assert!(lines(rule, "edge-user/src/quic/driver.rs", text).is_empty());
        let tests = "#[cfg(test)]\nmod tests {\nlet now = Instant::now();\n}";
        assert!(lines(rule, "edge-user/src/quic/engine.rs", tests).is_empty());
    }

    #[test]
    fn the_edge_does_not_know_the_controller() {
        let rule = the_edge_and_the_controller_are_strangers;
        assert_eq!(lines(rule, "edge-user/src/fleet.rs", "use controller::Bundle;"), [1]);
        assert_eq!(lines(rule, "controller/src/lib.rs", "edge_user::fleet::read()"), [1]);
        assert!(lines(rule, "tests/fleet.rs", "use edge_user::fleet;").is_empty());
    }

    #[test]
    fn unsafe_is_for_listed_files() {
        let text = "unsafe { f() }";
        assert_eq!(lines(unsafe_stays_in_its_files, "edge-user/src/config.rs", text), [1]);
        assert!(lines(unsafe_stays_in_its_files, "edge-wire/src/maps.rs", text).is_empty());
        let text = "#![deny(unsafe_code)] // unsafe";
        assert!(lines(unsafe_stays_in_its_files, "edge-user/src/config.rs", text).is_empty());
    }

    #[test]
    fn unsafe_of_the_kernel_side_carries_its_proof() {
        let rule = unsafe_carries_its_proof;
        assert_eq!(lines(rule, "edge-ebpf/src/main.rs", "\nunsafe { f() }"), [2]);
        let proved = "// SAFETY: f takes anything.\nunsafe { f() }";
        assert!(lines(rule, "edge-ebpf/src/main.rs", proved).is_empty());
        assert!(lines(rule, "edge-ebpf/src/main.rs", "#[unsafe(no_mangle)]").is_empty());
    }
}
