//! `steer_worker` on real sockets: there is no test run for programs of its type.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use edge_wire::Reason::{self, WorkerFallback, WorkerHash, WorkerNone, WorkerOwner};
use edge_wire::cid::{DEFAULT_LEN, MAX_LEN, MIN_LEN, ServerId, worker_by_hash};
use edge_wire::maps;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn6, bind, setsockopt, socket, sockopt,
};
use tests::kernel::idle::Borrowed;
use tests::kernel::moved;
use tests::packet::{filling, long_header, short_header};

use super::fleet::{LIVE, OURSELVES, fleet, id_owned_by, local};
use super::ids::Form;

const WORKERS: u8 = 4;
/// How long a datagram may take over the loopback device before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// A datagram, and which worker gets it; by IPv4 and by IPv6.
pub(super) struct Delivery {
    /// What it shows.
    sentence: String,
    /// A config that the kernel is told of first, besides the fleet's.
    form: Option<Form>,
    /// Workers without a socket.
    missing: Vec<u8>,
    /// What is sent, or a train of it.
    datagram: Vec<u8>,
    /// How many of it the sender's kernel is given at once.
    train: usize,
    /// Who gets it; `None` where the kernel chooses.
    to: Option<u8>,
    /// The one counter that moves.
    pub(super) reason: Reason,
}

impl Delivery {
    /// To the worker that the ID names.
    fn to_owner(sentence: String, worker: u8, datagram: Vec<u8>) -> Self {
        Self::to(sentence, worker, WorkerOwner, datagram)
    }

    /// To the worker by the hash of `id`.
    fn by_hash(sentence: String, id: &[u8], datagram: Vec<u8>) -> Self {
        Self::to(sentence, by_hash(id), WorkerHash, datagram)
    }

    fn to(sentence: String, worker: u8, reason: Reason, datagram: Vec<u8>) -> Self {
        let (form, missing) = (None, Vec::new());
        Self { sentence, form, missing, datagram, train: 1, to: Some(worker), reason }
    }
}

/// Makes a test of each function that gives deliveries, and a list of them, `DELIVERIES`, so that
/// their Reasons can be looked through.
macro_rules! deliveries {
    ($($name:ident),+ $(,)?) => {
        /// By name.
        pub(super) const DELIVERIES: &[(&str, fn() -> Vec<Delivery>)] =
            &[$((stringify!($name), $name)),+];

        mod case {
            $(#[test]
            fn $name() {
                super::check(super::$name());
            })+
        }
    };
}

deliveries![
    the_connection_id_names_the_worker,
    ids_of_every_form_and_length_name_the_worker,
    an_id_that_names_no_worker_here_goes_by_its_hash,
    a_new_connection_goes_by_the_hash_of_its_id_alone,
    what_is_no_quic_packet_goes_by_what_there_is,
    a_train_with_its_payload_in_fragments_goes_to_its_owner,
    a_worker_without_a_socket_is_replaced_by_the_first_that_has_one,
    without_any_socket_to_choose_the_kernel_chooses,
];

fn check(deliveries: Vec<Delivery>) {
    let mut group = Group::new();
    for delivery in deliveries {
        group.deliver(&delivery);
    }
}

fn the_connection_id_names_the_worker() -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for (worker, config) in workers().flat_map(|worker| CONFIGS.map(|config| (worker, config))) {
        let id = id_owned_by(config, ours(worker));
        let mut add = |header: &str, datagram| {
            let sentence = format!("worker {worker}, config {config}, {header}");
            deliveries.push(Delivery::to_owner(sentence, worker, datagram));
        };
        add("short header", short_header(&id, 30));
        add("as short as can be", short_header(&id, 3));
        add("long header", long_header(0xe0, 1, &id, 1000));
        add("long header, unknown version", long_header(0xff, 0xfa0a_0a0a, &id, 1000));
        add("greased fixed bit", [&[0x03], &id[..], &filling(40)].concat());
    }
    deliveries
}

const CONFIGS: [u8; 6] = [0, 1, 2, 3, 4, 6];

/// Each form is told to the kernel in the place of config 5, beside the fleet's own six.
fn ids_of_every_form_and_length_name_the_worker() -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for (length, key) in
        (MIN_LEN..=MAX_LEN).flat_map(|length| [None, Some([0x61; 16])].map(|key| (length, key)))
    {
        let form = Form { config: 5, length, key };
        let name = form.name();
        let id = form.id_of(ours(2));
        let room = MAX_LEN - length;
        let elsewhere = form.id_of(ServerId { node: LIVE, ..ours(2) });
        for delivery in [
            Delivery::to_owner(format!("{length}, {name}, short"), 2, short_header(&id, 30)),
            Delivery::to_owner(format!("{length}, {name}, just"), 2, short_header(&id, room)),
            Delivery::to_owner(format!("{length}, {name}, long"), 2, long_header(0xe0, 1, &id, 90)),
            Delivery::by_hash(
                format!("{length}, {name}, another node's"),
                &elsewhere,
                short_header(&elsewhere, 30),
            ),
            Delivery::by_hash(format!("{length}, {name}, declared as another length"), &id[..8], {
                let mut datagram = long_header(0xe0, 1, &id, 90);
                datagram[5] = 8;
                datagram
            }),
        ] {
            deliveries.push(Delivery { form: Some(form), ..delivery });
        }
    }
    deliveries
}

fn an_id_that_names_no_worker_here_goes_by_its_hash() -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for (sentence, owner) in [
        ("another node's", ServerId { node: LIVE, ..ours(1) }),
        ("an older generation's", ServerId { generation: 2, ..ours(1) }),
        ("a newer generation's", ServerId { generation: 4, ..ours(1) }),
        ("a worker's that we have not", ours(WORKERS)),
        ("the last worker's that can be written", ours(u8::MAX)),
    ] {
        for config in CONFIGS {
            let id = id_owned_by(config, owner);
            let name = format!("{sentence}, config {config}");
            let short = short_header(&id, 30);
            deliveries.push(Delivery::by_hash(format!("{name}, short header"), &id, short));
            let long = long_header(0xe0, 1, &id, 30);
            deliveries.push(Delivery::by_hash(format!("{name}, long header"), &id, long));
        }
    }
    deliveries
}

/// A ClientHello of two Initials: both go one way, whatever way they came.
fn a_new_connection_goes_by_the_hash_of_its_id_alone() -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for first in 0..60 {
        let random: Vec<u8> =
            filling(MAX_LEN).iter().map(|byte| byte.wrapping_mul(first)).collect();
        for length in [0, 1, 8, DEFAULT_LEN, MAX_LEN] {
            let id = &random[..length];
            let datagram = long_header(0xc3, 1, id, 1170);
            let sentence = format!("ID of {length} bytes, number {first}");
            deliveries.push(Delivery::by_hash(sentence, id, datagram));
        }
    }
    let reached: std::collections::BTreeSet<_> = deliveries.iter().map(|it| it.to).collect();
    assert_eq!(reached.len(), usize::from(WORKERS), "every worker gets new connections");
    deliveries
}

fn what_is_no_quic_packet_goes_by_what_there_is() -> Vec<Delivery> {
    let whole = long_header(0xc3, 1, &[0x77; 8], 0);
    let mut deliveries: Vec<_> = (0..whole.len())
        .map(|length| {
            let id = whole.get(6..length).unwrap_or_default();
            let sentence = format!("{length} bytes of a long header");
            Delivery::by_hash(sentence, &id[..id.len().min(8)], whole[..length].to_vec())
        })
        .collect();
    let long_id = long_header(0xc3, 0xfa0a_0a0a, &[9; 255], 100);
    deliveries.push(Delivery::by_hash("an ID of 255 bytes".into(), &[9; MAX_LEN], long_id));
    deliveries
}

/// Segmentation offload leaves the payload of a train in fragments, outside of what a program
/// can read by pointers.
fn a_train_with_its_payload_in_fragments_goes_to_its_owner() -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for worker in workers() {
        let of_ours = short_header(&id_owned_by(0, ours(worker)), 1182);
        let sentence = format!("worker {worker}, ID of 17 bytes");
        deliveries.push(Delivery::to_owner(sentence, worker, of_ours));
        for length in [9, 14, 20] {
            let form = Form { config: 5, length, key: Some([0x61; 16]) };
            let datagram = short_header(&form.id_of(ours(worker)), 1199 - length);
            let sentence = format!("worker {worker}, ID of {length} bytes");
            let delivery = Delivery::to_owner(sentence, worker, datagram);
            deliveries.push(Delivery { form: Some(form), ..delivery });
        }
    }
    deliveries.into_iter().map(|delivery| Delivery { train: 10, ..delivery }).collect()
}

fn a_worker_without_a_socket_is_replaced_by_the_first_that_has_one() -> Vec<Delivery> {
    let to_two = short_header(&id_owned_by(0, ours(2)), 30);
    let delivery = |sentence: &str, missing: &[u8], to, reason| {
        let delivery = Delivery::to(sentence.into(), to, reason, to_two.clone());
        Delivery { missing: missing.to_vec(), ..delivery }
    };
    let new = [0x51; 8];
    let others = workers().filter(|worker| *worker != by_hash(&new)).collect::<Vec<_>>();
    let by_hash_alone =
        Delivery::by_hash("all others'".into(), &new, long_header(0xc3, 1, &new, 1170));
    vec![
        delivery("two's socket is gone", &[2], 0, WorkerFallback),
        delivery("and the first one's", &[0, 2], 1, WorkerFallback),
        delivery("only the last one's is there", &[0, 1, 2], 3, WorkerFallback),
        delivery("only two's is there", &[0, 1, 3], 2, WorkerOwner),
        delivery("two's socket is back", &[], 2, WorkerOwner),
        Delivery { missing: others, ..by_hash_alone },
    ]
}

fn without_any_socket_to_choose_the_kernel_chooses() -> Vec<Delivery> {
    let (sentence, datagram) = ("none".into(), short_header(&id_owned_by(0, ours(2)), 30));
    let delivery = Delivery::to(sentence, 0, WorkerNone, datagram);
    vec![Delivery { missing: workers().collect(), to: None, ..delivery }]
}

fn workers() -> impl Iterator<Item = u8> {
    0..WORKERS
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

    /// Sends it by both families, each time from other ports.
    fn deliver(&mut self, delivery: &Delivery) {
        let Delivery { sentence, form, missing, datagram, train, to, reason } = delivery;
        if let Some(form) = form {
            self.kernel.set_config(u32::from(form.config), form.decode());
        }
        for worker in missing {
            self.kernel.workers().clear_index(&u32::from(*worker)).expect("it is there");
        }
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let client = UdpSocket::bind(address).expect("a port");
            if *train > 1 {
                let segment = i32::try_from(datagram.len()).expect("a datagram");
                setsockopt(&client, sockopt::UdpGsoSegment, &segment).expect("offload");
            }
            let (worker, counted) = self.send(&client, &datagram.repeat(*train));
            assert_eq!(counted, *reason, "{sentence}, from {address}");
            assert_eq!(worker, to.unwrap_or(worker), "{sentence}, from {address}");
        }
        for worker in missing {
            let socket = &self.sockets[usize::from(*worker)];
            self.kernel.workers().set(u32::from(*worker), socket, 0).expect("an empty slot");
        }
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

fn ours(worker: u8) -> ServerId {
    ServerId { node: OURSELVES, worker, generation: local().generation }
}

fn by_hash(id: &[u8]) -> u8 {
    let mut padded = [0; MAX_LEN];
    padded[..id.len()].copy_from_slice(id);
    worker_by_hash(&local().hash_key, &padded, id.len() as u8, WORKERS)
}
