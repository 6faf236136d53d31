//! What Landfast's controller and its nodes say to each other.
//!
//! | module | job |
//! |---|---|
//! | [`message`] | the messages and services, made of `proto/` |
//! | [`position`] | which of two states is the later |
//! | [`key`] | the names of items |
//! | [`invitation`] | the one string that makes a host a node |
//! | [`secrets`] | the secrets that all nodes of a fleet share, and how they change without a connection lost |
//!
//! The controller and the edge share nothing else, and neither knows the other.

pub mod invitation;
pub mod key;
pub mod message;
pub mod position;
pub mod secrets;

/// The version of the protocol that this code speaks. It speaks to one older and one newer.
pub const PROTOCOL: u32 = 1;
/// What a node's certificate calls the node (`subjectAltName`, a URI), before its number.
pub const NODE_URI: &str = "landfast:node:";
/// Bytes of a message at most, encoded: above it a peer is broken, or none of ours.
pub const MAX_MESSAGE_BYTES: usize = 2 << 20;
/// Bytes of the items in one [`message::Bundle`] at most: room is left below
/// [`MAX_MESSAGE_BYTES`] for their frame, and one item is never larger.
pub const MAX_BUNDLE_BYTES: usize = 1 << 20;
/// Bytes of one item at most, encoded.
pub const MAX_ITEM_BYTES: usize = 256 << 10;
/// Bytes of [`message::Distributions`] at most: several hundred of them. In the controller's store,
/// where each quote and each end of a line takes two bytes, they are within [`MAX_ITEM_BYTES`].
pub const MAX_DISTRIBUTIONS_BYTES: usize = 120 << 10;
/// Items of a fleet at most: 10,000 certificates, a challenge for each, and 4,096 nodes fit.
pub const MAX_ITEMS: usize = 32_768;
