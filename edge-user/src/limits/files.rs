//! Bounds of static files.

use std::time::Duration;

/// Threads of each worker that open and read files. A disk that hangs holds up so many reads, and
/// no request that needs no file.
pub const FILE_THREADS: usize = 4;
/// How long such a thread waits for work before it ends.
pub const FILE_THREAD_IDLE: Duration = Duration::from_secs(10);
/// Answers from files that are under way in the whole process; it has less where it may not open so
/// many files. Each is a chunk or two of 64 KiB that a client has not taken: all of them together are
/// 2 GiB.
pub const MAX_OPEN_FILES: usize = 16_384;
/// A disk that has not answered in this time is not waited for by a client.
pub const LOOK_UP_WITHIN: Duration = Duration::from_secs(10);
/// A look-up is tried again so often where somebody renames directories at the same time (`EAGAIN`,
/// openat2(2)).
pub const LOOKUP_TRIES: usize = 8;
/// Entries of `Accept-Encoding` that are read: there are a dozen codings in all.
pub const MAX_ACCEPTED_CODINGS: usize = 32;
/// Entity tags of a condition that are read: a cache sends the few that it has.
pub const MAX_CONDITION_TAGS: usize = 64;
