//! Bounds of origins and of what is sent to them.

use std::time::Duration;

/// Origins of a node: one for each distribution ([`super::MAX_DISTRIBUTIONS`]). Each has a pool in
/// every worker and series in the metrics.
pub const MAX_ORIGINS: usize = 1000;
/// Servers of an origin. More stand behind a name or a balancer of their own: each worker keeps
/// connections to each.
pub const MAX_ORIGIN_SERVERS: usize = 32;
/// Bytes of a server's URL: the longest host name with scheme and port fit.
pub const MAX_SERVER_URL_BYTES: usize = 512;
/// The longest time that a server may be given to take a connection. Kernels give up after two
/// minutes (`tcp_syn_retries`), clients before.
pub const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the file names none: a lost SYN is sent again after 1 and 3 seconds.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time that a server may be given to think, or to say nothing between two pieces: an
/// hour is what long reports and polls are given.
pub const MAX_ORIGIN_TIMEOUT: Duration = Duration::from_secs(3600);
/// Where the file names none: what proxies give by custom.
pub const DEFAULT_ORIGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time that all of a request and its response may be given, where that is bounded.
pub const MAX_TOTAL_TIMEOUT: Duration = Duration::from_secs(86_400);
/// Connections of the process to one server: ports that one address has towards another.
pub const MAX_ORIGIN_CONNECTIONS: u32 = 65_535;
/// Where the file names none: what servers take by custom (`worker_connections`, `listen` backlogs).
pub const DEFAULT_ORIGIN_CONNECTIONS: u32 = 1024;
/// The longest time that a connection without requests is kept.
pub const MAX_ORIGIN_KEEP_ALIVE: Duration = Duration::from_secs(3600);
/// Where the file names none. Servers close after 60 or 75 seconds by custom; a request that meets
/// such an end is tried again.
pub const DEFAULT_ORIGIN_KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Failures in a row that a server may be allowed before it is left alone.
pub const MAX_FAILURES: u32 = 1000;
/// Where the file names none: one may be an accident, three are not.
pub const DEFAULT_FAILURES: u32 = 3;
/// The longest time that a worker leaves a server alone before it tries again.
pub const MAX_EJECT: Duration = Duration::from_secs(3600);
/// Where the file names none: a restart takes about so long.
pub const DEFAULT_EJECT: Duration = Duration::from_secs(10);
/// The longest time between two checks of a server's health.
pub const MAX_HEALTH_INTERVAL: Duration = Duration::from_secs(3600);
/// Where the file names none.
pub const DEFAULT_HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// For a check where the file names none. A server that takes longer keeps clients waiting as well.
pub const DEFAULT_HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// Checks in a row that may be asked for before a server is taken for well or ill.
pub const MAX_HEALTH_CHECKS: u32 = 100;
/// Good ones, where the file names none.
pub const DEFAULT_RISE: u32 = 2;
/// Bad ones, where the file names none.
pub const DEFAULT_FALL: u32 = 3;
/// Times that a request may have come through this fleet, or another of the same name, before it is
/// taken to go in circles: a site that asks another, or tiers of edges, make two.
pub const MAX_VIA_LOOPS: usize = 3;
/// Bytes of path and query of a check.
pub const MAX_HEALTH_PATH_BYTES: usize = 1024;

// What a worker does with them.

/// How long a client that expects 100 is waited for until it is told to go on, where the origin does
/// not say so: a second, after which curl does not wait any more either.
pub const EXPECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection may take with what is left of a request whose response has ended, before it
/// is closed instead of kept.
pub const ORIGIN_REST_WITHIN: Duration = Duration::from_secs(1);
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
