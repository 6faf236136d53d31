//! The sockets of a family: the encapsulation port, to receive on, and ports to send from.
//!
//! The kernel side writes any source port it likes into the outer header; a process has to own a
//! socket for each. A few are enough: the owner's card spreads packets over its receive queues by a
//! hash of addresses and ports, and has no more queues than cores.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::sys::socket::{SetSockOpt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{RELAY_SOURCE_PORTS, SOCKET_BUFFER_BYTES};

/// Accept a zero UDP checksum over IPv6, as tunnels may send it (RFC 6935, RFC 6936).
#[derive(Clone, Copy)]
struct NoChecksumReceived;
nix::setsockopt_impl!(
    NoChecksumReceived,
    libc::SOL_UDP,
    libc::UDP_NO_CHECK6_RX,
    bool,
    sockopt::SetBool
);

/// Never fragment what we send; the size of the interface decides, not a cached path MTU that an
/// outsider's ICMP message could have lowered.
#[derive(Clone, Copy)]
struct PathMtuIpv4;
nix::setsockopt_impl!(
    PathMtuIpv4,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<libc::c_int>
);

/// The same for IPv6.
#[derive(Clone, Copy)]
struct PathMtuIpv6;
nix::setsockopt_impl!(
    PathMtuIpv6,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<libc::c_int>
);

/// Binds the encapsulation port on one of our own addresses.
///
/// # Errors
/// What the kernel says, with the address before it.
pub(super) fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    bound(address, SOCKET_BUFFER_BYTES).map_err(|error| {
        let message = format!("encapsulation port {address}: {error}");
        io::Error::new(error.kind(), message)
    })
}

/// Binds [`RELAY_SOURCE_PORTS`] ports that the kernel chooses on one of our own addresses. Nobody
/// is asked to send to them, and what comes is not read: their receive buffer is the smallest.
///
/// # Errors
/// As [`open`].
pub(super) fn open_sources(address: IpAddr) -> io::Result<Vec<UdpSocket>> {
    let sources = (0..RELAY_SOURCE_PORTS).map(|_| bound(SocketAddr::new(address, 0), 0));
    sources.collect::<io::Result<_>>().map_err(|error| {
        io::Error::new(error.kind(), format!("a port of {address} to send from: {error}"))
    })
}

fn bound(address: SocketAddr, receive_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        NoChecksumReceived.set(&socket, &true)?;
        PathMtuIpv6.set(&socket, &libc::IPV6_PMTUDISC_PROBE)?;
    } else {
        PathMtuIpv4.set(&socket, &libc::IP_PMTUDISC_PROBE)?;
    }
    // The kernel gives what its limits allow; the checks at the start say where that is less.
    socket.set_recv_buffer_size(receive_bytes)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
