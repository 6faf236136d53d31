//! Bounds of TCP: HTTP in clear, and HTTP/2 and HTTP/1.1 over TLS.

use std::time::Duration;

use super::{MAX_FIELD_SECTION_BYTES, MAX_REQUEST_STREAMS};

// TCP: HTTP in clear.

/// Connections to the port of HTTP in clear at one time: a quarter of the 1,024 file descriptors
/// that a process has at least, so that a flood leaves enough to the rest. An honest one lasts a
/// round trip or two: 256 of 200 ms are 1,000 a second.
pub const MAX_HTTP_CONNECTIONS: usize = 256;
/// Connections that the kernel keeps for us while we have not taken them, at each listener: half a
/// second's worth of what [`MAX_HTTP_CONNECTIONS`] serves.
pub const TCP_BACKLOG: i32 = 512;
/// How long the head of a request may take from the connection on: one packet, lost a few times.
pub const HTTP_HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection to it lasts at most: one request and its answer.
pub const HTTP_CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Bytes of the head of a request; hyper takes no smaller buffer.
pub const HTTP_HEAD_BYTES: usize = 8192;
/// Header fields of a request in clear: browsers send 20.
pub const HTTP_HEADERS: usize = 64;

// TCP: TLS, HTTP/2 and HTTP/1.1, on the workers.

/// Connections of TLS over TCP in the whole process; each worker has its even share, and the process
/// has less where it may not open so many files. Idle ones hold 20 to 30 KiB each: half a gigabyte.
pub const MAX_TCP_CONNECTIONS: usize = 16_384;
/// Files that connections by TCP and answers from files leave to the rest of the process: sockets of workers, relay and admin,
/// [`MAX_HTTP_CONNECTIONS`], the kernel's maps and programs.
pub const FILES_FOR_OTHERS: u64 = 512;
/// Connections of a worker at least, where there are hardly any files.
pub const MIN_TCP_CONNECTIONS: usize = 16;
/// Handshakes of TLS over TCP at one time in the whole process; each worker has its even share. At
/// 100 ms each, 10,000 new connections a second, which is more than cores have signatures for.
pub const MAX_TCP_HANDSHAKES: usize = 1024;
/// How long a handshake over TCP may take: two round trips, with losses.
pub const TCP_HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Connections taken in one turn of a worker: each costs the kernel's call and a task, 20 us, so
/// that packets of QUIC wait for a third of a millisecond at most.
pub const ACCEPTS_PER_TURN: usize = 16;
/// Handshakes whose ClientHello is answered in one turn of a worker: a key exchange and a signature
/// take 0.2 ms, which is what every packet of QUIC waits for meanwhile.
pub const HANDSHAKES_PER_TURN: usize = 4;
/// Bytes read of one connection in one turn of a worker. Frames of 9 bytes, at 0.1 us each, keep the
/// others waiting for a millisecond.
pub const READ_PER_TURN_BYTES: usize = 64 << 10;
/// Bytes that are gathered for a client before they are written: what a TLS record holds (RFC 8446
/// section 5.1).
pub const GATHERED_BYTES: usize = 16 << 10;
/// How often connections are looked at for those that take too long. Their times are counted in
/// seconds.
pub const TCP_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a connection over TCP may be without a request: as long as nginx's `keepalive_timeout`.
/// One that is kept costs less than the handshake that it saves.
pub const TCP_IDLE_WITHIN: Duration = Duration::from_secs(75);
/// Bytes of what hyper buffers for a connection, either way: a head, whose bound is that of the other
/// versions, [`MAX_FIELD_SECTION_BYTES`].
pub const HTTP1_BUFFER_BYTES: usize = MAX_FIELD_SECTION_BYTES as usize;
/// Bytes of a line of HTTP/1.1 that are remembered to know where its request ends: twice what the
/// longest length needs, with the field's name. One that is padded beyond this is refused.
pub const FRAMING_LINE_BYTES: usize = 64;
/// Bytes of a request's content that are read and thrown away, because no answer depends on it: what
/// a form has. Of a longer one the end is not waited for.
pub const MAX_DISCARDED_BYTES: usize = 64 << 10;
/// How long that content may take. A form fits a few flights.
pub const DISCARD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take to close, too, when we have closed a connection: a round trip or two.
/// What it sends meanwhile is thrown away (RFC 9112 section 9.6).
pub const LINGER: Duration = Duration::from_secs(1);
/// What it may send meanwhile.
pub const LINGER_BYTES: usize = 1 << 20;
/// What HTTP/2 holds of an answer that the socket has no room for, in each stream.
pub const STREAM_SEND_BUFFER_BYTES: usize = 64 << 10;
/// Bytes in the kernel that were not sent yet, from which on a socket takes no more: HTTP/2 decides
/// late what goes next, and a client that takes nothing holds little of the kernel's memory.
pub const UNSENT_BYTES: u32 = 128 << 10;
/// Streams that a client has reset before we looked at them, at one time; then the connection ends
/// (CVE-2023-44487).
pub const PENDING_RESET_STREAMS: usize = 20;
/// Streams that a client may reset at once, and then so many a second, before the connection ends:
/// all that a page has open when somebody leaves it, twice. Each costs us a request. By HTTP/3 those
/// that we reset because of what the client did wrong are among them.
pub const CLIENT_RESETS_AT_ONCE: u32 = 2 * MAX_REQUEST_STREAMS;
/// See [`CLIENT_RESETS_AT_ONCE`].
pub const CLIENT_RESETS_PER_SECOND: u32 = 50;
/// Streams of a connection that we reset because of what the client did wrong, in all its life
/// (CVE-2025-8671): honest clients cause none, but for DATA that was under way when we had no use
/// for it.
pub const ERROR_RESET_STREAMS: usize = 256;
/// Streams that we have reset and remember, so that what was under way is no error.
pub const REMEMBERED_RESET_STREAMS: usize = MAX_REQUEST_STREAMS as usize;
/// How long we remember them: what was under way has arrived by then.
pub const RESET_STREAM_REMEMBERED: Duration = Duration::from_secs(5);
/// Frames that carry no request and no content (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown
/// ones) that a client may send at once, and then so many a second. Browsers send a dozen. By HTTP/3
/// these are frames of the control stream, instructions of QPACK, and unidirectional streams.
pub const CONTROL_FRAMES_AT_ONCE: u32 = 1_000;
/// See [`CONTROL_FRAMES_AT_ONCE`].
pub const CONTROL_FRAMES_PER_SECOND: u32 = 100;
/// A client may send one more such frame for so many bytes that it gets: some answer each DATA frame
/// with a WINDOW_UPDATE for the stream and one for the connection, and a PING beside them.
pub const BYTES_PER_CONTROL_FRAME: usize = 2 << 10;
/// And so many for each request: its priority, its window, and an end of it.
pub const CONTROL_FRAMES_PER_REQUEST: u32 = 8;
/// Bytes of HPACK's dynamic table for what a client sends: what all have before SETTINGS say another
/// (RFC 9113 section 6.5.2), and ours do not. Followed, it is 128 entries of four bytes at most.
pub const HEADER_TABLE_BYTES: u32 = 4096;
/// CONTINUATION frames of a header block before the last one: the largest that is not refused fills
/// four, and h2 takes no more either. A line that is not whole is read from its beginning with each
/// of them, and has no more bytes than they and HEADERS carry, which is 96 KiB.
pub const MAX_CONTINUATIONS: usize = 5;
/// Streams of a connection that are remembered when a client has ended them, for what it may send
/// behind the end by mistake: that comes at once.
pub const ENDED_STREAMS: usize = 8;
/// Streams of a connection that are remembered because their content is under way, or something is to
/// be said of them. h2 refuses those above [`MAX_REQUEST_STREAMS`], but they count until that is
/// written. At eight bytes 3 KB.
pub const NOTED_STREAMS: usize = 4 * MAX_REQUEST_STREAMS as usize;
/// How long clients may remember that we speak HTTP/3 (RFC 7838 section 3.1): a day, the default.
pub const ALT_SVC_SECONDS: u64 = 86_400;
/// Bytes that are read at once of a connection that does not speak HTTP any more, on the stack: what
/// is idle holds none.
pub const TUNNEL_CHUNK_BYTES: usize = 8 << 10;
