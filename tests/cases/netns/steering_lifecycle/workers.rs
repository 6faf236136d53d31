//! `steer_worker`, attached to a reuseport group.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use edge_user::config::SteeringMode;
use edge_user::steering::Steering;
use edge_wire::Reason;
use edge_wire::cid::{Codec, DEFAULT_LEN, ServerId};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use super::pair::{CONFIG_ID, Pair, secrets};

/// A socket of the group on port 443 of loopback.
fn worker_socket() -> UdpSocket {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .expect("a socket");
    setsockopt(&socket, sockopt::ReusePort, &true).expect("set");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).expect("bound");
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    socket
}

#[test]
fn a_datagram_goes_to_the_worker_that_its_connection_id_names() {
    let pair = Pair::new();
    pair.near(|| {
        let mut config = pair.config();
        config.steering.mode = SteeringMode::UserSpace;
        let mut steering = Steering::attach(&config, &secrets(), 3, 2).expect("loaded");
        let workers = [worker_socket(), worker_socket()];
        for (worker, socket) in (0..).zip(&workers) {
            steering.set_worker_socket(worker, socket).expect("of the group");
        }
        steering.attach_workers(&workers[0]).expect("attached");

        let codec = Codec::landfast(CONFIG_ID, DEFAULT_LEN, None).expect("valid");
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        for round in 0..20u8 {
            let worker = round % 2;
            let owner = ServerId { node: 1, worker, generation: 3 };
            let id = codec.encode(&owner.to_bytes(), &[round; 12]);
            let datagram = [&[0x40][..], id.as_slice(), &[round; 20]].concat();
            // From one client address: the kernel's own hash would choose one worker for all.
            client.send_to(&datagram, (Ipv4Addr::LOCALHOST, 443)).expect("sent");
            let mut received = [0; 64];
            let length = workers[usize::from(worker)].recv(&mut received).expect("its own");
            assert_eq!(received[..length], datagram);
        }
        let report = steering.reasons().expect("readable");
        assert_eq!(report.worker[Reason::WorkerOwner as usize], 20);
        assert_eq!(report.worker.iter().sum::<u64>(), 20);

        // A new process of this node is another generation: no worker of ours is named.
        let owner = ServerId { node: 1, worker: 0, generation: 4 };
        let id = codec.encode(&owner.to_bytes(), &[9; 12]);
        let datagram = [&[0x40][..], id.as_slice(), &[0; 20]].concat();
        client.send_to(&datagram, (Ipv4Addr::LOCALHOST, 443)).expect("sent");
        let report = steering.reasons().expect("readable");
        assert_eq!(report.worker[Reason::WorkerHash as usize], 1);
    });
}

#[test]
fn a_socket_outside_a_reuseport_group_is_refused() {
    let pair = Pair::new();
    pair.near(|| {
        let mut config = pair.config();
        config.steering.mode = SteeringMode::UserSpace;
        let mut steering = Steering::attach(&config, &secrets(), 0, 1).expect("loaded");
        let lone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 443)).expect("bound");
        assert!(steering.set_worker_socket(0, &lone).is_err());
        assert!(steering.attach_workers(&lone).is_err());
    });
}
