//! The socket of the encapsulation port, one a family.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use nix::sys::socket::{SetSockOpt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::SOCKET_BUFFER_BYTES;

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

/// Binds a socket to one of our own addresses.
///
/// # Errors
/// What the kernel says, with the address before it.
pub(super) fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    bound(address).map_err(|error| {
        let message = format!("encapsulation port {address}: {error}");
        io::Error::new(error.kind(), message)
    })
}

fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        NoChecksumReceived.set(&socket, &true)?;
        PathMtuIpv6.set(&socket, &libc::IPV6_PMTUDISC_PROBE)?;
    } else {
        PathMtuIpv4.set(&socket, &libc::IP_PMTUDISC_PROBE)?;
    }
    // The kernel gives what its limits allow; the checks at the start say where that is less.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
