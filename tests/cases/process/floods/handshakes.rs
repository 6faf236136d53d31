//! Handshakes that come to nothing, by TCP and by QUIC.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use edge_user::limits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tests::initials::Initials;

use super::{Scene, attacker, eventually};

/// What a handshake over TCP holds: a record that is not whole, and the buffer that it grew out of.
const TCP_BYTES: usize = 2 * RECORD_BYTES;
/// RFC 8446 section 5.1.
const RECORD_BYTES: usize = 16 << 10;
/// What one over QUIC holds: as much as a connection that is idle.
const QUIC_BYTES: usize = 32 << 10;

/// More than there is room for, and none of them ends its first record.
#[test]
fn handshakes_that_do_not_begin_keep_nobody_out() {
    let mut scene = Scene::new();
    let most = limits::MAX_TCP_HANDSHAKES;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("known");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 16), hard).expect("within the hard limit");
    // A record of a handshake, but for its last byte, with a message that would be longer.
    let mut begun = b"\x16\x03\x01\x40\x00\x01\x00\xff\xff".to_vec();
    begun.resize(5 + RECORD_BYTES - 1, 0);
    let strangers: Vec<_> = (0..most + 64)
        .map(|_| {
            let mut stranger = TcpStream::connect(scene.edge.address()).expect("somebody listens");
            // Those that had to go may have gone.
            let _ = stranger.write_all(&begun);
            stranger
        })
        .collect();
    scene.good_is_answered_within((most + 64) * TCP_BYTES);
    attacker(&scene.edge).is_read().expect("a newcomer is served, too");
    let count = |reason: &str| {
        let name = format!(r#"landfast_tcp_refused_total{{port="tls",reason="{reason}"}}"#);
        scene.edge.sample(&name).expect("a sample").parse::<usize>().expect("a number")
    };
    let crowded_out = || count("crowded_out") >= 64;
    eventually("the oldest made way", crowded_out, || scene.edge.log());
    let over = || count("crowded_out") + count("slow") == strangers.len();
    eventually("the others had their time", over, || scene.edge.log());
}

/// Of clients that never go on, whatever their addresses are. Beyond a threshold each is told to ask
/// again, which holds nothing.
#[test]
fn initials_without_end_keep_nobody_out() {
    let mut scene = Scene::new();
    let initials = Initials::new().expect("TLS makes a ClientHello");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let most = limits::DEFAULT_RETRY_THRESHOLD;
    let in_progress = || {
        let of = |worker| {
            let name = format!(r#"landfast_handshakes_in_progress{{worker="{worker}"}}"#);
            scene.edge.sample(&name).expect("a sample").parse::<u32>().expect("a number")
        };
        of(0) + of(1)
    };
    for turn in 0..8 * most {
        let id = [&turn.to_be_bytes()[..], &[7; 4]].concat();
        let datagram = initials.datagram(&id).expect("short");
        socket.send_to(&datagram, scene.edge.address()).expect("sent");
    }
    eventually("they are many", || in_progress() >= most / 2, || in_progress().to_string());
    // Workers tell how many they have when these are an eighth more.
    scene.good_is_answered_within(most as usize * 9 / 8 * QUIC_BYTES);
    attacker(&scene.edge).is_read().expect("a newcomer is served, too");
}
