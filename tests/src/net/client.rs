//! The client: quinn-proto, a connection for each download.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint,
    Endpoint, EndpointConfig, Event, ReadError, StreamId, Transmit,
};

use super::{CLIENT, pattern};
use crate::credentials::{Fleet, SERVER_NAME};

/// One connection, and what is downloaded on it.
pub struct Download {
    connection: Connection,
    asked: u64,
    stream: Option<StreamId>,
    /// Bytes that came so far, each compared with what it should be.
    pub received: u64,
    /// All came, and nothing else.
    pub whole: bool,
    /// The handshake has completed.
    pub connected: bool,
    /// Why the connection ended.
    pub lost: Option<ConnectionError>,
    /// It neither hears nor says anything any more, as a client that means no good.
    pub silent: bool,
}

/// A client endpoint.
pub struct Client {
    endpoint: Endpoint,
    config: ClientConfig,
    /// Where it is. Datagrams to any other address do not reach it.
    pub address: SocketAddr,
    /// Its downloads, in order.
    pub downloads: Vec<Download>,
    handles: HashMap<ConnectionHandle, usize>,
    /// Copies of the last datagrams sent, when wanted.
    pub sent: Option<Vec<Vec<u8>>>,
}

impl Client {
    pub(super) fn new(fleet: &Fleet, seed: u64) -> Self {
        let tls = QuicClientConfig::try_from(fleet.client_tls.clone()).expect("TLS 1.3");
        let reset_key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
        let mut bytes = [0xc1; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let endpoint = EndpointConfig::new(Arc::new(reset_key));
        Self {
            endpoint: Endpoint::new(Arc::new(endpoint), None, true, Some(bytes)),
            config: ClientConfig::new(Arc::new(tls)),
            address: CLIENT.into(),
            downloads: Vec::new(),
            handles: HashMap::new(),
            sent: None,
        }
    }

    pub(super) fn connect(&mut self, now: Instant, to: SocketAddr, bytes: u64) -> usize {
        let config = self.config.clone();
        let (handle, connection) =
            self.endpoint.connect(now, config, to, SERVER_NAME).expect("a valid address");
        self.handles.insert(handle, self.downloads.len());
        self.downloads.push(Download {
            connection,
            asked: bytes,
            stream: None,
            received: 0,
            whole: false,
            connected: false,
            lost: None,
            silent: false,
        });
        self.downloads.len() - 1
    }

    /// Speaks this version of QUIC on connections that it opens from now on.
    pub fn speak(&mut self, version: u32) {
        self.config.version(version);
    }

    /// Moves to another port, as a NAT does behind the client's back: it is not told.
    pub fn rebind(&mut self) {
        self.address.set_port(self.address.port() + 1);
    }

    /// Has a connection say something.
    pub fn ping(&mut self, download: usize) {
        self.downloads[download].connection.ping();
    }

    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        to: SocketAddr,
        ecn: Option<EcnCodepoint>,
        bytes: &[u8],
    ) {
        if to != self.address {
            return;
        }
        let mut answer = Vec::new();
        let event = self.endpoint.handle(
            now,
            super::ANYCAST.into(),
            None,
            ecn,
            BytesMut::from(bytes),
            &mut answer,
        );
        if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event
            && let Some(index) = self.handles.get(&handle)
            && !self.downloads[*index].silent
        {
            self.downloads[*index].connection.handle_event(event);
        }
        self.settle();
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for download in &mut self.downloads {
            if download.poll_timeout().is_some_and(|at| at <= now) {
                download.connection.handle_timeout(now);
            }
        }
        self.settle();
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.downloads.iter_mut().filter_map(Download::poll_timeout).min()
    }

    pub(super) fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.settle();
        for download in self.downloads.iter_mut().filter(|download| !download.silent) {
            buffer.clear();
            if let Some(transmit) = download.connection.poll_transmit(now, 1, buffer) {
                if let Some(sent) = &mut self.sent {
                    sent.push(buffer[..transmit.size].to_vec());
                }
                return Some(transmit);
            }
        }
        None
    }

    fn settle(&mut self) {
        for (&handle, &index) in &self.handles {
            let download = &mut self.downloads[index];
            while let Some(event) = download.connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(handle, event) {
                    download.connection.handle_event(event);
                }
            }
            while let Some(event) = download.connection.poll() {
                match event {
                    Event::Connected => download.connected = true,
                    Event::ConnectionLost { reason } => download.lost = Some(reason),
                    _ => {}
                }
            }
            download.go_on();
        }
        let downloads = &self.downloads;
        self.handles.retain(|_, index| !downloads[*index].connection.is_drained());
    }
}

impl Download {
    fn poll_timeout(&mut self) -> Option<Instant> {
        if self.silent { None } else { self.connection.poll_timeout() }
    }

    fn go_on(&mut self) {
        if self.connected && self.stream.is_none() {
            let id = self.connection.streams().open(Dir::Bi).expect("the first stream");
            let mut stream = self.connection.send_stream(id);
            assert_eq!(stream.write(&self.asked.to_be_bytes()), Ok(8));
            stream.finish().expect("it was just opened");
            self.stream = Some(id);
        }
        let Some(id) = self.stream.filter(|_| !self.whole) else { return };
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    for byte in chunk.bytes {
                        assert_eq!(byte, pattern(self.received), "at {}", self.received);
                        self.received += 1;
                    }
                }
                Ok(None) => {
                    assert_eq!(self.received, self.asked, "the end came too early or too late");
                    self.whole = true;
                    break;
                }
                Err(ReadError::Blocked) => break,
                Err(ReadError::Reset(code)) => panic!("reset with {code}"),
            }
        }
        let _ = chunks.finalize();
    }
}
