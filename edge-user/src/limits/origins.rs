//! Bounds of what a worker does with origins.

use std::time::Duration;

use ::distributions::limits::MAX_ORIGIN_SERVERS;

/// Times that a request may have come through this fleet, or another of the same name, before it is
/// taken to go in circles: a site that asks another, or tiers of edges, make two.
pub const MAX_VIA_LOOPS: usize = 3;
/// How long a client that expects 100 is waited for until it is told to go on, where the origin does
/// not say so: a second, after which curl does not wait any more either.
pub const EXPECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection may take with what is left of a request whose response has ended, before it
/// is closed instead of kept.
pub const ORIGIN_REST_WITHIN: Duration = Duration::from_secs(1);
/// Bytes that there is room for when a response begins: most are no longer, and as many are held for
/// each that a client has not taken.
pub const ORIGIN_READ_FIRST_BYTES: usize = 8 << 10;
/// And at most, for a server that fills what there is. A system call for each is nothing beside the
/// copy.
pub const ORIGIN_READ_MOST_BYTES: usize = 256 << 10;
/// Bytes of the line with the size of a chunk. Extensions are nobody's; those that are known, for
/// signatures, have a hundred.
pub const MAX_CHUNK_LINE_BYTES: usize = 1 << 10;
/// A chunk of an origin below this is put together with those behind it that are there already: it
/// costs less to copy than to pass on by itself.
pub const SMALL_CHUNK_BYTES: usize = 512;
/// So many of them, which are one part of what a task may pass on in its turn: where each is a byte,
/// a turn is thousands of them and not millions, and h2, which holds hundreds of bytes for every frame
/// that waits, has a thousand where a client has room for [`super::STREAM_SEND_BUFFER_BYTES`].
pub const SMALL_CHUNKS_TOGETHER: usize = 64;
/// How often connections that nobody uses are looked at. They live for a minute or so.
pub const ORIGIN_SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Sessions of TLS to resume that are kept for an origin: a few for each of its servers.
pub const ORIGIN_SESSIONS: usize = 4 * MAX_ORIGIN_SERVERS;
/// What a server may send of a response before the client has taken it: a round trip of a datacentre
/// at 10 Gbit/s is half of that, and a request holds no more.
pub const ORIGIN_STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Of all responses of a connection of HTTP/2. A client that takes nothing of its answers holds up no
/// others: there is room for all of them.
pub const ORIGIN_CONNECTION_WINDOW_BYTES: u32 = ORIGIN_STREAMS as u32 * ORIGIN_STREAM_WINDOW_BYTES;
/// Requests on a connection of HTTP/2 to a server, where it allows more: half of what most servers
/// allow, because each may hold [`ORIGIN_STREAM_WINDOW_BYTES`].
pub const ORIGIN_STREAMS: usize = 64;
/// Of the places of a server at a worker, the last eighth is for clients that have less than an eighth
/// of them: one that keeps all it can get keeps others out no more.
pub const ORIGIN_SHARE_OF_CLIENT: usize = 8;
/// What a client may have however few places there are: what a browser asks for at once.
pub const MIN_ORIGIN_SHARE: usize = 32;
/// How long a look-up of a server's name may take: resolv.conf's two tries of five seconds.
pub const ORIGIN_RESOLVE_WITHIN: Duration = Duration::from_secs(10);
/// How often names are looked up. The resolver does not tell how long an answer is good for; names of
/// servers in the cloud change by the minute.
pub const ORIGIN_RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// How soon again, where nothing was found.
pub const ORIGIN_RESOLVE_AGAIN: Duration = Duration::from_secs(5);
/// How long either side of a WebSocket may be silent. Both sides' libraries send PING by the minute;
/// an hour ends those that were forgotten.
pub const TUNNEL_IDLE_WITHIN: Duration = Duration::from_secs(3600);
/// How long the server of a WebSocket may be silent when its client has ended, or is gone: nobody waits
/// for what could still come but one that takes leave. A server that heeds the end closes within a
/// round trip; a minute is for one that has something to finish. (nginx waits not at all, HAProxy for
/// `timeout client-fin`.) When the server ends, all has ended.
pub const TUNNEL_HALF_OPEN_WITHIN: Duration = Duration::from_secs(60);
/// How long the server of a WebSocket may take with a part of what its client sends, beyond what the
/// kernel holds for it: as long as we wait for a client, see [`super::PROGRESS_WITHIN`].
pub const TUNNEL_TAKES_WITHIN: Duration = super::PROGRESS_WITHIN;
