//! One stream to the controller: `Hello` and `Welcome`, then bundles in and reports out.
//!
//! The reports that we live go out by themselves: a node that is busy with a large bundle lives.

use std::time::Duration;

use fleet_wire::PROTOCOL;
use fleet_wire::message::fleet_client::FleetClient;
use fleet_wire::message::{Alive, Applied, Bundle, Hello, Order, Report, Welcome, order, report};
use futures_util::stream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::state::Unfollowed;
use crate::limits;

/// Why a stream ended. Another one is tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// By the controller, or by the network.
    #[error("the stream was ended: {0}")]
    Cut(String),
    /// By the controller, without a word.
    #[error("the controller ended the stream")]
    Ended,
    /// Nothing came.
    #[error("the controller does not answer")]
    Silent,
    /// Not what a controller sends.
    #[error("the controller's first order is not its Welcome")]
    NoWelcome,
    /// Not what a controller sends.
    #[error("the controller welcomes a second time")]
    WelcomeAgain,
    /// It is more than one version older or newer.
    #[error("the controller speaks protocol {0} and this node {PROTOCOL}: update the {older}", older = older(*.0))]
    Protocol(u32),
    /// It is not to be followed.
    #[error("not followed: {0}")]
    Unfollowed(#[from] Unfollowed),
}

/// What is to be updated where the controller speaks `theirs`.
const fn older(theirs: u32) -> &'static str {
    if theirs < PROTOCOL { "controller" } else { "node" }
}

/// A stream that the controller welcomed.
pub(super) struct Stream {
    reports: mpsc::Sender<Report>,
    orders: Streaming<Order>,
}

impl Stream {
    /// Says hello over `channel`, and waits for the welcome.
    pub(super) async fn open(channel: Channel, hello: Hello) -> Result<Self, StreamError> {
        // One bundle's answer: the next bundle is not read before.
        let (reports, queue) = mpsc::channel(1);
        let (keepalive, every) = watch::channel(limits::MAX_KEEPALIVE);
        let outgoing = Outgoing { hello: Some(hello), queue, every };
        let outgoing = stream::unfold(outgoing, Outgoing::next);
        let opening = async {
            let mut orders = FleetClient::new(channel)
                .max_decoding_message_size(fleet_wire::MAX_MESSAGE_BYTES)
                .max_encoding_message_size(fleet_wire::MAX_MESSAGE_BYTES)
                .follow(outgoing)
                .await
                .map_err(cut)?
                .into_inner();
            let first = orders.message().await.map_err(cut)?.ok_or(StreamError::Ended)?;
            let Some(order::Kind::Welcome(welcome)) = first.kind else {
                return Err(StreamError::NoWelcome);
            };
            Ok((orders, welcome))
        };
        let opened = timeout(limits::WELCOME_WITHIN, opening).await;
        let (orders, Welcome { protocol, keepalive_milliseconds, .. }) =
            opened.map_err(|_| StreamError::Silent)??;
        if protocol.abs_diff(PROTOCOL) > 1 {
            return Err(StreamError::Protocol(protocol));
        }
        // Twice as often as asked: half of the time is the network's.
        let asked = Duration::from_millis(u64::from(keepalive_milliseconds) / 2);
        keepalive.send_replace(asked.clamp(limits::MIN_KEEPALIVE, limits::MAX_KEEPALIVE));
        Ok(Self { reports, orders })
    }

    /// The next bundle. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Bundle, StreamError> {
        loop {
            let order = self.orders.message().await.map_err(cut)?.ok_or(StreamError::Ended)?;
            match order.kind {
                Some(order::Kind::Bundle(bundle)) => return Ok(bundle),
                Some(order::Kind::Welcome(_)) => return Err(StreamError::WelcomeAgain),
                // What a newer controller has to say besides.
                None => {}
            }
        }
    }

    /// Answers a bundle.
    pub(super) async fn applied(&self, applied: Applied) -> Result<(), StreamError> {
        let sent = self.reports.send(said(report::Kind::Applied(applied))).await;
        sent.map_err(|_| StreamError::Ended)
    }
}

/// What goes out, in order.
struct Outgoing {
    hello: Option<Hello>,
    queue: mpsc::Receiver<Report>,
    every: watch::Receiver<Duration>,
}

impl Outgoing {
    /// The next report, at the latest when one is due. None: nobody follows any more.
    async fn next(mut self) -> Option<(Report, Self)> {
        if let Some(hello) = self.hello.take() {
            return Some((said(report::Kind::Hello(hello)), self));
        }
        loop {
            let every = *self.every.borrow_and_update();
            tokio::select! {
                report = timeout(every, self.queue.recv()) => {
                    let report = report.unwrap_or_else(|_| Some(said(report::Kind::Alive(Alive {}))));
                    return report.map(|report| (report, self));
                }
                // The welcome is here. An error: there will be no other, and the queue ends, too.
                Ok(()) = self.every.changed() => {}
            }
        }
    }
}

fn said(kind: report::Kind) -> Report {
    Report { kind: Some(kind) }
}

/// The controller's words go into the log: one line, and not all of it.
fn cut(status: Status) -> StreamError {
    let line = status.message().lines().next().unwrap_or_default();
    let line = &line[..line.floor_char_boundary(limits::MAX_CONTROLLER_WORDS_BYTES)];
    StreamError::Cut(match line.is_empty() {
        true => status.code().to_string(),
        false => line.replace(char::is_control, " "),
    })
}
