//! IP packets as a test wrote them: false sources, false checksums, whatever a wire may bring.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    socket,
};

/// Sends IP packets from one namespace, by its routes.
#[derive(Debug)]
pub struct RawIp {
    ipv4: OwnedFd,
    ipv6: OwnedFd,
}

impl RawIp {
    /// In the namespace of the calling thread.
    ///
    /// # Errors
    /// Where the kernel refuses, usually because this is not root.
    pub fn open() -> Result<Self> {
        // Of this protocol a socket wants the header from its user (raw(7)).
        let open = |family| {
            socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)
                .context("a raw socket (it takes root)")
        };
        Ok(Self { ipv4: open(AddressFamily::Inet)?, ipv6: open(AddressFamily::Inet6)? })
    }

    /// Sends a packet of either family to where its header says.
    ///
    /// # Errors
    /// Where it has no whole header, or the kernel does not take it.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        let none = MsgFlags::empty();
        let sent = match packet.first().map(|first| first >> 4) {
            Some(4) => {
                let to: [u8; 4] = packet.get(16..20).context("a header")?.try_into()?;
                let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::from(to), 0));
                sendto(self.ipv4.as_raw_fd(), packet, &to, none)
            }
            Some(6) => {
                let to: [u8; 16] = packet.get(24..40).context("a header")?.try_into()?;
                let to = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::from(to), 0, 0, 0));
                sendto(self.ipv6.as_raw_fd(), packet, &to, none)
            }
            _ => bail!("neither IPv4 nor IPv6"),
        };
        sent.map(drop).context("send a raw packet")
    }
}
