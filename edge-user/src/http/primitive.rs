//! Integers and strings as HPACK and QPACK write them (RFC 7541 section 5).
//!
//! | module | job |
//! |---|---|
//! | [`integer`] | integers that begin within a byte |
//! | [`huffman`] | the Huffman code |

pub(in crate::http) mod huffman;
pub(in crate::http) mod integer;
