//! The packets, one for each path, and what has to become of them.

use std::net::{IpAddr, SocketAddr};

use edge_wire::Reason;
use edge_wire::bench::{HARNESS, IDS, Id, MAX_IDS, PASS, RESTORED, ROTATED, UNDO, undo};
use edge_wire::cid::{Codec, ServerId};

use super::fleet::{
    ANOTHER, ELSEWHERE, ENCRYPTED, FOUR_PASS, KEY, KEY_ID, NODES, OURSELVES, PLAIN, PORT,
    address_of, config_key, id_len,
};
use crate::kernel::Kernel;
use crate::packet::{Encapsulation, Packet, VLAN, filling, long_header, short_header};

/// Bytes behind the connection ID: a full packet, which still fits with the outer headers.
const REST: usize = 1180;

/// A way through the program.
pub(super) struct Path {
    pub(super) name: String,
    pub(super) program: &'static str,
    /// What it is compared with.
    pub(super) against: String,
    pub(super) frame: Vec<u8>,
    pub(super) reason: Reason,
    /// How far the packet's start moves to put it back.
    undo_by: i32,
    /// Where its connection ID is, and whose it is in turn; `ROTATED` only.
    rotation: Option<(u32, Vec<Id>)>,
}

impl Path {
    /// Sets what the program needs to put this packet back.
    pub(super) fn set_up(&self, kernel: &mut Kernel) {
        // In front of an inner packet the program wrote over what is now to be the beginning.
        let head = if self.undo_by < 0 { self.undo_by.unsigned_abs() as usize } else { 0 };
        let (id_at, ids) = self.rotation.as_ref().map_or((0, &[][..]), |(at, ids)| (*at, ids));
        kernel.set(UNDO, 0, undo(self.undo_by, id_at, words(&self.frame[head..])));
        for (index, id) in (0..).zip(ids) {
            kernel.set(IDS, index, *id);
        }
    }

    /// The frame after one run.
    pub(super) fn left(&self) -> Vec<u8> {
        let mut frame = self.frame.clone();
        if let Some((at, ids)) = &self.rotation {
            for (index, word) in (0..).zip(ids[1]) {
                let at = *at as usize + 8 * index;
                frame[at..at + 8].copy_from_slice(&word.to_ne_bytes());
            }
        }
        frame
    }
}

/// The forms of connection IDs.
const KINDS: [(&str, u8); 3] =
    [("plain", PLAIN), ("encrypted", ENCRYPTED), ("four_pass", FOUR_PASS)];

/// Every path, in the order of the report. Of two that are compared the second is behind the first.
pub(super) fn all() -> Vec<Path> {
    let mut paths = Vec::new();
    for (suffix, client) in [("", Packet::ipv4()), ("_ipv6", Packet::ipv6())] {
        for (kind, config) in KINDS {
            paths.push(remote(&format!("remote_{kind}{suffix}"), &client, config));
        }
        for (kind, config) in KINDS {
            paths.push(local(&format!("local_{kind}{suffix}"), &client, config));
        }
        paths.push(new_connection(&format!("new_connection{suffix}"), &client));
        paths.push(other_port(&format!("other_port{suffix}"), &client));
        paths.push(stripped(&format!("stripped{suffix}"), &client));
        let tagged = client.clone().tag(VLAN, 77);
        paths.push(remote(&format!("remote_plain_vlan{suffix}"), &tagged, PLAIN));
        paths.push(redirected(&format!("remote_plain_redirected{suffix}"), &client));
    }
    for (kind, config) in KINDS {
        let name = format!("remote_{kind}_1_node");
        paths.push(rotated(&name, HARNESS, config, |_| ANOTHER));
        let others = |index: u32| scattered(index % u32::from(NODES - 2)) + 2;
        paths.push(rotated(&format!("remote_{kind}_4000_nodes"), &name, config, others));
    }
    paths
}

/// A floor: a program that looks into no packet.
pub(super) fn floor(program: &'static str) -> Path {
    let frame = Packet::ipv4().payload(filling(REST)).frame();
    let undo_by = overhead(&Packet::ipv4());
    Path { program, ..unchanged(program, frame, Reason::OtherPort) }.undone(undo_by)
}

/// The addresses that the packets are for.
pub(super) fn anycast() -> [IpAddr; 2] {
    [Packet::ipv4(), Packet::ipv6()].map(|packet| packet.destination.ip())
}

fn remote(name: &str, client: &Packet, config: u8) -> Path {
    let frame = client.clone().payload(short_header(&id(config, ANOTHER, 0), REST)).frame();
    // Sent on without a tag, whatever it came with.
    let tags_len = 4 * client.tags.len() as i32;
    let undo_by = overhead(client) - tags_len;
    unchanged(name, frame, Reason::Forwarded).against(HARNESS).undone(undo_by)
}

fn redirected(name: &str, client: &Packet) -> Path {
    let frame = client.clone().payload(short_header(&id(PLAIN, ELSEWHERE, 0), REST)).frame();
    unchanged(name, frame, Reason::Forwarded).against(HARNESS).undone(overhead(client))
}

fn local(name: &str, client: &Packet, config: u8) -> Path {
    let frame = client.clone().payload(short_header(&id(config, OURSELVES, 0), REST)).frame();
    unchanged(name, frame, Reason::Local)
}

/// A client's first packet: an Initial of version 1 with an ID of its own choice.
fn new_connection(name: &str, client: &Packet) -> Path {
    let frame = client.clone().payload(long_header(0xc0, 1, &filling(8), 1200)).frame();
    unchanged(name, frame, Reason::NewConnection)
}

fn other_port(name: &str, client: &Packet) -> Path {
    let frame = client.clone().to_port(53).payload(filling(REST)).frame();
    unchanged(name, frame, Reason::OtherPort)
}

/// What another node encapsulated for us.
fn stripped(name: &str, client: &Packet) -> Path {
    let inner = client.clone().payload(short_header(&id(PLAIN, OURSELVES, 0), REST));
    let mut outer = client.clone();
    outer.source = SocketAddr::new(address_of(ANOTHER, client.source.ip()), 50_000);
    outer.destination = SocketAddr::new(address_of(OURSELVES, client.source.ip()), PORT);
    outer.checksum = false;
    let frame = outer.payload(Encapsulation::by(ANOTHER, KEY_ID).around(&inner.ip(), KEY)).frame();
    unchanged(name, frame, Reason::Stripped).against(HARNESS).undone(-overhead(client))
}

/// Each packet with another connection ID, of the node that `owner` says.
fn rotated(name: &str, against: &str, config: u8, owner: impl Fn(u32) -> u16) -> Path {
    let client = Packet::ipv4();
    let at = client.link().len() + 20 + 8 + 1;
    let frame = |index| {
        let id = id(config, owner(index), index);
        client.clone().payload(short_header(&id, REST)).frame()
    };
    let ids = (0..MAX_IDS).map(|index| words(&frame(index)[at..])).collect();
    let mut path = remote(name, &client, config).against(against);
    path.program = ROTATED;
    path.rotation = Some((at as u32, ids));
    path
}

/// A path on which the packet stays as it is.
fn unchanged(name: &str, frame: Vec<u8>, reason: Reason) -> Path {
    let (name, against) = (name.into(), PASS.into());
    Path { name, program: RESTORED, against, frame, reason, undo_by: 0, rotation: None }
}

impl Path {
    fn against(self, name: &str) -> Self {
        Self { against: name.into(), ..self }
    }

    fn undone(self, undo_by: i32) -> Self {
        Self { undo_by, ..self }
    }
}

/// The bytes that an encapsulation of ours adds.
fn overhead(client: &Packet) -> i32 {
    if client.source.is_ipv4() { 20 + 8 + 16 } else { 40 + 8 + 16 }
}

/// Numbers below `NODES - 2`, no two neighbours of which are neighbours: a step of a prime.
fn scattered(index: u32) -> u16 {
    (index * 1613 % u32::from(NODES - 2)) as u16
}

fn words(bytes: &[u8]) -> [u64; 3] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|index| u64::from_ne_bytes(words[index]))
}

fn id(config: u8, node: u16, nonce: u32) -> Vec<u8> {
    let codec = Codec::landfast(config, id_len(config), config_key(config).as_ref());
    let codec = codec.expect("a config ID, and a length of ours");
    let owner = ServerId { node, worker: 3, generation: 3 };
    let mut bytes = vec![0x5a; codec.nonce_len()];
    bytes[..4].copy_from_slice(&nonce.to_be_bytes());
    codec.encode(&owner.to_bytes(), &bytes).as_slice().to_vec()
}
