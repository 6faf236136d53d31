//! Every bound of the controller, with its why.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Deletions that are remembered, so that a node that was away for a while is told of them instead
/// of being sent everything: more than a busy day of challenges.
pub const MAX_TOMBSTONES: usize = 16_384;
/// Bytes of a record at most, before it is sealed: that of an item that nodes take.
pub const MAX_RECORD_BYTES: usize = fleet_wire::MAX_ITEM_BYTES;
/// Bytes of a record's key at most: the longest name with its kind, `challenge/tls-alpn-01/`, has 275.
/// Nodes name items by it.
pub const MAX_KEY_BYTES: usize = 320;
/// Records written by one change at most: a transaction is held in memory twice.
pub const MAX_WRITES: usize = 1_024;

// The configuration file.

/// `listen` where the file names none: any address, as nodes come from outside.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 4840);
/// `metrics.listen` where the table names none: the figures are for this host alone.
pub const DEFAULT_METRICS_LISTEN: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9444);
/// `store.path` where the file names none: systemd's StateDirectory= of our unit.
pub const DEFAULT_STORE: &str = "/var/lib/landfast-controller/store.redb";
/// `store.key_file` where the file names none: not beside the store, so that whoever copies that
/// directory away has no key.
pub const DEFAULT_KEY_FILE: &str = "/etc/landfast/controller.key";
/// `admin.socket` where the file names none: systemd's RuntimeDirectory= of our unit.
pub const DEFAULT_SOCKET: &str = "/run/landfast-controller/admin.sock";
/// Names and addresses that nodes reach the controller by: each stands in its certificate, which
/// every handshake carries.
pub const MAX_NAMES: usize = 32;
/// Bytes of an issuer's or a certificate's name: that of the longest DNS name (RFC 1035 section
/// 2.3.4).
pub const MAX_ID_BYTES: usize = 253;
/// A lease where the file names none: three reports may be lost or late.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(10);
/// The shortest: the delays of a busy host must not end it.
pub const MIN_LEASE: Duration = Duration::from_millis(100);
/// The longest: for this long a dead node holds up what waits for every live one.
pub const MAX_LEASE: Duration = Duration::from_secs(300);
/// Time between reports where the file names none.
pub const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(3);
/// The shortest: 1,000 nodes are then 50,000 reports a second, more is no use.
pub const MIN_KEEPALIVE: Duration = Duration::from_millis(20);

/// Orders at a time at one issuer: each of them asks nodes and holds a connection.
pub const MAX_CONCURRENT_ORDERS: usize = 100;
/// New orders in an hour at one issuer: their times are remembered, and 10,000 certificates of six
/// days need 110.
pub const MAX_ORDERS_PER_HOUR: usize = 10_000;
/// Names in `allow` or `deny`: each name of each certificate is held against all of them.
pub const MAX_POLICY_NAMES: usize = 1_000;
/// Certificates whose files are looked at: two stat(2) each, in one go.
pub const MAX_IMPORTS: usize = 1_000;
/// Any wait on the way to a certificate, where the file says how long: an hour of those that live
/// six days.
pub const MAX_CERTIFICATE_TIME: Duration = Duration::from_secs(3600);

// Rotation.

/// Time from one rotation of a kind to the next, at most: a year, after which nobody remembers how.
pub const MAX_ROTATION: Duration = Duration::from_secs(366 * 24 * 3600);
/// Of ticket keys: the lifetime of a ticket, so that one of two keys opens each that lives.
pub const DEFAULT_TICKET_ROTATION: Duration = Duration::from_secs(12 * 3600);
/// Of token keys: the lifetime of a NEW_TOKEN token, for the same reason.
pub const DEFAULT_TOKEN_ROTATION: Duration = Duration::from_secs(24 * 3600);
/// Of connection-ID configs: an observer who learns a key learns a week.
pub const DEFAULT_CONNECTION_ID_ROTATION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Of encapsulation keys: as of connection IDs.
pub const DEFAULT_ENCAPSULATION_ROTATION: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long nodes use a connection ID, where the file names nothing else: their own default.
pub const DEFAULT_CONNECTION_ID_LIFETIME: Duration = Duration::from_secs(4 * 3600);

// Identities.

/// Of the controller's own authority: it is made once, and nodes are invited anew for another.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Of a node's certificate: short, so that what is stolen is soon worth nothing; long enough for a
/// night without the controller.
pub const IDENTITY_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Of the controller's certificate, which each start makes anew.
pub const SERVER_LIFETIME: Duration = Duration::from_secs(2 * 365 * 24 * 3600);
/// How far a node's clock may be behind.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);

// The listener of nodes.

/// Connections at once: a fleet of 4,096 nodes, each with an old and a new one.
pub const MAX_CONNECTIONS: usize = 8_192;
/// Of those, one node's: an old and a new one, and as many that broke without a word.
pub const MAX_CONNECTIONS_OF_NODE: usize = 4;
/// TLS handshakes at once: who connects and says nothing holds one until [`HANDSHAKE_WITHIN`].
pub const MAX_HANDSHAKES: usize = 256;
/// Of those, one host's: others find a place whatever it does. A fleet behind one address waits for
/// itself.
pub const MAX_HANDSHAKES_OF_HOST: usize = 32;
/// Connections that wait for the handshakes of their own host: a thousand nodes behind one address
/// come back at a time. Each is a socket, and nothing else yet.
pub const MAX_WAITING: usize = 1_024;
/// Connections whose handshake is done and that nobody serves yet.
pub const MAX_ACCEPTED: usize = 64;
/// A TLS handshake takes three round trips; more is a stranger's.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// After an error of `accept`, most likely too many open files.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Streams of one connection: a node has one that follows, and renews by another.
pub const MAX_STREAMS: u32 = 4;
/// Bytes of a request's header fields.
pub const MAX_HEADER_BYTES: u32 = 16 << 10;
/// Bytes of an enrolment: a token and a certificate request.
pub const MAX_ENROLMENT_BYTES: usize = 64 << 10;
/// A connection that answers no PING for this long is gone.
pub const HTTP2_KEEPALIVE: Duration = Duration::from_secs(20);
/// From a stream's begin to its Hello.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// A node gets everything again after this, in case something went wrong unseen.
pub const RESYNC: Duration = Duration::from_secs(3600);
/// Between the resyncs of two nodes.
pub const RESYNC_SPREAD: Duration = Duration::from_secs(30);
/// Bytes of a node's version that are kept and logged.
pub const MAX_VERSION_BYTES: usize = 64;
/// Bytes of a part of a bundle: what each node that does not read holds of memory, a few times.
pub const PART_BYTES: usize = 64 << 10;
/// Connections at once without a certificate of a node that is known: they enrol, and have no place
/// among the nodes.
pub const MAX_STRANGERS: usize = 128;
/// Of those, one host's: as many may enrol at a time behind one address, and others still can.
pub const MAX_STRANGERS_OF_HOST: usize = 32;
/// A stranger's connection ends after this: an enrolment is one request.
pub const STRANGER_TIME: Duration = Duration::from_secs(30);
/// Bytes of a node's reason that are kept and logged.
pub const MAX_REASON_BYTES: usize = 512;
/// For how long packets may be under way that a node encapsulated with a key: an hour, for nodes
/// that are away from the controller and go on with the old one. Keeping it costs nothing.
pub const ENCAPSULATION_LIFETIME: Duration = Duration::from_secs(3600);
/// The rotation looks again this often, whatever it is told: what is due by time is noticed.
pub const ROTATION_LOOK: Duration = Duration::from_secs(5);
/// Commands for the rotation that wait for it: more are refused.
pub const MAX_ROTATION_ASKS: usize = 16;

// Commands.

/// An order whose failure or end cannot be kept, because the store fails, is gone on with after this.
pub const KEEP_AGAIN: Duration = Duration::from_secs(10);
/// Bytes of why an order fails: an authority's words are among them.
pub const MAX_TROUBLE_BYTES: usize = 1_000;
/// Bytes of a challenge's token: 128 bits in base64url at least (RFC 8555 section 8.3); those of
/// public authorities have 43.
pub const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 22..=128;
/// Commands at once: an operator's, and a script's or two.
pub const MAX_COMMANDS: usize = 16;
/// A command is answered within this, or the controller hangs. A backup takes longest.
pub const COMMAND_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of an answer: 10,000 certificates with a few names each.
pub const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Bytes of a backup in one message.
pub const BACKUP_PIECE_BYTES: usize = 256 << 10;
/// Names of one certificate: what public authorities allow.
pub const MAX_CERTIFICATE_NAMES: usize = 100;
/// For how long an invitation is worth something where the command says nothing else.
pub const DEFAULT_INVITATION: Duration = Duration::from_secs(24 * 3600);
/// The longest: a month in which a token may be found.
pub const MAX_INVITATION: Duration = Duration::from_secs(31 * 24 * 3600);
/// A stop waits this long for commands in progress.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

// The listener of metrics.

/// Connections at once: a few scrapers and a person.
pub const MAX_METRICS_CONNECTIONS: usize = 16;
/// One request and its answer take no longer.
pub const METRICS_CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Bytes of a request's head: hyper's least.
pub const METRICS_HEAD_BYTES: usize = 8192;

/// Commands about certificates that wait for the task of orders: more are refused.
pub const MAX_ORDER_ASKS: usize = 16;

// When a certificate is due.

/// The longest wait after failures, where the authority names none: four tries a day find out soon
/// that a name points here again, and ask nothing of an authority.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(6 * 3600);
/// The longest that an authority is believed: limits of public ones are over in a week. An attempt that
/// is planned for later was planned by a clock that has jumped back since, and does not count.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// The shortest wait: an authority that has just failed is not asked again at once.
pub const SHORTEST_BACKOFF: Duration = Duration::from_secs(2);
/// The first wait for what has no certificate, or one that lives long: a restart of whatever was in
/// the way is over by then.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(60);
/// However long nothing is due, this often is looked: the clock may jump meanwhile.
pub const RENEWAL_LOOK: Duration = Duration::from_secs(10 * 60);
/// A certificate whose window has begun is renewed this long after it was issued at the earliest: an
/// authority that suggests the past for whatever it issues is not asked in a loop.
pub const REST_IN_A_WINDOW: Duration = Duration::from_secs(3600);
/// An authority's clock may be ahead of ours by this much: what is more is a clock that was set.
pub const CLOCKS_APART: Duration = Duration::from_secs(3600);

// Orders at authorities.

/// Orders at a time at one issuer where the file names none: ten tasks that wait most of the time.
pub const DEFAULT_CONCURRENT_ORDERS: usize = 10;
/// New orders in an hour where the file names none: well below public authorities, which count 300
/// in three hours.
pub const DEFAULT_ORDERS_PER_HOUR: usize = 90;
/// Orders at a time at the internal issuer, which is this machine: a few for each core.
pub const INTERNAL_ORDERS: usize = 64;
/// Orders whose time is remembered, for each issuer: twice what one may be allowed in an hour
/// ([`MAX_ORDERS_PER_HOUR`]). The internal issuer may this many, so that it never runs in a loop.
pub const MAX_ORDERS_REMEMBERED: usize = 20_000;
/// Between two rounds at least: a change of the ledger begins one, and orders change it themselves.
pub const ROUNDS_APART: Duration = Duration::from_millis(50);
/// How often the same is tried at once after `badNonce` (RFC 8555 section 6.5): where one in five is
/// refused, less than one in a million fails.
pub const NONCE_ATTEMPTS: u32 = 8;
/// Orders of a list that are looked at, from its end: an order that was lost is among the last.
pub const LISTED_ORDERS: usize = 10;
/// Bytes of an authority's answer: a chain is a few thousand.
pub const MAX_ACME_ANSWER_BYTES: usize = 1 << 20;
/// One answer of an authority, where the file names no time: public ones take a second or two.
pub const DEFAULT_ACME_REQUEST: Duration = Duration::from_secs(30);
/// Until an authority is convinced or has issued, where the file names no time: it asks from several
/// places, and again.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(120);
/// The first wait between two looks at an order: an authority that is near is done by then.
pub const ORDER_LOOK_MIN: Duration = Duration::from_millis(50);
/// The longest one, so that a slow authority is asked forty times in [`DEFAULT_SETTLE`].
pub const ORDER_LOOK_MAX: Duration = Duration::from_secs(3);
/// How long the command for dns-01 has: providers of DNS take their time.
pub const HOOK_WITHIN: Duration = Duration::from_secs(120);
/// Bytes of what it says that are shown: its last words are in its own log.
pub const HOOK_SHOWN_BYTES: usize = 500;

// The barrier.

/// How long everybody is waited for, where the file names no time: a node that reconnects or is
/// started again is back by then.
pub const DEFAULT_BARRIER: Duration = Duration::from_secs(30);
/// An order waits this many deadlines at most. Then, without a certificate that works, the authority
/// is told anyway, and at worst says no; with one, the order fails and is tried again later.
pub const BARRIER_PATIENCE_DEADLINES: u32 = 10;
/// One in this many nodes may be late: when more are, it is no fault of theirs.
pub const BARRIER_LATE_ONE_IN: usize = 10;
/// Until routes have left a drained node, where the file names no time: those of a site take a second
/// or two.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(5);
/// Nodes asked at a time by one order: a thousand are asked in a second, with few sockets.
pub const PROBES_AT_A_TIME: usize = 64;
/// How long a node has for one answer: it is asked again.
pub const PROBE_WITHIN: Duration = Duration::from_secs(3);
/// A node that answered wrongly is asked again after this long: soon enough for nobody to notice.
pub const PROBE_AGAIN: Duration = Duration::from_millis(250);
/// Bytes of a node's answer: a key authorization is less than two hundred.
pub const MAX_PROBE_ANSWER_BYTES: usize = 4_096;
/// What is waited for is logged this often: three times before the deadline.
pub const BARRIER_SAID_EVERY: Duration = Duration::from_secs(10);
/// Late nodes that are named: one line of the log.
pub const BARRIER_SHOWN_NODES: usize = 20;

// Windows of renewal (RFC 9773).

/// Between two questions about one certificate at least, whatever the authority says (section 4.3.2).
pub const WINDOW_ASK_MIN: Duration = Duration::from_secs(60);
/// The longest time between them (section 4.3.2).
pub const WINDOW_ASK_MAX: Duration = Duration::from_secs(24 * 3600);
/// Where the authority does not say: as section 4.3.3 has it after errors that last.
pub const WINDOW_ASK_DEFAULT: Duration = Duration::from_secs(6 * 3600);
/// Questions at a time at one authority: ten thousand certificates are asked for in minutes.
pub const WINDOW_ASKS: usize = 8;
/// For how long it is known where, or that, an authority has no renewal information: its directory
/// changes once in years.
pub const WINDOW_PLACE_GOOD_FOR: Duration = Duration::from_secs(3600);

// Certificates.

/// Certificates in a chain: public ones have two to four.
pub const MAX_CHAIN: usize = 8;
/// Bytes of an imported file: a chain of eight with keys of 4,096 bits is a quarter of that.
pub const MAX_IMPORT_BYTES: u64 = 128 << 10;
/// Between two looks at imported files, where the file names no time: two stat(2) each.
pub const DEFAULT_IMPORT_LOOK: Duration = Duration::from_secs(60);
/// Of a certificate of the internal issuer: as long as public ones, which renewals are used to.
pub const INTERNAL_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// Of its authority: clients trust it by hand, so it outlives the machines that they are.
pub const INTERNAL_AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
