//! Every bound of the edge process, and why it is this number. Units come last in the name.
//!
//! What an operator sets in the configuration file has its default here too. A bound that is
//! part of a kernel map stands in [`edge_wire::maps`], because the kernel side needs it as well.
//! Those of distributions, static files, origins, the access log and TCP have files of their own.

mod access_log;
mod distributions;
mod files;
mod origins;
mod tcp;

use std::time::Duration;

pub use access_log::*;
pub use distributions::*;
pub use files::*;
pub use origins::*;
pub use tcp::*;

// The configuration file.

/// Anycast addresses of a fleet. Each costs an entry in the checks at the start, none on the
/// packet path; more than this is a mistake in a generated file.
pub const MAX_ANYCAST_ADDRESSES: usize = edge_wire::maps::MAX_ANYCAST as usize;
/// Interfaces that carry the XDP program. A host has one or two uplinks, doubled for a change.
pub const MAX_INTERFACES: usize = 4;
/// Workers of a process: one byte of a connection ID names the worker, and the count of them is
/// one byte in the kernel's map.
pub const MAX_WORKERS: u8 = 255;
/// Bytes of a node's or a site's name: what fits in a metric label and a log line.
pub const MAX_NAME_BYTES: usize = 64;
/// Bytes of an interface name (`IFNAMSIZ`, less the zero at the end).
pub const MAX_INTERFACE_NAME_BYTES: usize = 15;

/// `listen.port` where the file names none: HTTP/3 of the Web.
pub const DEFAULT_PORT: u16 = 443;
/// `listen.http_port` where the file names none and a controller gives certificates: the port on
/// which authorities ask (RFC 8555 section 8.3).
pub const HTTP_PORT: u16 = 80;
/// `steering.encapsulation_port` where the file names none: unassigned at IANA.
pub const DEFAULT_ENCAPSULATION_PORT: u16 = 7842;
/// `quic.max_connections` where the file names none, in the whole process. At the 32 KiB that an
/// idle connection was measured to hold, 2 GB.
pub const DEFAULT_MAX_CONNECTIONS: u32 = 65_536;
/// The most that `quic.max_connections` may be: 32 GB of idle connections.
pub const MAX_CONNECTIONS: u32 = 1_000_000;
/// `quic.retry_threshold` where the file names none: handshakes in progress in the whole process
/// above which a new client must prove its address first (RFC 9000 section 8.1.2). At a
/// handshake of 100 ms, 10,000 new connections a second pass without the extra round trip.
pub const DEFAULT_RETRY_THRESHOLD: u32 = 1_000;
/// `quic.idle_timeout_seconds` where the file names none: what browsers offer themselves.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most that `quic.idle_timeout_seconds` may be: middleboxes have forgotten a flow by then.
pub const MAX_IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How often a fleet is meant to mint connection IDs under another config. A day: what a key that
/// leaks tells of is one day's routing, and an operator can follow six steps a day with a look.
pub const CONNECTION_ID_ROTATION: Duration = Duration::from_secs(24 * 3600);
/// `quic.connection_id_lifetime_seconds` where the file names none: a sixth of the rotation. A
/// connection leaves an old config within two lifetimes, so that a third of the way to the next
/// rotation nobody needs it any more, and a frame in four hours costs nothing.
pub const DEFAULT_CONNECTION_ID_LIFETIME: Duration =
    Duration::from_secs(CONNECTION_ID_ROTATION.as_secs() / 6);
/// `drain_seconds` where the file names none. Most responses end within this; systemd waits 90 s
/// by default before it kills.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
/// The most that `drain_seconds` may be: an hour, for long downloads.
pub const MAX_DRAIN: Duration = Duration::from_secs(3600);

// Admission.

/// `admission.amplifier_ports` where the file names none: ports from which only the answers of
/// misused servers come, whose load a QUIC server must not bear (RFC 9308 section 8.1 names 53,
/// 123, 1900, 5353 and 11211). Below 1024, which neither clients nor address translators use for
/// clients (RFC 4787 section 4.2.1): echo 7, quote of the day 17, character generator 19, DNS 53,
/// portmap 111, NTP 123, NetBIOS 137, SNMP 161, connectionless LDAP 389 and RIP 520. Above it only
/// the ones most misused: SSDP 1900, Apple Remote Desktop 3283, WS-Discovery 3702, mDNS 5353,
/// memcached 11211; an address translator that gives one of these to a client (five of 64,512)
/// costs that client a try. TFTP (69) answers from another port.
pub const AMPLIFIER_PORTS: [u16; 15] =
    [7, 17, 19, 53, 111, 123, 137, 161, 389, 520, 1900, 3283, 3702, 5353, 11211];
/// `admission.initials_per_second` where the file names none, for each /24 and /56. A connection
/// takes up to five Initials, with a Retry and a large ClientHello, so that 200 clients a second of
/// one carrier's address translator still get through while a flood is on.
pub const DEFAULT_INITIALS_PER_SECOND: u64 = 1_000;
/// `admission.initials_burst` where the file names none: two seconds' worth, for the rush that
/// follows a route change or a dead node.
pub const DEFAULT_INITIALS_BURST: u64 = 2_000;
/// A burst is at least one part in so many of a second's rate: the kernel's tick, by
/// which budgets are kept, comes every 10 ms at the slowest, and what a burst cannot hold is lost.
pub const BURST_PARTS_PER_SECOND: u64 = 100;
/// `admission.forwards_per_second` where the file names none, for each node. A node that forwards
/// a million packets a second to one other loses its whole traffic to a wrong route; below that,
/// losing nothing comes before sparing the owner.
pub const DEFAULT_FORWARDS_PER_SECOND: u64 = 1_000_000;
/// What may be forwarded at once: one part in so many of a second's rate.
pub const FORWARDS_BURST_PARTS_PER_SECOND: u64 = 10;
/// What may be forwarded at once at least: what a driver takes from its queue in one go.
pub const FORWARDS_BURST_MIN: u64 = 64;
/// The most that a rate of `[admission]` may be: a cost of one nanosecond a packet.
pub const MAX_PACKETS_PER_SECOND: u64 = 1_000_000_000;
/// Bytes of the blocklist's file: 65,536 IPv6 prefixes, with 24 bytes of comment a line.
pub const MAX_BLOCKLIST_BYTES: u64 = 4 << 20;
/// Networks whose Initials a worker keeps budgets of: 16 bytes each. When they are more, all
/// are forgotten.
pub const MAX_INITIAL_BUDGETS: usize = 16_384;
/// How long handshakes in progress must stay below the threshold before budgets of Initials end: a
/// flood in waves is one flood, and one line of the log.
pub const PRESSURE_ENDS_AFTER: Duration = Duration::from_secs(5);
/// Handshakes in progress are below the threshold again at this many hundredths of it.
pub const PRESSURE_ENDS_AT_PERCENT: u32 = 75;
/// A worker tells its handshakes in progress when they have moved by one part in so many of its
/// share of the threshold: as near as the sum of all workers has to be.
pub const PRESSURE_PARTS: u64 = 8;
/// How soon budgets are switched again that could not be switched.
pub const PRESSURE_AGAIN_AFTER: Duration = Duration::from_secs(1);

// TLS.

/// Bytes of a certificate or key file: a chain of ten RSA-4096 certificates is 20 kB.
pub const MAX_PEM_BYTES: u64 = 1 << 20;
/// Certificates in a chain: longer ones are refused by clients.
pub const MAX_CHAIN_CERTIFICATES: usize = 10;
/// Names in a certificate: authorities of the Web issue for 100, some for 250.
pub const MAX_CERTIFICATE_NAMES: usize = 1000;
/// Certificates that are served, of the controller and from files. About 5 kB each with its key
/// ready to sign, so 330 MB at the most.
pub const MAX_CERTIFICATES: usize = 65_536;
/// Certificates that are read from files beside the default one: more are a controller's work.
pub const MAX_CERTIFICATE_FILES: usize = 1024;
/// Challenges that are answered at one time, of each kind. As many orders may be under way when a
/// fleet with 10,000 certificates starts, one name each; at 200 bytes 2 MB, 5 kB with a
/// certificate.
pub const MAX_CHALLENGES: usize = 10_000;
/// Characters of a token at least: 128 bits in base64url (RFC 8555 section 8.3).
pub const MIN_TOKEN_BYTES: usize = 22;
/// Characters of a token at most: 43 are usual; this allows for three times that.
pub const MAX_TOKEN_BYTES: usize = 128;
/// How long a session ticket is taken (RFC 8446 section 4.6.1 allows a week). Half a day keeps
/// returning visitors and bounds what a stolen key opens.
pub const TICKET_LIFETIME: Duration = fleet_wire::secrets::TICKET_LIFETIME;
/// Bytes of a session ticket that is looked at. Ours hold no client certificate and are about
/// 250 bytes.
pub const MAX_TICKET_BYTES: usize = 4096;
/// From when on a certificate that ends is worth a warning at the start.
pub const CERTIFICATE_ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

// Admin.

/// How long a worker may take to answer a report before it counts as stuck. Its loop turns every
/// few milliseconds even under load.
pub const REPORT_WITHIN: Duration = Duration::from_secs(2);
/// Connections to the metrics listener at one time: a few scrapers and probes.
pub const MAX_ADMIN_CONNECTIONS: usize = 32;
/// How long a connection to the metrics listener lasts at most: one request and its answer.
pub const ADMIN_CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Bytes of the head of a request to the metrics listener; hyper takes no smaller buffer.
pub const ADMIN_HEAD_BYTES: usize = 8192;
/// Header fields of a request to the metrics listener.
pub const ADMIN_HEADERS: usize = 64;
/// Connections to the admin socket at one time: operators and their scripts.
pub const MAX_ADMIN_SOCKET_CONNECTIONS: usize = 16;
/// Bytes of a line on the admin socket. A blocklist of 65,536 IPv6 prefixes is the longest, with
/// 3 MB.
pub const MAX_ADMIN_LINE_BYTES: usize = 4 << 20;
/// How long the admin socket waits for a line, and a command for its answer.
pub const ADMIN_LINE_WITHIN: Duration = Duration::from_secs(10);
/// How long an admin listener waits after it could not take a connection.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

// The engine.

/// Largest UDP payload we send or accept on a path: two IPv6 headers, two UDP headers and ours
/// of 16 bytes around it still fit in 1500 (1500 - 40 - 8 - 16 - 40 - 8), so every datagram can
/// be forwarded between nodes.
pub const MAX_UDP_PAYLOAD_BYTES: u16 = 1388;
/// Segments of one send. 45 of [`MAX_UDP_PAYLOAD_BYTES`] are below the 65,507 bytes above which
/// the kernel refuses a UDP datagram, and with it the whole train.
pub const MAX_SEND_SEGMENTS: usize = 45;
/// Bidirectional streams a client may have open: RFC 9114 section 6.1 asks for at least 100.
pub const MAX_REQUEST_STREAMS: u32 = 100;
/// How many it may have open at first. quinn-proto allots the state of streams in advance, so that
/// 100 cost an idle connection a fifth of its memory. The first client that asks for two things at
/// one time is given [`MAX_REQUEST_STREAMS`], with the first packet that it gets.
pub const FIRST_REQUEST_STREAMS: u32 = 32;
/// Unidirectional streams a client may have open: control, two of QPACK, and some to grease
/// (RFC 9114 section 6.2 asks for at least 3).
pub const MAX_UNIDIRECTIONAL_STREAMS: u32 = 8;
/// What a client may send ahead on one stream. Requests have no body to speak of yet; 256 KiB
/// keep an upload of 20 Mbit/s at 100 ms busy.
pub const STREAM_RECEIVE_WINDOW_BYTES: u32 = 256 << 10;
/// What a client may send ahead on all streams of a connection: four full ones.
pub const CONNECTION_RECEIVE_WINDOW_BYTES: u32 = 1 << 20;
/// What a connection holds for retransmission: 100 Mbit/s at 160 ms.
pub const SEND_WINDOW_BYTES: u64 = 2 << 20;
/// What a worker holds for retransmission, of all its connections, beside [`SEND_FLOOR_BYTES`] of
/// each. A hundred downloads at full window; with 65,536 connections that all stall, and their
/// floors, 1.3 GB instead of 137.
pub const SEND_BUDGET_BYTES: u64 = 256 << 20;
/// A connection may hold one part in so many of what is free of the budget. One alone could fill
/// 16 windows; a hundred that are busy have a full one each.
pub const SEND_SHARE_DIVISOR: u64 = 8;
/// What every connection may hold whatever the others do: the initial congestion window (RFC 9002
/// section 7.2), so that small answers never wait.
pub const SEND_FLOOR_BYTES: u64 = 16 << 10;
/// Less than this is not written where more is wanted: about a packet.
pub const SEND_GRANT_MIN_BYTES: usize = 1024;
/// Bytes of a client's handshake messages out of order. A ClientHello with a post-quantum share
/// is 1.8 KB.
pub const CRYPTO_BUFFER_BYTES: usize = 8 << 10;
/// Bytes buffered for one connection attempt between its first datagram and our answer. Both
/// happen in one call, so nothing is ever buffered.
pub const INCOMING_BUFFER_BYTES: u64 = 4 << 10;
/// The same for all attempts of a worker.
pub const INCOMING_BUFFER_TOTAL_BYTES: u64 = 1 << 20;
/// Datagrams (RFC 9221) are not offered: no application of ours uses them.
pub const DATAGRAM_BUFFER_BYTES: Option<usize> = None;
/// How long a handshake may take. The slowest honest ones have lost several flights at the
/// initial round trip of 333 ms; the idle timeout alone would let half a one stay for longer.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's head may take from its first byte, and a connection's control streams. An
/// honest head fits the first flight and is lost a few times at most; one that trickles in would
/// hold its buffers for as long as the client sends PING.
pub const REQUEST_HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take to make room for the next chunk of an answer. As long as nginx's
/// `send_timeout`: long enough for a phone in a tunnel, and an end to windows that never open.
pub const PROGRESS_WITHIN: Duration = Duration::from_secs(60);
/// Chunks shorter than this are copied when they are read: as slices they would keep the whole
/// datagram that they came in, so that a byte would cost over a kilobyte.
pub const COPY_BELOW_BYTES: usize = 512;
/// At least this long a close waits for what is in flight to be acknowledged, two round trips
/// where that is longer. A client may take 25 ms over an acknowledgement (RFC 9000 section 18.2).
pub const CLOSE_WAIT_MIN: Duration = Duration::from_millis(50);
/// See [`CLOSE_WAIT_MIN`].
pub const CLOSE_WAIT_MAX: Duration = Duration::from_millis(500);
/// Changes of its IP address that a connection may make at once. A telephone makes one an hour; who
/// makes more writes addresses of others into his datagrams, each of which is sent a challenge.
pub const ADDRESS_CHANGES_AT_ONCE: u32 = 8;
/// How soon it may make another one.
pub const ADDRESS_CHANGE_EVERY: Duration = Duration::from_secs(10);
/// Datagrams of 1,200 bytes to a new address that may pass three times what came from there: a
/// PATH_CHALLENGE has that size, and what a client sends at first may be 40 bytes. The others are
/// for where one is lost.
pub const PATH_CHALLENGES_IN_ADVANCE: u64 = 3;
/// Between two of them: the probe timeout of a path that is not known (RFC 9002 section 6.2.2).
pub const PATH_CHALLENGE_EVERY: Duration = Duration::from_secs(1);
/// How long a Retry token is accepted. A client answers at once; this allows for clocks of nodes
/// that differ by seconds.
pub const RETRY_TOKEN_LIFETIME: Duration = Duration::from_secs(15);
/// How long a NEW_TOKEN token is accepted (RFC 9000 section 8.1.3): a day of returning clients.
pub const ADDRESS_TOKEN_LIFETIME: Duration = fleet_wire::secrets::TOKEN_LIFETIME;
/// Stateless resets a worker sends at once. When a node has died, every one of its connections
/// asks for one within a second; each costs 1 us and is smaller than what it answers.
pub const RESET_BURST: u32 = 20_000;
/// Stateless resets a worker sends each second afterwards.
pub const RESETS_PER_SECOND: u32 = 20_000;
/// Random IDs looked at for one whose hash names this worker, where nonces have run out. Of 255
/// workers one in 255 does; after so many the chance that none did is one in a million.
pub const UNROUTABLE_ID_TRIES: usize = 4096;
/// Answers without a connection (Retry, refusal, reset) that wait for the socket. More are
/// dropped: their askers ask again.
pub const MAX_PENDING_ANSWERS: usize = 1024;

// HTTP/3.

/// Bytes of a HEADERS frame, compressed. Browsers and proxies stay below 16 KiB.
pub const MAX_HEADERS_FRAME_BYTES: u64 = 64 << 10;
/// Bytes of any other frame but DATA: SETTINGS, GOAWAY, PRIORITY_UPDATE and what is greased.
pub const MAX_CONTROL_FRAME_BYTES: u64 = 4 << 10;
/// Bytes of a request's fields, uncompressed, with 32 for each (RFC 9114 section 4.2.2).
pub const MAX_FIELD_SECTION_BYTES: u64 = 64 << 10;
/// Lines of a field section. Browsers send about twenty, and crumbs of cookies: 180 for a domain at
/// most, in Chromium. Small ones would otherwise be 2,000, each with its place in a map.
pub const MAX_FIELDS: usize = 256;
/// Frames in a row that carry nothing: DATA without content, and types that are not known. Clients
/// grease with one or two (RFC 9114 section 7.2.8).
pub const MAX_EMPTY_FRAMES: u32 = 128;
/// Hosts that a worker remembers connections to be good for, with the name that these asked for. A
/// worker is mostly asked for a few dozen; 10 KB.
pub const REMEMBERED_HOSTS: usize = 64;
/// Interim responses (1xx) before a final one. 103 comes once or twice; 102 was meant to come every
/// 20 s while a long operation goes on.
pub const MAX_INTERIM_RESPONSES: u32 = 32;
/// Content up to this length is copied behind the head of its answer, into one write: cheaper than a
/// second one.
pub const WRITE_TOGETHER_BYTES: usize = 2048;
/// Field lines that a worker remembers as it wrote them: what a few dozen distributions add to
/// every response. Full of the longest, 0.8 MB.
pub const REMEMBERED_LINES: usize = 512;
/// Values shorter than this are written as fast as they are looked up, and are mostly lengths.
pub const REMEMBERED_VALUE_MIN_BYTES: usize = 8;
/// Values longer than this are rare: a content security policy has a few hundred bytes.
pub const REMEMBERED_VALUE_MAX_BYTES: usize = 768;
/// Most bytes that `/bytes/N` gives: 1 GiB.
pub const MAX_BODY_BYTES: u64 = 1 << 30;
/// Bytes that are handed to a stream at a time.
pub const BODY_CHUNK_BYTES: usize = 64 << 10;

// The driver.

/// Bytes of a datagram that is looked at: what Ethernet carries. Clients learn that 1,388 are enough
/// ([`MAX_UDP_PAYLOAD_BYTES`]), but only with our first answer. The kernel puts fragments together
/// to 64 KiB, which would fill a queue of messages with fifty times the memory.
pub const MAX_DATAGRAM_BYTES: usize = 1500;

/// Datagram trains received in one turn of a worker's loop, before it sends and lets requests
/// run. A train is up to 64 datagrams.
pub const RECEIVE_BATCHES_PER_TURN: usize = 4;
/// Sends in one turn of a worker's loop, before it receives again.
pub const SENDS_PER_TURN: usize = 64;
/// Messages taken from a worker's inbox in one turn.
pub const INBOX_PER_TURN: usize = 256;
/// Messages that wait for a worker: what was received by another worker, or relayed by a node.
/// At [`MAX_DATAGRAM_BYTES`] each 6.1 MB.
pub const INBOX_MESSAGES: usize = 4096;
/// Socket buffers, each way. Bulk transfers gain from it; the kernel caps it at
/// `net.core.rmem_max` and `wmem_max`.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// At least this long a client may still send requests after the first GOAWAY, so that none that
/// was under way is refused (RFC 9114 section 5.2). Three round trips where that is longer.
pub const GOAWAY_GRACE_MIN: Duration = Duration::from_millis(100);
/// See [`GOAWAY_GRACE_MIN`].
pub const GOAWAY_GRACE_MAX: Duration = Duration::from_secs(1);
/// How long a worker waits beyond the deadline of a drain for closed connections to be forgotten
/// (three probe timeouts, RFC 9000 section 10.2).
pub const DRAIN_TAIL: Duration = Duration::from_secs(1);
/// Bytes of a receive buffer: no train of merged datagrams is longer than a UDP length says.
pub const RECEIVE_BUFFER_BYTES: usize = u16::MAX as usize;

// Start and stop.

/// How long a worker may take to end beyond the deadline of a drain and [`DRAIN_TAIL`], on a
/// machine that is busy, before the process ends without it.
pub const DRAIN_MARGIN: Duration = Duration::from_secs(3);

// The relay: the encapsulation port in user space.

/// Datagrams that wait for the relay to send them to other nodes. Traffic crosses nodes only while
/// routes change; a thousand full datagrams are 1.4 MB.
pub const RELAY_QUEUE: usize = 1024;
/// Ports that the relay sends from, in each family. Twice as many as the receive queues of a host
/// that is served well without XDP, so that a hash over them leaves no queue without its share.
pub const RELAY_SOURCE_PORTS: usize = 16;
/// Datagrams that the relay takes from a socket, or from its queue, before it looks at the others.
pub const RELAY_BATCH: usize = 64;
/// Orders to the relay under way: a scrape, an admin command, a reload.
pub const RELAY_ORDERS: usize = 3;
/// Bytes of a datagram that the relay receives: the most that UDP can carry.
pub const RELAY_DATAGRAM_BYTES: usize = 65_535;

// The way to other nodes.

/// Between a change of routes, links or neighbours and the next look at them: changes come in
/// trains, and one look serves them all. Short against the second that a route takes to settle.
pub const NEXT_HOP_DEBOUNCE: Duration = Duration::from_millis(100);
/// A look at all nodes takes at most one part in so many of the time, however often routes change:
/// the pause after it is so many times as long as it took, up to [`NEXT_HOP_REFRESH`].
pub const NEXT_HOP_PAUSE_FACTOR: u32 = 10;
/// Between two looks where nothing is heard of a change. The kernel forgets an unused neighbour
/// after 60 s at the earliest (`gc_stale_time`) and XDP's use of it does not count, so it is
/// confirmed several times before that.
pub const NEXT_HOP_REFRESH: Duration = Duration::from_secs(15);

// Attaching XDP.

/// How long a detached program may still be seen on its device: the kernel lets go of a link from a
/// work queue, in milliseconds even on a busy host.
pub const DETACH_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at it.
pub const DETACH_POLL: Duration = Duration::from_millis(5);

/// Between two looks at whether the program is still on every interface, where nothing is heard of a
/// change: somebody who detaches a link is not told of by netlink. One list of devices each time.
pub const XDP_CHECK: Duration = Duration::from_secs(5);

/// Between two looks into the buffer of sampled verdicts. It holds a few thousand; what does not
/// fit is lost, as suits samples.
pub const TRACE_POLL: Duration = Duration::from_millis(100);

// What the controller gives.

/// Bytes of a key of an item: a kind, and a DNS name or a token, each of which is shorter.
pub const MAX_ITEM_KEY_BYTES: usize = 320;
/// Bytes of all items that are held, encoded: 10,000 certificates with RSA chains, four times over.
pub const MAX_HELD_BYTES: usize = 256 << 20;
/// Bytes of the reason with which an item is refused. It is for people.
pub const MAX_REFUSAL_BYTES: usize = 200;
/// Between two writes of the last good bundle: a fleet in which much changes costs the disk one
/// write of all that is held in that time.
pub const LAST_GOOD_EVERY: Duration = Duration::from_secs(1);

// The connection to the controller.

/// Addresses of a controller: a name or two, or as many hosts as one that fails over has.
pub const MAX_CONTROLLER_ADDRESSES: usize = 8;
/// Addresses of a name that are tried: more are those of a service that is no controller.
pub const MAX_RESOLVED_ADDRESSES: usize = 4;
/// How long the look-up of a name may take. The resolver asks two servers within this.
pub const CONTROLLER_RESOLVE_WITHIN: Duration = Duration::from_secs(10);
/// How long TCP may take to connect: a SYN that is lost is sent again after one second and three
/// (RFC 6298 section 2.1).
pub const CONTROLLER_TCP_WITHIN: Duration = Duration::from_secs(4);
/// How long TLS may take, and HTTP/2 above it: two round trips each, with losses.
pub const CONTROLLER_HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How long the controller may take to make an identity: a signature and a write to its disk.
pub const CONTROLLER_RPC_WITHIN: Duration = Duration::from_secs(10);
/// A connection is asked for a sign of life this often, so that one that a firewall forgot is not
/// waited on for ever.
pub const CONTROLLER_PING_EVERY: Duration = Duration::from_secs(10);
/// How long that sign may take.
pub const CONTROLLER_PING_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of the header fields of an answer: a status, and a reason for people.
pub const MAX_CONTROLLER_HEADER_BYTES: u32 = 16 << 10;
/// Bytes of an identity, in a message and on disk: three certificates of an authority with RSA keys
/// are 5 kB.
pub const MAX_IDENTITY_BYTES: usize = 64 << 10;
/// Bytes of a file with an invitation that are read: it has 90, and a line end or two.
pub const MAX_INVITATION_FILE_BYTES: u64 = 1024;
/// Certificates of an identity, the authority's left out: the node's own, and two between.
pub const MAX_IDENTITY_CHAIN: usize = 3;
/// Bytes of what a controller says to people that are kept and logged.
pub const MAX_CONTROLLER_WORDS_BYTES: usize = 512;

/// How long the controller may take from the first byte of a stream to its welcome: a machine that
/// starts, and a few round trips with losses.
pub const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// Reports that we live are not sent more often, whatever the controller asks for.
pub const MIN_KEEPALIVE: Duration = Duration::from_millis(50);
/// Reports that we live are sent at least so often, whatever the controller asks for: a network
/// that forgets idle flows does so after minutes.
pub const MAX_KEEPALIVE: Duration = Duration::from_secs(30);
/// The first wait after the controller could not be followed.
pub const RECONNECT_MIN: Duration = Duration::from_millis(200);
/// The longest one: half of the default lease, for a controller that restarts counts as live who is
/// back by then. A thousand nodes are 300 handshakes a second.
pub const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// A stream that lasted for this long was a good one: the waits begin anew.
pub const GOOD_STREAM: Duration = Duration::from_secs(10);
/// What was refused and may be taken now is tried again so often.
pub const REFUSED_AGAIN: Duration = Duration::from_secs(30);
/// Between two tries to renew the identity, when a third of its life is left: eight hours.
pub const RENEW_AGAIN: Duration = Duration::from_secs(60);
/// How often a wait by the calendar looks at it: clocks are set while we wait.
pub const CALENDAR_LOOK: Duration = Duration::from_secs(60);
/// While a node waits for its first bundle the service manager is told so often, so that it goes on
/// waiting: its own patience is 90 s by default.
pub const FIRST_TOLD_EVERY: Duration = Duration::from_secs(10);
/// How long the start waits for threads that the wait for the first bundle has left: look-ups of
/// names, which end by themselves.
pub const FIRST_THREADS_WITHIN: Duration = Duration::from_secs(2);
/// A controller that is not followed for the same reason is complained of so often, and servers of an
/// origin whose TLS is not acceptable.
pub const COMPLAIN_AGAIN: Duration = Duration::from_secs(60);
