//! `steer_worker` on real sockets: there is no test run for programs of its type.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use edge_wire::Reason::{self, WorkerFallback, WorkerHash, WorkerNone, WorkerOwner};
use edge_wire::cid::{DEFAULT_LEN, MAX_LEN, ServerId, worker_by_hash};
use edge_wire::maps;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn6, bind, setsockopt, socket, sockopt,
};
use tests::kernel::idle::Borrowed;
use tests::kernel::moved;
use tests::packet::{filling, long_header, short_header};

use super::fixture::{LIVE, OURSELVES, fleet, id_owned_by, local};

const WORKERS: u8 = 4;
/// How long a datagram may take over the loopback device before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn the_connection_id_names_the_worker() {
    let mut group = Group::new();
    for worker in 0..WORKERS {
        for config in [0, 1, 2, 3, 4, 6] {
            let id = id_owned_by(config, ours(worker));
            for client in clients() {
                let case = format!("worker {worker}, config {config}, {client:?}");
                let short = group.send(&client, &short_header(&id, 30));
                assert_eq!(short, (worker, WorkerOwner), "{case}, short header");
                let bare = group.send(&client, &short_header(&id, 3));
                assert_eq!(bare, (worker, WorkerOwner), "{case}, as short as can be");
                let long = group.send(&client, &long_header(0xe0, 1, &id, 1000));
                assert_eq!(long, (worker, WorkerOwner), "{case}, long header");
            }
        }
    }
}

#[test]
fn an_id_that_names_no_worker_here_goes_by_its_hash() {
    let mut group = Group::new();
    for (name, owner) in [
        ("another node's", ServerId { node: LIVE, ..ours(1) }),
        ("an older generation's", ServerId { generation: 2, ..ours(1) }),
        ("a worker's that we have not", ours(WORKERS)),
        ("the last worker's that can be written", ours(u8::MAX)),
    ] {
        let id = id_owned_by(0, owner);
        for client in clients() {
            let short = group.send(&client, &short_header(&id, 30));
            assert_eq!(short, (by_hash(&id), WorkerHash), "{name}, {client:?}, short header");
            let long = group.send(&client, &long_header(0xe0, 1, &id, 30));
            assert_eq!(long, (by_hash(&id), WorkerHash), "{name}, {client:?}, long header");
        }
    }
}

/// A ClientHello of two Initials: both go one way, whatever way they came.
#[test]
fn a_new_connection_goes_by_the_hash_of_its_id_alone() {
    let mut group = Group::new();
    let mut reached = [false; WORKERS as usize];
    for first in 0..60 {
        let random: Vec<u8> =
            filling(MAX_LEN).iter().map(|byte| byte.wrapping_mul(first)).collect();
        for length in [0, 1, 8, DEFAULT_LEN, MAX_LEN] {
            let id = &random[..length];
            for client in clients() {
                let to = group.send(&client, &long_header(0xc3, 1, id, 1170));
                let case = format!("ID of {length} bytes, number {first}, {client:?}");
                assert_eq!(to, (by_hash(id), WorkerHash), "{case}");
                reached[usize::from(to.0)] = true;
            }
        }
    }
    assert_eq!(reached, [true; WORKERS as usize], "every worker gets new connections");
}

#[test]
fn what_is_no_quic_packet_goes_by_what_there_is() {
    let mut group = Group::new();
    let whole = long_header(0xc3, 1, &[0x77; 8], 0);
    for length in 0..whole.len() {
        let id = whole.get(6..length).unwrap_or_default();
        let expected = (by_hash(&id[..id.len().min(8)]), WorkerHash);
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        assert_eq!(group.send(&client, &whole[..length]), expected, "{length} bytes");
    }
    let client = UdpSocket::bind("[::1]:0").expect("a port");
    let long_id = long_header(0xc3, 0xfa0a_0a0a, &[9; 255], 100);
    assert_eq!(group.send(&client, &long_id), (by_hash(&[9; MAX_LEN]), WorkerHash), "255 bytes");
}

/// Segmentation offload leaves the payload of a train in fragments, outside of what a program
/// can read by pointers.
#[test]
fn a_train_with_its_payload_in_fragments_goes_to_its_owner() {
    let mut group = Group::new();
    for worker in 0..WORKERS {
        for client in clients() {
            let datagram = short_header(&id_owned_by(0, ours(worker)), 1182);
            setsockopt(&client, sockopt::UdpGsoSegment, &1200).expect("segmentation offload");
            let train = datagram.repeat(10);
            assert_eq!(group.send(&client, &train), (worker, WorkerOwner), "{client:?}");
        }
    }
}

#[test]
fn a_worker_without_a_socket_is_replaced_by_the_first_that_has_one() {
    let mut group = Group::new();
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to_two = short_header(&id_owned_by(0, ours(2)), 30);
    group.kernel.workers().clear_index(&2).expect("in bounds");
    assert_eq!(group.send(&client, &to_two), (0, WorkerFallback), "two's socket is gone");
    group.kernel.workers().clear_index(&0).expect("in bounds");
    assert_eq!(group.send(&client, &to_two), (1, WorkerFallback), "and the first one's");
    group.kernel.workers().set(2, &group.sockets[2], 0).expect("an empty slot");
    assert_eq!(group.send(&client, &to_two), (2, WorkerOwner), "two's socket is back");
}

#[test]
fn without_any_socket_to_choose_the_kernel_chooses() {
    let mut group = Group::new();
    for worker in 0..u32::from(WORKERS) {
        group.kernel.workers().clear_index(&worker).expect("in bounds");
    }
    for client in clients() {
        let datagram = short_header(&id_owned_by(0, ours(2)), 30);
        let (_, reason) = group.send(&client, &datagram);
        assert_eq!(reason, WorkerNone, "{client:?}");
    }
}

/// A group of four sockets with the program attached.
struct Group {
    kernel: Borrowed,
    sockets: Vec<UdpSocket>,
    port: u16,
}

impl Group {
    fn new() -> Self {
        let mut kernel = fleet();
        let first = member(0);
        let port = first.local_addr().expect("bound").port();
        let sockets: Vec<_> =
            [first].into_iter().chain((1..WORKERS).map(|_| member(port))).collect();
        for (worker, socket) in sockets.iter().enumerate() {
            kernel.workers().set(worker as u32, socket, 0).expect("a socket of the group");
        }
        kernel.steer_worker().attach(&sockets[0]).expect("attached to the group");
        Self { kernel, sockets, port }
    }

    /// Sends a datagram, or a train of them, and says which socket got it, and why.
    fn send(&mut self, client: &UdpSocket, bytes: &[u8]) -> (u8, Reason) {
        let before = self.kernel.counters(maps::WORKER_REASONS);
        let address = client.local_addr().expect("bound").ip();
        let sent = client.send_to(bytes, SocketAddr::new(address, self.port)).expect("sent");
        assert_eq!(sent, bytes.len());
        let worker = self.receive(bytes);
        let after = self.kernel.counters(maps::WORKER_REASONS);
        match moved(&before, &after)[..] {
            [(reason, 1)] => (worker, reason),
            ref other => panic!("one counter moves by one, not {other:?}"),
        }
    }

    fn receive(&self, expected: &[u8]) -> u8 {
        let start = Instant::now();
        let mut buffer = vec![0; 65_536];
        while start.elapsed() < PATIENCE {
            for (worker, socket) in self.sockets.iter().enumerate() {
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        assert_eq!(&buffer[..length], expected, "worker {worker}");
                        return worker as u8;
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            std::thread::yield_now();
        }
        panic!("no socket got it within {PATIENCE:?}");
    }
}

/// One socket of the group: for both families, with receive offload, so that a train arrives
/// whole.
fn member(port: u16) -> UdpSocket {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet6, SockType::Datagram, flags, None).expect("a socket");
    setsockopt(&fd, sockopt::ReusePort, &true).expect("SO_REUSEPORT");
    setsockopt(&fd, sockopt::UdpGroSegment, &true).expect("UDP_GRO");
    setsockopt(&fd, sockopt::Ipv6V6Only, &false).expect("both families");
    let address = std::net::SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    bind(fd.as_raw_fd(), &SockaddrIn6::from(address)).expect("a port");
    UdpSocket::from(fd)
}

/// A client of each family, each time from other ports.
fn clients() -> [UdpSocket; 2] {
    ["127.0.0.1:0", "[::1]:0"].map(|address| UdpSocket::bind(address).expect("a port"))
}

fn ours(worker: u8) -> ServerId {
    ServerId { node: OURSELVES, worker, generation: local().generation }
}

fn by_hash(id: &[u8]) -> u8 {
    let mut padded = [0; MAX_LEN];
    padded[..id.len()].copy_from_slice(id);
    worker_by_hash(&local().hash_key, &padded, id.len() as u8, WORKERS)
}
