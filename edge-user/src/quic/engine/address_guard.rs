//! How much a connection sends to an address that nobody has shown to be the client's.
//!
//! Until a client has shown that it receives at an address, no more than three times what came
//! from there goes there (RFC 9000 sections 8.1 and 9.3): else whoever writes a victim's address
//! into a datagram has us send much for little. quinn-proto keeps that bound by datagrams begun,
//! so it passes it by up to one, and not at all for path MTU probes and for a PATH_RESPONSE beside
//! the path, which it pads to 1,200 bytes whatever asked for it. Here the bytes are counted.
//!
//! An address is an IP address: another port of the same host is no other victim.

use std::net::IpAddr;
use std::time::Instant;

use crate::limits;

/// What is sent for each byte that came.
const AMPLIFICATION: u64 = 3;
/// The size that quinn-proto pads to, and the smallest it may be held to: a path that carries no
/// more than less carries no QUIC (RFC 9000 section 14).
const DATAGRAM_BYTES: u64 = 1200;

/// The addresses of one connection.
pub(super) struct AddressGuard {
    /// Where the client was shown to be.
    home: Option<IpAddr>,
    /// Where it is said to be.
    stranger: Option<Box<Stranger>>,
    /// When it may change its address as often as at first.
    changes_full_at: Option<Instant>,
}

struct Stranger {
    address: IpAddr,
    received: u64,
    sent: u64,
    /// What may be sent whatever was received.
    grace: u64,
    grace_since: Option<Instant>,
    /// PATH_RESPONSE frames of the connection before the first datagram from here.
    responses: u64,
}

impl AddressGuard {
    /// Of a connection whose first datagram had so many bytes; a token in it may have shown
    /// already that the client is there (RFC 9000 section 8.1.2).
    pub(super) fn new(client: IpAddr, validated: bool, bytes: u64) -> Self {
        let first = Stranger {
            address: client,
            received: bytes,
            sent: 0,
            // A client's first datagram has 1,200 bytes at least.
            grace: 0,
            grace_since: None,
            responses: 0,
        };
        Self {
            home: validated.then_some(client),
            stranger: (!validated).then(|| Box::new(first)),
            changes_full_at: None,
        }
    }

    /// The handshake has completed: the client is where it was.
    pub(super) fn handshake_completed(&mut self) {
        if self.home.is_none() {
            self.home = self.stranger.take().map(|stranger| stranger.address);
        }
    }

    /// A datagram has come, of a connection that has had so many PATH_RESPONSE frames by now.
    /// Whether it may be looked at.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: IpAddr,
        bytes: u64,
        responses: impl FnOnce() -> u64,
    ) -> bool {
        if self.home == Some(from) {
            return true;
        }
        if let Some(stranger) = &mut self.stranger
            && stranger.address == from
        {
            stranger.received += bytes;
            stranger.give_grace(now);
            return true;
        }
        // A client keeps its address until the handshake is confirmed (RFC 9000 section 9).
        if self.home.is_none() || !self.take_change(now) {
            return false;
        }
        self.stranger = Some(Box::new(Stranger {
            address: from,
            received: bytes,
            sent: 0,
            grace: DATAGRAM_BYTES,
            grace_since: Some(now),
            responses: responses(),
        }));
        true
    }

    /// A datagram from there was looked at; the connection sends to `path` and has had so many
    /// PATH_RESPONSE frames. A response that is none is seen here only as one that came: that
    /// quinn-proto did not take it is its own bound's matter.
    pub(super) fn received(&mut self, from: IpAddr, path: IpAddr, responses: impl FnOnce() -> u64) {
        if let Some(home) = self.home
            && home != from
            && path == from
            && self.stranger.as_ref().is_some_and(|stranger| {
                stranger.address == from && responses() > stranger.responses
            })
        {
            self.home = Some(from);
            self.stranger = None;
        }
    }

    /// Whether any address is in doubt, and so datagrams are counted one by one.
    pub(super) fn in_doubt(&self) -> bool {
        self.stranger.is_some()
    }

    /// Whether another datagram may be made for `path`.
    pub(super) fn may_begin(&self, path: IpAddr) -> bool {
        match &self.stranger {
            Some(stranger) if self.home != Some(path) => {
                stranger.address != path || stranger.may_send(DATAGRAM_BYTES)
            }
            _ => true,
        }
    }

    /// Whether so many bytes may go there; they are counted if so.
    pub(super) fn send(&mut self, to: IpAddr, bytes: u64) -> bool {
        if self.home == Some(to) {
            return true;
        }
        match &mut self.stranger {
            Some(stranger) if stranger.address == to && stranger.may_send(bytes) => {
                stranger.sent += bytes;
                true
            }
            _ => false,
        }
    }

    /// Clients move seldom; who changes addresses like this writes them himself.
    fn take_change(&mut self, now: Instant) -> bool {
        let full_at = self.changes_full_at.map_or(now, |at| at.max(now));
        let full_at = full_at + limits::ADDRESS_CHANGE_EVERY;
        let wait = full_at.saturating_duration_since(now);
        let taken = wait <= limits::ADDRESS_CHANGE_EVERY * limits::ADDRESS_CHANGES_AT_ONCE;
        if taken {
            self.changes_full_at = Some(full_at);
        }
        taken
    }
}

impl Stranger {
    fn may_send(&self, bytes: u64) -> bool {
        self.sent + bytes <= (AMPLIFICATION * self.received).max(self.grace)
    }

    /// A client that moves in the middle of a download sends acknowledgements of 40 bytes, and
    /// quinn-proto's PATH_CHALLENGE has 1,200: without this it would never be challenged. One, and
    /// another where that was lost.
    fn give_grace(&mut self, now: Instant) {
        let most = DATAGRAM_BYTES * limits::PATH_CHALLENGES_IN_ADVANCE;
        if self.grace_since.is_some_and(|at| now >= at + limits::PATH_CHALLENGE_EVERY)
            && self.grace < most
        {
            self.grace += DATAGRAM_BYTES;
            self.grace_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_client_is_sent_thrice_its_bytes_until_its_handshake_is_done() {
        let mut guard = AddressGuard::new(ip(1), false, 1250);
        assert!(guard.may_begin(ip(1)));
        assert!((0..3).all(|_| guard.send(ip(1), 1200)));
        assert!(!guard.may_begin(ip(1)), "150 bytes are left");
        assert!(guard.send(ip(1), 150));
        assert!(!guard.send(ip(1), 1));
        guard.handshake_completed();
        assert!(guard.send(ip(1), 1 << 20));
        assert!(!guard.in_doubt());
    }

    #[test]
    fn another_address_is_sent_one_challenge_and_then_thrice_its_bytes() {
        let now = Instant::now();
        let mut guard = AddressGuard::new(ip(1), true, 1200);
        assert!(guard.receive(now, ip(2), 40, || 0));
        assert!(guard.send(ip(2), 1200));
        assert!(!guard.may_begin(ip(2)));
        assert!(guard.may_begin(ip(1)) && guard.send(ip(1), 5000), "home stays home");
        assert!(guard.receive(now, ip(2), 760, || 0));
        assert!(guard.send(ip(2), 1200), "800 bytes came");
        assert!(!guard.send(ip(2), 1));
        assert!(!guard.send(ip(3), 40), "nothing came from there");
    }

    #[test]
    fn a_response_from_the_path_makes_it_home() {
        let now = Instant::now();
        let mut guard = AddressGuard::new(ip(1), true, 1200);
        assert!(guard.receive(now, ip(2), 40, || 4));
        guard.received(ip(2), ip(2), || 4);
        assert!(guard.in_doubt());
        guard.received(ip(2), ip(1), || 5);
        assert!(guard.in_doubt(), "it was a probe: the path is another");
        guard.received(ip(2), ip(2), || 5);
        assert!(guard.send(ip(2), 1 << 20));
    }

    #[test]
    fn a_lost_challenge_is_sent_again_a_few_times() {
        let mut now = Instant::now();
        let mut guard = AddressGuard::new(ip(1), true, 1200);
        let mut sent = 0;
        for _ in 0..20 {
            assert!(guard.receive(now, ip(2), 1, || 0));
            sent += u64::from(guard.send(ip(2), 1200));
            now += limits::PATH_CHALLENGE_EVERY;
        }
        assert_eq!(sent, limits::PATH_CHALLENGES_IN_ADVANCE);
    }

    #[test]
    fn addresses_that_change_without_end_are_not_looked_at() {
        let mut now = Instant::now();
        let mut guard = AddressGuard::new(ip(0), true, 1200);
        let looked_at = (1..100).filter(|last| guard.receive(now, ip(*last), 40, || 0)).count();
        assert_eq!(looked_at, limits::ADDRESS_CHANGES_AT_ONCE as usize);
        now += limits::ADDRESS_CHANGE_EVERY + Duration::from_millis(1);
        assert!(guard.receive(now, ip(100), 40, || 0));
        assert!(!guard.receive(now, ip(101), 40, || 0));
        assert!(guard.receive(now, ip(0), 40, || 0), "home is");
    }
}
