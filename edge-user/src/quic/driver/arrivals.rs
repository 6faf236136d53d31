//! Where each datagram goes that arrives at a worker.

use bytes::BytesMut;
use edge_wire::{Reason, cid};
use quinn_udp::RecvMeta;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::sync::mpsc;

use super::ToWorker;
use crate::admission::door::Door;
use crate::limits;
use crate::quic::cid::{MintError, Owner, Owners, Route};
use crate::quic::socket::{Train, canonical};
use crate::quic::streams::SharedEngine;
use crate::quic::{Datagram, Via};
use crate::relay::ToRelay;
use fleet_wire::secrets::Secrets;

/// Finds the owner of every datagram and counts how it ended.
pub(super) struct Arrivals {
    engine: SharedEngine,
    owners: Owners,
    peers: Vec<mpsc::Sender<ToWorker>>,
    relay: Option<mpsc::Sender<ToRelay>>,
    door: Door,
    /// The connection ID before, and its owner: a train mostly has one.
    last: Option<([u8; cid::MAX_LEN], Owner)>,
    pub(super) reasons: [u64; Reason::COUNT as usize],
    pub(super) bytes: u64,
    pub(super) datagrams: u64,
}

impl Arrivals {
    pub(super) fn new(
        engine: SharedEngine,
        owners: Owners,
        peers: Vec<mpsc::Sender<ToWorker>>,
        relay: Option<mpsc::Sender<ToRelay>>,
        door: Door,
    ) -> Self {
        Self {
            engine,
            owners,
            peers,
            relay,
            door,
            last: None,
            reasons: [0; Reason::COUNT as usize],
            bytes: 0,
            datagrams: 0,
        }
    }

    /// Has the engine make and read by other secrets, and finds owners by them.
    pub(super) fn change_secrets(&mut self, secrets: &Secrets) -> Result<(), MintError> {
        let owners = self.owners.with_secrets(secrets);
        self.engine.borrow().change_secrets(secrets, &owners)?;
        self.owners = owners;
        self.last = None;
        Ok(())
    }

    /// Forgets the last owner, and looks at the rules anew: what is known of nodes, and who is let
    /// in, may have changed since.
    pub(super) fn new_turn(&mut self) {
        self.last = None;
        self.door.new_turn();
    }

    /// Takes in a train from the socket, which is bound to `port`.
    pub(super) fn train(&mut self, now: Instant, port: u16, train: &Train<'_>) {
        let RecvMeta { addr, stride, ecn, dst_ip, .. } = train.meta;
        let client = canonical(addr);
        let address = dst_ip.unwrap_or(std::net::Ipv6Addr::UNSPECIFIED.into());
        let destination = canonical(SocketAddr::new(address, port));
        // One without a byte is no chunk, and a datagram all the same.
        let empty = train.bytes.is_empty().then_some(train.bytes);
        for bytes in train.bytes.chunks(stride.max(1)).chain(empty) {
            self.bytes += bytes.len() as u64;
            self.datagrams += 1;
            if bytes.len() > limits::MAX_DATAGRAM_BYTES {
                self.reasons[Reason::Oversized as usize] += 1;
                continue;
            }
            // Each has its own buffer, so that a byte that is kept does not keep the whole train.
            let payload = BytesMut::from(bytes);
            self.datagram(now, Datagram { client, destination, ecn, payload, via: Via::Wire });
        }
    }

    /// Takes in one datagram, from wherever.
    pub(super) fn datagram(&mut self, now: Instant, datagram: Datagram) {
        if let Err(reason) = self.door.admit(now, &datagram) {
            self.reasons[reason as usize] += 1;
            return;
        }
        let owner = self.owner(&datagram.payload);
        let reason = match owner.route(datagram.via, self.relay.is_some()) {
            Route::Engine => match self.engine.borrow_mut().handle_datagram(now, datagram) {
                Reason::Ignored if owner == Owner::Unknown => Reason::OwnerUnknown,
                reason => reason,
            },
            Route::Worker(worker) => self.hand_over(worker, datagram),
            Route::Node(node) => self.forward(node, datagram),
            Route::Drop(reason) => reason,
        };
        self.reasons[reason as usize] += 1;
    }

    fn owner(&mut self, payload: &[u8]) -> Owner {
        let mut id = match payload.split_first_chunk::<{ cid::MAX_LEN + 1 }>() {
            Some(([first, id @ ..], _)) if first & 0x80 == 0 => *id,
            _ => return self.owners.of(payload),
        };
        let length = cid::self_encoded_len(id[0]);
        if let Some(behind) = id.get_mut(length..) {
            behind.fill(0);
        }
        match self.last {
            Some((last, owner)) if last == id => owner,
            _ => {
                let owner = self.owners.of(payload);
                self.last = Some((id, owner));
                owner
            }
        }
    }

    fn hand_over(&self, worker: u8, datagram: Datagram) -> Reason {
        let Some(peer) = self.peers.get(usize::from(worker)) else {
            return Reason::OwnerElsewhere;
        };
        match peer.try_send(ToWorker::Datagram(Datagram { via: Via::Worker, ..datagram })) {
            Ok(()) => Reason::HandedOver,
            Err(_) => Reason::QueueFull,
        }
    }

    fn forward(&self, node: u16, datagram: Datagram) -> Reason {
        match self.relay.as_ref().map(|relay| relay.try_send(ToRelay { node, datagram })) {
            Some(Ok(())) => Reason::Forwarded,
            Some(Err(_)) => Reason::QueueFull,
            None => Reason::OwnerElsewhere,
        }
    }
}

#[cfg(test)]
mod tests;
