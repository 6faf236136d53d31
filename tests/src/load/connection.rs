//! One connection of QUIC on a socket of its own: quinn-proto, quinn-udp and tokio's clock.

use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use anyhow::Result;
use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint, EndpointConfig, Transmit,
};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Sleep;

use crate::credentials::SERVER_NAME;

/// Bytes of a train that receive offload has merged: at most what a UDP length says.
const TRAIN_BYTES: usize = u16::MAX as usize;
/// Datagrams of one send.
const SEGMENTS: usize = 10;

/// A connection, and all that it takes.
pub(super) struct Connection {
    pub(super) quic: quinn_proto::Connection,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    socket: UdpSocket,
    state: UdpSocketState,
    server: SocketAddr,
    buffer: Vec<u8>,
    /// What the kernel had no room for; its bytes are in `buffer`.
    blocked: Option<Transmit>,
    timer: Pin<Box<Sleep>>,
}

thread_local! {
    /// One for all connections: a train is taken in before the next one is received.
    static TRAIN: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; TRAIN_BYTES]);
}

impl Connection {
    /// Begins a handshake; [`Connection::send`] sends its first flight.
    pub(super) fn open(config: ClientConfig, server: SocketAddr) -> Result<Self> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let reset_key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
        let endpoint = EndpointConfig::new(Arc::new(reset_key));
        let mut endpoint = Endpoint::new(Arc::new(endpoint), None, true, None);
        let now = Instant::now();
        let (handle, quic) = endpoint.connect(now, config, server, SERVER_NAME)?;
        Ok(Self {
            quic,
            endpoint,
            handle,
            socket: UdpSocket::from_std(socket)?,
            state,
            server,
            buffer: Vec::new(),
            blocked: None,
            timer: Box::pin(tokio::time::sleep_until(now.into())),
        })
    }

    /// Takes in what has arrived, and lets the timers act that are due.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let now = Instant::now();
        TRAIN.with_borrow_mut(|train| -> Result<()> {
            loop {
                let mut meta = [RecvMeta::default()];
                let received = self.socket.try_io(Interest::READABLE, || {
                    let mut slices = [IoSliceMut::new(train)];
                    self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut meta)
                });
                match received {
                    Ok(_) => self.take_in(now, &meta[0], &train[..meta[0].len]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.socket.poll_recv_ready(cx)?.is_pending() {
                            return Ok(());
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        })?;
        if self.quic.poll_timeout().is_some_and(|at| at <= now) {
            self.quic.handle_timeout(now);
        }
        self.settle();
        Ok(())
    }

    fn take_in(&mut self, now: Instant, meta: &RecvMeta, train: &[u8]) {
        let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
        for bytes in train.chunks(meta.stride.max(1)) {
            let mut answer = Vec::new();
            let payload = BytesMut::from(bytes);
            let event = self.endpoint.handle(now, self.server, None, ecn, payload, &mut answer);
            if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                self.quic.handle_event(event);
            }
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.quic.handle_event(event);
            }
        }
    }

    /// Sends what there is to send, and arms the timer.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let now = Instant::now();
        loop {
            let transmit = match self.blocked.take() {
                Some(transmit) => transmit,
                None => {
                    self.buffer.clear();
                    match self.quic.poll_transmit(now, SEGMENTS, &mut self.buffer) {
                        Some(transmit) => transmit,
                        None => break,
                    }
                }
            };
            match self.try_send(&transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(transmit);
                    if self.socket.poll_send_ready(cx)?.is_pending() {
                        break;
                    }
                }
                sent => sent?,
            }
        }
        self.settle();
        self.arm(cx);
        Ok(())
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: &self.buffer[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: None,
        };
        self.socket.try_io(Interest::WRITABLE, || {
            self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
        })
    }

    fn arm(&mut self, cx: &mut Context<'_>) {
        let Some(next) = self.quic.poll_timeout() else { return };
        let next = next.into();
        // One that moves later stays where it is: it then fires once in vain.
        if self.timer.is_elapsed() || next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
