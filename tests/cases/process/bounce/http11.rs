//! HTTP/1.1, byte by byte.

use std::io::{Read as _, Write as _};

use tests::credentials::SERVER_NAME;

use super::{Room, Why};
use crate::process::https::Tls;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next request on it is answered.
    GoesOn,
    /// It ends with the answer.
    Ends,
}
use Then::{Ends, GoesOn};

const HOST: Why = ("host", "one good host");
const NAME: Why = ("unknown_name", "not for that host");
const TARGET: Why = ("target", "a target begins");
const URI: Why = ("target", "a target is ASCII");
/// Of heads and of chunks.
const LINE: Why = ("malformed", "a line ends with CR LF");
const FRAMING: Why = ("malformed", "a length or a transfer coding, not");
const EXPECTATION: Why = ("expectation", "100-continue");
/// By hyper, in its words.
const MALFORMED: Why = ("malformed", "");
/// Its end is clear, so that the connection goes on.
const TRAILER: Why = ("malformed", "trailer-field");
const LENGTH: Why = ("malformed", "a length is a number");
const CODING: Why = ("malformed", "chunked is the one");

/// A request line, fields and what follows them. `PATH` is the case's own, `HOST` the good one.
type Case = (&'static str, &'static str, Why, Then);

const HEADS: &[Case] = &[
    // Whom it is for (RFC 9112 section 3.2, RFC 9110 sections 4.2.4, 7.2 and 7.4).
    ("GET PATH HTTP/1.1\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHOST\r\nHOST\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHOST\r\nHost: other.test\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHost:\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHost: u@landfast.test\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHost: landfast.test, other.test\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHost: landfast.test/x\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHost: landfast.test:x\r\n\r\n", "400", HOST, GoesOn),
    ("GET https://u@landfast.testPATH HTTP/1.1\r\nHOST\r\n\r\n", "400", HOST, GoesOn),
    ("GET https://other.testPATH HTTP/1.1\r\nHOST\r\n\r\n", "400", HOST, GoesOn),
    ("GET https://landfast.testPATH HTTP/1.1\r\nHost: other.test\r\n\r\n", "400", HOST, GoesOn),
    ("GET https://landfast.testPATH HTTP/1.1\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH HTTP/1.1\r\nHost: other.test\r\n\r\n", "421", NAME, GoesOn),
    ("GET PATH HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "421", NAME, GoesOn),
    ("GET http://landfast.testPATH HTTP/1.1\r\nHOST\r\n\r\n", "421", NAME, GoesOn),
    // Targets (RFC 9112 section 3.2).
    ("GET /PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", TARGET, GoesOn),
    ("GET //other.testPATH HTTP/1.1\r\nHOST\r\n\r\n", "400", TARGET, GoesOn),
    ("GET * HTTP/1.1\r\nHOST\r\n\r\n", "400", TARGET, GoesOn),
    ("GET landfast.test:443 HTTP/1.1\r\nHOST\r\n\r\n", "400", TARGET, GoesOn),
    ("GET other.test:443 HTTP/1.1\r\nHOST\r\n\r\n", "400", HOST, GoesOn),
    ("GET PATH#b HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("GET PATH# HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("GET PATH?q#b HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("GET /#PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("POST PATH#b HTTP/1.1\r\nHOST\r\nContent-Length: 3\r\n\r\nabc", "400", URI, GoesOn),
    ("GET https://landfast.testPATH#b HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("GET https://landfast.test#PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("GET http://landfast.testPATH#b HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("OPTIONS *#PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("CONNECT landfast.test:443#PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH\u{e9} HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    ("GET PATH?\u{e9} HTTP/1.1\r\nHOST\r\n\r\n", "400", URI, GoesOn),
    (
        "GET PATH#b HTTP/1.1\r\nHOST\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "400",
        URI,
        Ends,
    ),
    ("GET PATH b HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH\tb HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH\0 HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH\rX: y HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET  PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    // Versions and methods (RFC 9112 sections 2.3 and 3.1).
    ("GET PATH http/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.2\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/2.0\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("G(T PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH\r\n\r\n", "400", MALFORMED, Ends),
    // Names and values (RFC 9112 sections 5.1 and 5.2, RFC 9110 section 5.5).
    ("GET PATH HTTP/1.1\r\nHOST\r\nx : y\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx y: z\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\n: y\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx\"y: z\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx(y): z\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx: y\r\n z\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx: y\0z\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx: y\rz\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\n x: y\r\nHOST\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\n\tx: y\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx:\r\n y\r\n\r\n", "400", MALFORMED, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx: y\r\r\n\r\n", "400", MALFORMED, Ends),
    // Where its lines end (RFC 9112 section 2.2).
    ("GET PATH HTTP/1.1\nHOST\n\n", "400", LINE, Ends),
    ("GET PATH HTTP/1.1\nHOST\r\n\r\n", "400", LINE, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\nx: y\r\n\r\n", "400", LINE, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\nx: y\n\r\n", "400", LINE, Ends),
    ("GET PATH HTTP/1.1\r\nHOST\r\n\n", "400", LINE, Ends),
    ("\nGET PATH HTTP/1.1\r\nHOST\r\n\r\n", "400", LINE, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nx: y\nContent-Length: 3\r\n\r\nabc", "400", LINE, Ends),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nx: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
        LINE,
        Ends,
    ),
    // Where it ends (RFC 9112 sections 6.1 to 6.3).
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "400",
        LENGTH,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 3\r\nContent-Length: 03\r\n\r\nabc",
        "400",
        LENGTH,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "400",
        FRAMING,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "400",
        FRAMING,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
        FRAMING,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\ntransfer-encoding: Chunked\r\ncontent-length: x\r\n\r\n0\r\n\r\n",
        "400",
        FRAMING,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "400",
        FRAMING,
        Ends,
    ),
    (
        "POST PATH HTTP/1.0\r\nHOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "400",
        MALFORMED,
        Ends,
    ),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 3\u{b}\r\n\r\nabc", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length : 3\r\n\r\nabc", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length:\r\n 3\r\n\r\nabc", "400", MALFORMED, Ends),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "400",
        MALFORMED,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "400",
        MALFORMED,
        Ends,
    ),
    ("POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked,\r\n\r\n", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding:\r\n\r\n", "400", MALFORMED, Ends),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "501",
        CODING,
        GoesOn,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n",
        "501",
        CODING,
        GoesOn,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "501",
        CODING,
        GoesOn,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "400",
        MALFORMED,
        Ends,
    ),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 3, 3\r\n\r\nabc", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: +3\r\n\r\nabc", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: -3\r\n\r\nabc", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 0x3\r\n\r\nabc", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 3.0\r\n\r\nabc", "400", MALFORMED, Ends),
    ("POST PATH HTTP/1.1\r\nHOST\r\nContent-Length:\r\n\r\n", "400", MALFORMED, Ends),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "400",
        MALFORMED,
        Ends,
    ),
    ("POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: xchunked\r\n\r\n", "400", MALFORMED, Ends),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "400",
        MALFORMED,
        Ends,
    ),
    ("POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: identity\r\n\r\n", "400", MALFORMED, Ends),
    (
        "POST PATH HTTP/1.0\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
        MALFORMED,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "501",
        CODING,
        GoesOn,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "501",
        CODING,
        GoesOn,
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "501",
        CODING,
        GoesOn,
    ),
    // What it expects (RFC 9110 section 10.1.1). Who waits for 100 may send its content or not.
    ("GET PATH HTTP/1.1\r\nHOST\r\nExpect: 200-ok\r\n\r\n", "417", EXPECTATION, GoesOn),
    ("GET PATH HTTP/1.1\r\nHOST\r\nExpect: 100-continue, x\r\n\r\n", "417", EXPECTATION, GoesOn),
    (
        "POST PATH HTTP/1.1\r\nHost: other.test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        "421",
        NAME,
        Ends,
    ),
    (
        "POST PATH HTTP/1.1\r\nHost: other.test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        "421",
        NAME,
        Ends,
    ),
    // Tunnels (RFC 9110 section 9.3.6).
    (
        "CONNECT landfast.test:443 HTTP/1.1\r\nHOST\r\nContent-Length: 3\r\n\r\nabc",
        "400",
        LENGTH,
        Ends,
    ),
    (
        "CONNECT landfast.test:443 HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
        LENGTH,
        Ends,
    ),
    ("CONNECT other.test:443 HTTP/1.1\r\nHOST\r\n\r\n", "400", HOST, Ends),
    ("CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n", "421", NAME, Ends),
    // Another protocol.
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", MALFORMED, Ends),
];

/// Content that breaks a rule when the head has gone to the origin already: what the origin has is
/// cut off.
const CONTENTS: &[(&str, Why, Then)] = &[
    ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n-1\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n", TRAILER, GoesOn),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nHost: other.test\r\n\r\n", TRAILER, GoesOn),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", TRAILER, GoesOn),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nx : y\r\n\r\n", MALFORMED, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3 4\r\nabc\r\n0\r\n\r\n", MALFORMED, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3;x\nabc\r\n0\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\rabc\r\n0\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\n\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\nz: a\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\n\nz: a\r\n\r\n", LINE, Ends),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n z\r\n\r\n", MALFORMED, Ends),
];

pub(super) fn made(case: &str, path: &str) -> String {
    let host = format!("Host: {SERVER_NAME}");
    case.replace("PATH", path).replace("HOST", &host)
}

/// Sends it and a good request behind it, and reads all that is said.
pub(super) fn asked(stream: &mut Tls, request: &str, good: &str) -> String {
    let then = format!("GET {good} HTTP/1.1\r\nHost: {SERVER_NAME}\r\nConnection: close\r\n\r\n");
    // It may be closed before all of it was sent.
    let _ = stream.write_all(format!("{request}{then}").as_bytes());
    let mut said = Vec::new();
    // The end may be a reset, where not all of it was read.
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// The statuses of all answers.
pub(super) fn statuses(said: &str) -> Vec<&str> {
    said.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
}

#[test]
fn nothing_malformed_comes_through_http11() {
    let mut room = Room::new();
    for (case, status, why, then) in HEADS {
        let (path, good) = (room.path(), room.path());
        let request = made(case, &path);
        let mut stream = room.edge.http11();
        let said = asked(&mut stream, &request, &good);
        let expected: &[&str] = match (*status, then) {
            ("", _) => &[],
            (status, Ends) => &[status],
            (status, GoesOn) => &[status, "200"],
        };
        room.same(statuses(&said), expected.to_vec(), &(&request, &said));
        room.reaches(&path, 0, &request);
        room.reaches(&good, usize::from(*then == GoesOn), &request);
        room.expects(*why);
    }
    for (case, why, then) in CONTENTS {
        let (path, good) = (room.path(), room.path());
        let request = format!("POST {path} HTTP/1.1\r\nHost: {SERVER_NAME}\r\n{case}");
        let mut stream = room.edge.http11();
        let said = asked(&mut stream, &request, &good);
        let goes_on = *then == GoesOn;
        let expected = if goes_on { vec!["400", "200"] } else { vec!["400"] };
        room.same(statuses(&said), expected, &(&request, &said));
        room.reaches(&path, 0, &request);
        room.reaches(&good, usize::from(goes_on), &request);
        room.expects(*why);
    }
    room.is_accounted_for(r#"landfast_tcp_refused_total{port="https","#);
}
