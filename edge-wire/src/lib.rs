//! Every byte that crosses between two of Landfast's programs, defined once.
//!
//! The kernel programs (`edge-ebpf`) and the process (`edge-user`) both build on this crate, so
//! there is one parser, one connection-ID codec and one table of reasons. It reads no clock and
//! no socket, allocates nothing and needs no `std`.
//!
//! | module | job |
//! |---|---|
//! | [`cursor`] | bounded reading, the one way to take bytes from a packet |
//! | [`admit`] | early drops and budgets |
//! | [`dissect`] | Ethernet, IP, UDP and the version-independent part of QUIC (RFC 8999) |
//! | [`cid`] | QUIC-LB connection IDs, both directions |
//! | [`aes`] | AES-128 for connection IDs, where the kernel has no other |
//! | [`anycast`] | the set of anycast addresses |
//! | [`siphash`] | SipHash-1-3: the encapsulation tag and the worker hash |
//! | [`tunnel`] | node-to-node encapsulation: header, tag, outer and inner addresses |
//! | [`maps`] | names, keys and values of the kernel maps, sizes asserted |
//! | [`reason`] | why a packet ended as it did |
//! | [`mod@bench`] | what the bench of the kernel programs says to them |
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))] // one place, in siphash.rs
#![deny(unsafe_code)] // two exceptions, in maps.rs and siphash.rs, with their proof

#[cfg(test)]
extern crate std;

pub mod admit;
pub mod aes;
pub mod anycast;
pub mod bench;
pub mod cid;
pub mod cursor;
pub mod dissect;
pub mod maps;
pub mod reason;
pub mod siphash;
pub mod tunnel;

pub use reason::Reason;
