//! Good clients that come one after another: how many get in, and how long it takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rustls::pki_types::CertificateDer;
use tokio::time::{sleep, timeout};

use super::ANSWER_WITHIN;
use super::tally::percentile;
use crate::fleet::client::first_address;
use crate::fleet::{ANYCAST, Client};
use crate::http3::{self, Http3};

/// Between one and the next.
const BETWEEN: Duration = Duration::from_millis(100);

/// What became of those who came in one part of a run.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Arrivals {
    /// Clients that came.
    pub tried: u64,
    /// Those of them that had an answer within five seconds.
    pub answered: u64,
    /// From nothing to the answer: the median, in microseconds.
    pub p50_us: u64,
    /// The same, for all but one in a hundred.
    pub p99_us: u64,
}

/// The thread on which they come.
pub(super) struct Newcomers {
    flooded: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<[Vec<Option<Duration>>; 2]>>,
}

impl Newcomers {
    pub(super) fn start(client: &Client) -> Self {
        let (flooded, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (is_flooded, stopped) = (flooded.clone(), stop.clone());
        let authority = client.authority_der();
        let thread = client.namespace().thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(come(&authority, &is_flooded, &stopped))
        });
        Self { flooded, stop, thread }
    }

    /// Those who come from now on count as flooded.
    pub(super) fn flood_begins(&self) {
        self.flooded.store(true, Ordering::Relaxed);
    }

    /// Before the flood, and while it lasted.
    pub(super) fn finish(self) -> Result<[Arrivals; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        let times = self.thread.join().map_err(|_| anyhow!("the newcomers panicked"))??;
        Ok(times.map(|times| Arrivals::of(&times)))
    }
}

async fn come(
    authority: &CertificateDer<'static>,
    flooded: &AtomicBool,
    stopped: &AtomicBool,
) -> Result<[Vec<Option<Duration>>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for anycast in ANYCAST.into_iter().cycle() {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        // Another configuration each time: no ticket and no token of those who came before.
        let endpoint = http3::endpoint(first_address(anycast), http3::client_config(authority)?)?;
        let during = usize::from(flooded.load(Ordering::Relaxed));
        let start = Instant::now();
        let visit = async {
            let connection = Http3::connect(&endpoint, anycast).await?;
            connection.identity().await?;
            connection.close();
            anyhow::Ok(start.elapsed())
        };
        times[during].push(timeout(ANSWER_WITHIN, visit).await.ok().and_then(Result::ok));
        sleep(BETWEEN).await;
    }
    Ok(times)
}

impl Arrivals {
    fn of(times: &[Option<Duration>]) -> Self {
        let took: Vec<_> = times.iter().flatten().map(|time| time.as_micros() as u64).collect();
        Self {
            tried: times.len() as u64,
            answered: took.len() as u64,
            p50_us: percentile(&took, 50).unwrap_or(0),
            p99_us: percentile(&took, 99).unwrap_or(0),
        }
    }
}
