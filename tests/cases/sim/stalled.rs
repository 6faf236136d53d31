//! Clients that don't take their answers, in virtual time: HTTP/3 on an engine, tokio's clock
//! paused, and quinn-proto as the client.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use edge_user::config::QuicConfig;
use edge_user::http::{self, Place};
use edge_user::limits;
use edge_user::proxy::files::read::OpenFiles;
use edge_user::quic::engine::{Engine, EngineSetup};
use edge_user::quic::streams::{Connection, SharedEngine};
use edge_user::quic::{Datagram, Via};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, ReadError,
    StreamId, TransportConfig,
};
use tests::credentials::{Fleet, SERVER_NAME};
use tests::net::{ANYCAST, CLIENT};
use tests::raw;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::{AMPLE, MINUTE, SECOND, node};

/// What the client takes unread. Less than it asks for.
const WINDOW_BYTES: u32 = 200_000;
const BODY: &str = "/bytes/5000000";

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_given_up_after_a_minute() {
    LocalSet::new()
        .run_until(async {
            let mut pair = Pair::connect().await;
            let id = pair.ask(BODY);
            pair.run(limits::PROGRESS_WITHIN - SECOND, |_| {}).await;
            assert!(pair.engine.borrow().send_bytes_held() < u64::from(WINDOW_BYTES));
            assert_eq!(pair.reset(id), None, "it has another second");
            pair.run(2 * SECOND, |_| {}).await;
            assert_eq!(pair.reset(id), Some(0x102), "H3_INTERNAL_ERROR: it is not whole");
        })
        .await;
}

/// As a telephone in a tunnel does, or a player that is paused now and then.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_slowly_goes_on() {
    LocalSet::new()
        .run_until(async {
            let mut pair = Pair::connect().await;
            let id = pair.ask(BODY);
            let mut taken = 0;
            for _ in 0..8 {
                pair.run(limits::PROGRESS_WITHIN - 5 * SECOND, |_| {}).await;
                taken += pair.take(id);
            }
            assert!(pair.lost.is_none());
            assert!(taken > 8 * limits::BODY_CHUNK_BYTES, "{taken} bytes in {:?}", 8 * MINUTE);
        })
        .await;
}

/// A client and an engine with nothing between them.
struct Pair {
    engine: SharedEngine,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    client: quinn_proto::Connection,
    place: Rc<Place>,
    drain: watch::Sender<Option<Instant>>,
    lost: Option<quinn_proto::ConnectionError>,
}

impl Pair {
    async fn connect() -> Self {
        let fleet = Fleet::new(&[1]);
        let engine = Engine::new(EngineSetup {
            owners: &fleet.owners(node(1), 1),
            secrets: &fleet.secrets,
            tls: fleet.server_tls.clone(),
            quic: QuicConfig { idle_timeout: 2 * MINUTE, ..AMPLE },
            send_budget_bytes: limits::SEND_BUDGET_BYTES,
            seed: Some([1; 32]),
        })
        .expect("fit for QUIC");
        let reset_key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
        let endpoint = EndpointConfig::new(Arc::new(reset_key));
        let mut endpoint = Endpoint::new(Arc::new(endpoint), None, true, Some([2; 32]));
        let (handle, client) = endpoint
            .connect(now(), client_config(&fleet), ANYCAST.into(), SERVER_NAME)
            .expect("a valid address");
        let place = Place {
            own: node(1),
            name: "ams1".into(),
            site: "ams".into(),
            requests: Rc::default(),
            cut: Cell::default(),
            date: Default::default(),
            port: 443,
            encoder: Default::default(),
            distributions: Default::default(),
            open_files: OpenFiles::at_most(9),
            certificates: fleet.certificates.clone(),
            covered: Default::default(),
            refused: Default::default(),
            access_log: None,
        };
        let mut pair = Self {
            engine: Rc::new(RefCell::new(engine)),
            endpoint,
            handle,
            client,
            place: Rc::new(place),
            drain: watch::Sender::new(None),
            lost: None,
        };
        pair.run(SECOND, |_| {}).await;
        assert!(!pair.client.is_handshaking());
        pair
    }

    /// Asks for a path, after SETTINGS on the control stream.
    fn ask(&mut self, path: &str) -> StreamId {
        let control = self.client.streams().open(Dir::Uni).expect("allowed");
        self.client.send_stream(control).write(&[0x00, 0x04, 0x00]).expect("room");
        let id = self.client.streams().open(Dir::Bi).expect("allowed");
        let mut stream = self.client.send_stream(id);
        stream.write(&raw::get(path)).expect("room");
        stream.finish().expect("open");
        id
    }

    /// With which code the server has reset a stream. Takes nothing off it.
    fn reset(&mut self, id: StreamId) -> Option<u64> {
        let mut stream = self.client.recv_stream(id);
        let mut chunks = stream.read(true).expect("not read to its end");
        match chunks.next(0) {
            Err(ReadError::Reset(code)) => Some(code.into_inner()),
            _ => None,
        }
    }

    /// Takes what has come on a stream, which lets the server send more.
    fn take(&mut self, id: StreamId) -> usize {
        let mut stream = self.client.recv_stream(id);
        let mut chunks = stream.read(true).expect("not read to its end");
        let mut taken = 0;
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => taken += chunk.bytes.len(),
                Ok(None) => panic!("the answer has ended"),
                Err(ReadError::Blocked) => break,
                Err(ReadError::Reset(code)) => panic!("reset with {code}"),
            }
        }
        let _ = chunks.finalize();
        taken
    }

    /// Lets time pass.
    async fn run(&mut self, time: Duration, mut at_each_step: impl FnMut(&mut Self)) {
        let end = now() + time;
        while now() < end {
            self.exchange();
            at_each_step(self);
            // Requests run now, and may have written.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            if self.exchange() {
                continue;
            }
            let due = self.engine.borrow().poll_timeout().into_iter();
            let due = due.chain(self.client.poll_timeout()).min().unwrap_or(end);
            // A tick at least, as timers are coarse; a second at most, for what tasks write then.
            let due = due.clamp(now() + Duration::from_millis(1), now() + SECOND);
            tokio::time::sleep_until(due.min(end).into()).await;
        }
    }

    /// Carries datagrams until there are none. Whether there were any.
    fn exchange(&mut self) -> bool {
        let (mut any, mut buffer) = (false, Vec::new());
        self.engine.borrow_mut().handle_timeout(now());
        self.client.handle_timeout(now());
        loop {
            self.settle();
            buffer.clear();
            if let Some(transmit) = self.client.poll_transmit(now(), 1, &mut buffer) {
                self.tell_engine(&buffer[..transmit.size]);
            } else if let Some(transmit) =
                self.engine.borrow_mut().poll_transmit(now(), 1, &mut buffer)
            {
                let mut answer = Vec::new();
                let payload = BytesMut::from(&buffer[..transmit.size]);
                let from = ANYCAST.into();
                let event = self.endpoint.handle(now(), from, None, None, payload, &mut answer);
                if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                    self.client.handle_event(event);
                }
            } else {
                return any;
            }
            any = true;
        }
    }

    fn tell_engine(&mut self, bytes: &[u8]) {
        let datagram = Datagram {
            client: SocketAddr::from(CLIENT),
            destination: SocketAddr::from(ANYCAST),
            ecn: None,
            payload: BytesMut::from(bytes),
            via: Via::Wire,
        };
        self.engine.borrow_mut().handle_datagram(now(), datagram);
        let established = self.engine.borrow_mut().poll_established();
        if let Some(key) = established {
            let connection = Connection::new(self.engine.clone(), key);
            let drain = self.drain.subscribe();
            tokio::task::spawn_local(http::h3::serve(connection, self.place.clone(), drain));
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.client.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.client.handle_event(event);
            }
        }
        while let Some(event) = self.client.poll() {
            if let quinn_proto::Event::ConnectionLost { reason } = event {
                self.lost = Some(reason);
            }
        }
    }
}

/// A client that keeps its connection alive and lets little come unread.
fn client_config(fleet: &Fleet) -> ClientConfig {
    let tls = QuicClientConfig::try_from(fleet.client_tls.clone()).expect("TLS 1.3");
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(WINDOW_BYTES.into());
    transport.keep_alive_interval(Some(10 * SECOND));
    transport.max_idle_timeout(Some((2 * MINUTE).try_into().expect("a small number")));
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    config
}

/// Virtual time.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
