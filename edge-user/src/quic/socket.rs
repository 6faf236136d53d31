//! The sockets of a process: one group, one socket a worker; trains of datagrams in and out.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_proto::EcnCodepoint;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::limits;

/// Opens `workers` dual-stack sockets on the wildcard address, all of one `SO_REUSEPORT` group.
/// Port 0 takes a free one for all of them. A port at which anybody listens is refused, although
/// the kernel would let us join: a second process would take over the first one's group.
///
/// # Errors
/// Where the operating system refuses: the port is taken, or needs a privilege.
pub fn bind_group(port: u16, workers: u8) -> io::Result<Vec<std::net::UdpSocket>> {
    // Without SO_REUSEPORT, and closed again at once.
    drop(dual_stack(port, false)?);
    let mut port = port;
    let mut sockets = Vec::with_capacity(usize::from(workers));
    for _ in 0..workers {
        let socket = dual_stack(port, true)?;
        socket.set_nonblocking(true)?;
        enlarge_buffers(&socket)?;
        let socket = std::net::UdpSocket::from(socket);
        port = socket.local_addr()?.port();
        sockets.push(socket);
    }
    Ok(sockets)
}

fn dual_stack(port: u16, shared: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    Ok(socket)
}

/// Root may pass the kernel's own limits. Everybody else gets what these allow, without an error:
/// that they are low is said at the start.
fn enlarge_buffers(socket: &socket2::Socket) -> io::Result<()> {
    let bytes = limits::SOCKET_BUFFER_BYTES;
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// What was received in one go.
pub(crate) struct Train<'a> {
    pub(crate) meta: RecvMeta,
    pub(crate) bytes: &'a [u8],
}

/// A worker's socket with its buffers.
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    port: u16,
    buffers: Vec<Box<[u8]>>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl Socket {
    /// Sets up receive offload, packet information and congestion marks.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let port = socket.local_addr()?.port();
        let buffer = || vec![0; limits::RECEIVE_BUFFER_BYTES].into_boxed_slice();
        Ok(Self {
            io: UdpSocket::from_std(socket)?,
            state,
            port,
            buffers: (0..BATCH_SIZE).map(|_| buffer()).collect(),
            metas: [RecvMeta::default(); BATCH_SIZE],
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Takes trains that wait in the kernel, up to a batch of them, and says how many.
    /// `WouldBlock` where there are none.
    pub(crate) fn receive(&mut self) -> io::Result<usize> {
        let Self { io, state, buffers, metas, .. } = self;
        io.try_io(Interest::READABLE, || {
            let mut buffers = buffers.iter_mut();
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
                IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| buffer))
            });
            state.recv(UdpSockRef::from(&*io), &mut slices, metas)
        })
    }

    /// The trains that the last [`Socket::receive`] took.
    pub(crate) fn trains(&self, received: usize) -> impl Iterator<Item = Train<'_>> {
        let trains = self.metas.iter().zip(&self.buffers).take(received);
        trains.map(|(meta, buffer)| Train { meta: *meta, bytes: &buffer[..meta.len] })
    }

    /// Sends datagrams of `segment` bytes each. `WouldBlock` where the kernel's buffer is full.
    pub(crate) fn send(&self, transmit: &quinn_proto::Transmit, bytes: &[u8]) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: mapped(transmit.destination),
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: bytes,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.io.try_io(Interest::WRITABLE, || {
            self.state.try_send(UdpSockRef::from(&self.io), &transmit)
        })
    }

    /// Datagrams that one send may carry.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    pub(crate) fn poll_readable(&self, cx: &mut std::task::Context<'_>) -> bool {
        !matches!(self.io.poll_recv_ready(cx), std::task::Poll::Pending)
    }

    pub(crate) fn poll_writable(&self, cx: &mut std::task::Context<'_>) -> bool {
        !matches!(self.io.poll_send_ready(cx), std::task::Poll::Pending)
    }
}

/// quinn-proto's congestion mark from quinn-udp's.
pub(crate) fn ecn_in(ecn: quinn_udp::EcnCodepoint) -> EcnCodepoint {
    match ecn {
        quinn_udp::EcnCodepoint::Ect0 => EcnCodepoint::Ect0,
        quinn_udp::EcnCodepoint::Ect1 => EcnCodepoint::Ect1,
        quinn_udp::EcnCodepoint::Ce => EcnCodepoint::Ce,
    }
}

/// IPv4 as such: that our sockets see it within IPv6 is nobody else's concern. Tokens hold the
/// client's address, and what another node relayed has it in this form.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// IPv4 as a dual-stack socket takes it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_cannot_join_the_group() {
        let group = bind_group(0, 2).expect("a free port");
        let port = group[0].local_addr().expect("bound").port();
        assert_eq!(group[1].local_addr().expect("bound").port(), port);
        let error = bind_group(port, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(group);
        bind_group(port, 2).expect("free again");
    }
}
