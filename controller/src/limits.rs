//! Every bound of the controller, with its why.

/// Deletions that are remembered, so that a node that was away for a while is told of them instead
/// of being sent everything: more than a busy day of challenges.
pub const MAX_TOMBSTONES: usize = 16_384;
/// Bytes of a record at most, before it is sealed: that of an item that nodes take.
pub const MAX_RECORD_BYTES: usize = fleet_wire::MAX_ITEM_BYTES;
/// Records written by one change at most: a transaction is held in memory twice.
pub const MAX_WRITES: usize = 1_024;
