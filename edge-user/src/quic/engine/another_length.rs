//! Short headers whose connection ID is longer or shorter than this engine's own.
//!
//! They are of connections of an earlier process, or of a dead node, from before the fleet minted
//! another length. quinn-proto reads every short header with the one length that its endpoint has:
//! it would take such an ID for one that nobody minted, and the client would wait for its timeout.

use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::rand;
use edge_wire::Reason;
use edge_wire::cid::self_encoded_len;
use quinn_proto::Transmit;

use super::Engine;
use crate::quic::keys::RESET_TOKEN_LEN;

/// A stateless reset is not shorter, so that it looks like any packet (RFC 9000 section 10.3).
const MIN_RESET_LEN: usize = 21;
/// Nor need it be longer: a packet with a short header is rarely shorter than this.
const IDEAL_RESET_LEN: usize = 43;

impl Engine {
    /// Answers a short header whose ID is not of our length by a stateless reset, where its owner
    /// is known to be gone (RFC 9000 section 21.11). `None`: it is not such a datagram.
    pub(super) fn reset_another_length(
        &mut self,
        now: Instant,
        client: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) -> Option<Reason> {
        let id_len = self_encoded_len(*payload.get(1)?);
        if id_len == self.keys.mint.id_len() {
            return None;
        }
        let id = payload.get(1..1 + id_len)?;
        // One byte shorter than what it answers, so that two ends never reset one another without
        // end (RFC 9000 section 10.3.3).
        let length = (payload.len() - 1).min(IDEAL_RESET_LEN);
        if length < MIN_RESET_LEN || !self.keys.mint.may_reset(id) {
            return None;
        }
        if !self.resets.take(now) {
            return Some(Reason::ResetLimited);
        }
        let mut reset = vec![0; length];
        let (front, token) = reset.split_at_mut(length - RESET_TOKEN_LEN);
        rand::fill(front).ok()?;
        // A short header with the fixed bit.
        front[0] = 0x40 | (front[0] & 0x3f);
        token.copy_from_slice(&self.keys.resets.token(id));
        let transmit = Transmit {
            destination: client,
            ecn: None,
            size: length,
            segment_size: None,
            src_ip: Some(destination.ip()),
        };
        self.answer(transmit, reset);
        Some(Reason::ResetSent)
    }
}
