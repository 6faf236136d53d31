//! Sampled verdicts: `cargo xtask load --trace` reads them.

use aya::maps::RingBuf;
use edge_wire::Reason;
use edge_wire::maps::Local;
use tests::kernel::Kernel;
use tests::kernel::idle::Borrowed;
use tests::packet::{Packet, short_header};

use super::fleet::{LIVE, OURSELVES, families, fleet, id_of, local};

#[test]
fn a_trace_names_reason_client_and_destination() {
    let mut kernel = traced(1);
    for (family, packet) in families() {
        for (owner, reason) in [(OURSELVES, Reason::Local), (LIVE, Reason::Forwarded)] {
            let packet = packet.clone().payload(short_header(&id_of(owner), 60));
            let lines = lines_of(&mut kernel, &packet);
            let [line] = &lines[..] else { panic!("{family}: {} lines for a packet", lines.len()) };
            for (what, value) in [
                ("the reason", (reason as u32).to_ne_bytes().to_vec()),
                ("the client's port", packet.source.port().to_ne_bytes().to_vec()),
                ("our port", packet.destination.port().to_ne_bytes().to_vec()),
                ("the client", address(&packet.source)),
                ("our address", address(&packet.destination)),
            ] {
                let found = line.windows(value.len()).any(|window| window == value);
                assert!(found, "{family}, {reason:?}: {what} is not in {line:?}");
            }
        }
    }
}

#[test]
fn what_is_no_datagram_is_traced_by_its_reason_alone() {
    let mut kernel = traced(1);
    let mut frame = Packet::ipv4().payload(short_header(&id_of(LIVE), 60));
    frame.protocol = 6;
    assert_eq!(lines_of(&mut kernel, &frame).len(), 1);
}

#[test]
fn one_packet_in_so_many_is_traced() {
    let packet = Packet::ipv6().payload(short_header(&id_of(OURSELVES), 60));
    let mut silent = traced(0);
    let mut sampled = traced(10);
    let mut lines = 0;
    for _ in 0..1000 {
        assert!(lines_of(&mut silent, &packet).is_empty(), "0 traces none");
        lines += lines_of(&mut sampled, &packet).len();
    }
    // Of 1,000 with a chance of a tenth each: ten standard deviations on either side.
    assert!((5..200).contains(&lines), "{lines} of 1,000");
}

fn traced(trace_one_in: u32) -> Borrowed {
    let mut kernel = fleet();
    kernel.set_local(Local { trace_one_in, ..local() });
    kernel
}

/// The records that a packet leaves in aya-log's buffer.
fn lines_of(kernel: &mut Kernel, packet: &Packet) -> Vec<Vec<u8>> {
    kernel.run(&packet.frame());
    let mut buffer: RingBuf<_> = kernel.log_buffer();
    std::iter::from_fn(|| buffer.next().map(|record| record.to_vec())).collect()
}

/// As aya-log writes it: IPv4 as a number of this machine, IPv6 as it stands in the packet.
fn address(of: &std::net::SocketAddr) -> Vec<u8> {
    match of.ip() {
        std::net::IpAddr::V4(address) => address.to_bits().to_ne_bytes().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    }
}
