//! Stands between one client and the anycast address, to let something happen in mid-handshake.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Client;
use super::topology::{ANYCAST, PORT};

/// Where a client finds it, in the client's namespace.
pub const INTERPOSER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// It looks to one side and then to the other so often.
const LOOK_EACH: Duration = Duration::from_millis(2);
/// It ends after so many looks in a row at which there was nothing: a second.
const SILENT_LOOKS: u32 = 500;

/// The socket to which the client comes.
#[derive(Debug)]
pub struct Interposer(UdpSocket);

impl Interposer {
    /// At the client of a fleet.
    ///
    /// # Errors
    /// Where another one stands there.
    pub fn beside(client: &Client) -> Result<Self> {
        let socket = client.namespace().enter(|| UdpSocket::bind((INTERPOSER, PORT)))?;
        socket.set_read_timeout(Some(LOOK_EACH))?;
        Ok(Self(socket))
    }

    /// Passes datagrams on, both ways, and lets `at_first_answer` happen when the first answer has
    /// arrived and the client has not seen it yet. Ends after a second of silence.
    ///
    /// # Errors
    /// Those of `at_first_answer`, and of sockets.
    pub fn pass(
        &self,
        client: &Client,
        at_first_answer: impl FnOnce() -> Result<()> + Send,
    ) -> Result<()> {
        client.namespace().enter(|| {
            let nodes = UdpSocket::bind("0.0.0.0:0")?;
            nodes.connect(SocketAddr::new(ANYCAST[0], PORT))?;
            nodes.set_nonblocking(true)?;
            self.pass_between(&nodes, at_first_answer)
        })
    }

    fn pass_between(
        &self,
        nodes: &UdpSocket,
        at_first_answer: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut at_first_answer = Some(at_first_answer);
        let mut client = None;
        let mut datagram = [0; 65_536];
        let mut silence = 0;
        while silence < SILENT_LOOKS {
            silence += 1;
            if let Ok((length, from)) = self.0.recv_from(&mut datagram) {
                client = Some(from);
                nodes.send(&datagram[..length])?;
                silence = 0;
            }
            while let Ok(length) = nodes.recv(&mut datagram) {
                if let Some(happen) = at_first_answer.take() {
                    happen()?;
                }
                self.0.send_to(&datagram[..length], client.context("nobody asked")?)?;
                silence = 0;
            }
        }
        Ok(())
    }
}
