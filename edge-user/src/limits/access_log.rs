//! Bounds of the access log.

use std::time::Duration;

/// Bytes of a field of a line, before it is escaped: a path or a user agent that is longer is cut.
/// Log readers have trouble with lines of tens of kilobytes, and so long is what one client may make
/// of each.
pub const ACCESS_LOG_FIELD_BYTES: usize = 2048;
/// Bytes of lines of one worker that wait for the disk: what it makes in a tenth of a second at its
/// fastest. A disk that hangs costs no more than that.
pub const ACCESS_LOG_QUEUE_BYTES: usize = 4 << 20;
/// How long lines wait for others, so that they share a wake-up and a write. Nobody who follows the
/// log notices.
pub const ACCESS_LOG_GATHER: Duration = Duration::from_millis(50);
/// Requests of a worker that have ended and whose memory is kept for others: as many as end in one
/// turn of it.
pub const ACCESS_LOG_KEPT: usize = 256;
/// Bytes of a line up to which its memory is kept: most lines take half of it.
pub const ACCESS_LOG_KEPT_BYTES: usize = 1024;
/// How long the end of the process waits for a disk to take the last lines.
pub const ACCESS_LOG_CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// The mode of the file where it is made: it has addresses of clients in it, for their owner and for
/// those who ship logs.
pub const ACCESS_LOG_MODE: u32 = 0o640;
