//! Bounds of what operators configure under names, and of the origins that answer there.

use std::time::Duration;

/// Bytes of a DNS name as it is written (RFC 1035 section 2.3.4, without the root's length byte).
pub const MAX_HOST_NAME_BYTES: usize = 253;
/// Distributions of a node. A request costs the same whether there is one or a thousand; each has
/// four series in the metrics.
pub const MAX_DISTRIBUTIONS: usize = 1000;
/// Names of a distribution: as many as a certificate of a node may hold.
pub const MAX_DISTRIBUTION_NAMES: usize = 1000;
/// Behaviours of a distribution. A request is compared with each of its distribution's, which for
/// so many takes a microsecond.
pub const MAX_BEHAVIOURS: usize = 256;
/// Bytes of a behaviour's path: longer ones are no prefix that somebody wrote.
pub const MAX_BEHAVIOUR_PATH_BYTES: usize = 1024;
/// Bytes of the body of a fixed response, which is held in memory: what is longer is a file.
pub const MAX_RESPOND_BODY_BYTES: usize = 64 << 10;
/// Bytes of a redirect's target: what every client and proxy takes in a field.
pub const MAX_REDIRECT_BYTES: usize = 4 << 10;
/// Header rules of one place, each for one field: ten or so secure a site.
pub const MAX_HEADER_RULES: usize = 64;
/// Bytes of the names and values of one place's header rules. A distribution's and a behaviour's
/// stay well below the 64 KiB that clients take in all.
pub const MAX_HEADER_RULES_BYTES: usize = 16 << 10;
/// Bytes of the name of an index file (`NAME_MAX`).
pub const MAX_INDEX_NAME_BYTES: usize = 255;
/// Bytes of an origin's name: what fits in a metric label and a log line.
pub const MAX_ORIGIN_NAME_BYTES: usize = 64;
/// Origins of a node: one for each distribution ([`MAX_DISTRIBUTIONS`]). Each has a pool in
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
/// Bytes of path and query of a check.
pub const MAX_HEALTH_PATH_BYTES: usize = 1024;
