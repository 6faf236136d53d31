//! Busy connections of quinn, all on one thread in the client's namespace.

use std::net::IpAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Buf as _;
use quinn::{ConnectionError, Endpoint};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::tally::{Phase, Tally};
use super::{ANSWER_WITHIN, BETWEEN_HANDSHAKES, BETWEEN_REQUESTS, LEAST_REQUESTS};
use crate::fleet::client::{first_address, second_address};
use crate::fleet::{ANYCAST, Client};
use crate::http3::{self, Http3};

/// Every so manieth socket is shared by [`SHARING`] connections.
const SHARED_ONE_IN: usize = 20;
const SHARING: usize = 5;
/// Every so manieth connection has a long download beside its requests.
const DOWNLOAD_ONE_IN: u64 = 10;
/// A download of this size, read at [`DOWNLOAD_BYTES_A_SECOND`], outlasts the event.
const DOWNLOAD_BYTES: usize = 1_500_000;
const DOWNLOAD_BYTES_A_SECOND: usize = 125_000;
/// A reader rests after so much.
const DOWNLOAD_STEP_BYTES: usize = 25_000;
/// Clients that move do so one after another, not all in one packet time.
const BETWEEN_MOVES: Duration = Duration::from_millis(1);
/// H3_NO_ERROR (RFC 9114 section 8.1): how a server closes after GOAWAY.
const NO_ERROR: u32 = 0x100;

/// The thread, and how it is told.
pub(super) struct QuinnLoad {
    phase: watch::Sender<Phase>,
    moves: mpsc::Sender<Move>,
    connected: std::sync::mpsc::Receiver<()>,
    thread: JoinHandle<Result<Tally>>,
}

/// Go on from another socket.
struct Move {
    to: fn(IpAddr) -> IpAddr,
    done: oneshot::Sender<Result<()>>,
}

impl QuinnLoad {
    /// Begins to make `connections`, half of them over each family.
    pub(super) fn start(client: &Client, connections: usize) -> Self {
        let (phase, phases) = watch::channel(Phase::Before);
        let (moves, moves_wanted) = mpsc::channel(1);
        let (report_connected, connected) = std::sync::mpsc::channel();
        let config = client.config().clone();
        let thread = client.namespace().thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut load = Load { config, phases, endpoints: Vec::new(), busy: JoinSet::new() };
                load.ramp(connections).await?;
                let _ = report_connected.send(()); // the other side may have given up
                load.follow(moves_wanted).await
            })
        });
        Self { phase, moves, connected, thread }
    }

    /// Waits until every connection is made.
    pub(super) fn wait_connected(&self) -> Result<()> {
        self.connected.recv().context("a connection was not made")
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Every socket is left for one on another port.
    pub(super) fn change_ports(&self) -> Result<()> {
        self.rebind(first_address)
    }

    /// Every socket is left for one on the second address.
    pub(super) fn change_addresses(&self) -> Result<()> {
        self.rebind(second_address)
    }

    fn rebind(&self, to: fn(IpAddr) -> IpAddr) -> Result<()> {
        let (done, wait) = oneshot::channel();
        self.moves.blocking_send(Move { to, done }).context("the load has ended")?;
        wait.blocking_recv().context("the load has ended")?
    }

    /// Lets every connection end, and says what became of them.
    pub(super) fn finish(self) -> Result<Tally> {
        self.set_phase(Phase::Finish);
        drop(self.moves);
        self.thread.join().map_err(|_| anyhow!("the load panicked"))?
    }
}

/// What the thread holds.
struct Load {
    config: quinn::ClientConfig,
    phases: watch::Receiver<Phase>,
    endpoints: Vec<(Endpoint, IpAddr)>,
    busy: JoinSet<Tally>,
}

impl Load {
    async fn ramp(&mut self, connections: usize) -> Result<()> {
        let (report, mut connected) = mpsc::channel(connections.max(1));
        let mut made = 0;
        while made < connections {
            let anycast = ANYCAST[self.endpoints.len() % ANYCAST.len()];
            let shared = self.endpoints.len().is_multiple_of(SHARED_ONE_IN);
            let endpoint = http3::endpoint(first_address(anycast), self.config.clone())?;
            for _ in 0..if shared { SHARING } else { 1 }.min(connections - made) {
                let connecting = connect_and_be_busy(
                    endpoint.clone(),
                    anycast,
                    made as u64,
                    self.phases.clone(),
                    report.clone(),
                );
                self.busy.spawn(connecting);
                made += 1;
                sleep(BETWEEN_HANDSHAKES).await;
            }
            self.endpoints.push((endpoint, anycast));
        }
        drop(report);
        for _ in 0..connections {
            connected.recv().await.context("a connection ended without a word")??;
        }
        Ok(())
    }

    /// Moves clients when told, until the end.
    async fn follow(mut self, mut moves: mpsc::Receiver<Move>) -> Result<Tally> {
        while let Some(Move { to, done }) = moves.recv().await {
            let _ = done.send(self.rebind(to).await); // the other side may have given up
        }
        let mut tally = Tally::default();
        while let Some(one) = self.busy.join_next().await {
            tally += one?;
        }
        Ok(tally)
    }

    async fn rebind(&self, to: fn(IpAddr) -> IpAddr) -> Result<()> {
        for (endpoint, anycast) in &self.endpoints {
            endpoint.rebind(http3::socket(to(*anycast))?)?;
            sleep(BETWEEN_MOVES).await;
        }
        Ok(())
    }
}

async fn connect_and_be_busy(
    endpoint: Endpoint,
    anycast: IpAddr,
    number: u64,
    phases: watch::Receiver<Phase>,
    report: mpsc::Sender<Result<()>>,
) -> Tally {
    let connection = match Http3::connect(&endpoint, anycast).await {
        Ok(connection) => connection,
        Err(error) => {
            let _ = report.send(Err(error)).await; // the other side may have given up
            return Tally::default();
        }
    };
    let _ = report.send(Ok(())).await; // as above
    drop(report);
    let mut tally = Tally { connections: 1, ..Tally::default() };
    let mut downloaded = Tally::default();
    let long = number.is_multiple_of(DOWNLOAD_ONE_IN);
    let (owner, ()) = tokio::join!(ask(&connection, phases, &mut tally), async {
        if long {
            download(&connection, &mut downloaded).await;
        }
    });
    tally += downloaded;
    let ended_well = match connection.connection().close_reason() {
        None => true,
        Some(ConnectionError::ApplicationClosed(close)) => close.error_code == NO_ERROR.into(),
        Some(_) => false,
    };
    let survived = ended_well && tally.requests_failed == 0;
    tally.survived = u64::from(survived);
    tally.fates.push((owner.unwrap_or_default(), survived));
    connection.close();
    tally
}

/// Requests one after another, until one fails or the run is over. The owner of the connection.
async fn ask(
    connection: &Http3,
    phases: watch::Receiver<Phase>,
    tally: &mut Tally,
) -> Option<String> {
    let mut owner = None;
    while *phases.borrow() != Phase::Finish || tally.requests < LEAST_REQUESTS {
        tally.requests += 1;
        let (began, start) = (*phases.borrow(), Instant::now());
        let answer = timeout(ANSWER_WITHIN, connection.identity()).await;
        let Ok(Ok(identity)) = answer else {
            tally.requests_failed += 1;
            return owner;
        };
        // Another owner cannot have answered, or it knows the keys of a connection it never made.
        if *owner.get_or_insert_with(|| identity.owner.clone()) != identity.owner {
            tally.requests_failed += 1;
            return owner;
        }
        tally.answered(began, *phases.borrow(), start.elapsed());
        sleep(BETWEEN_REQUESTS).await;
    }
    owner
}

/// One answer that is read slowly.
async fn download(connection: &Http3, tally: &mut Tally) {
    tally.requests += 1;
    if read_slowly(connection).await.is_err() {
        tally.requests_failed += 1;
    }
}

async fn read_slowly(connection: &Http3) -> Result<()> {
    let mut stream = connection.send(&format!("/bytes/{DOWNLOAD_BYTES}")).await?;
    timeout(ANSWER_WITHIN, stream.recv_response()).await??;
    let (mut length, mut rested) = (0, 0);
    while let Some(part) = timeout(ANSWER_WITHIN, stream.recv_data()).await?? {
        length += part.remaining();
        if length - rested >= DOWNLOAD_STEP_BYTES {
            let seconds = (length - rested) as f64 / DOWNLOAD_BYTES_A_SECOND as f64;
            sleep(Duration::from_secs_f64(seconds)).await;
            rested = length;
        }
    }
    ensure!(length == DOWNLOAD_BYTES, "{length} bytes of {DOWNLOAD_BYTES}");
    Ok(())
}
