//! What good clients notice of a flood beside them.

use std::collections::BTreeMap;
use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::flood::{Flood, Packets};
use super::newcomers::{Arrivals, Newcomers};
use super::tally::{Tally, percentile};
use crate::fleet::Fleet;

/// Between two looks at the handshakes in progress.
const LOOK_EACH: Duration = Duration::from_millis(500);

/// Of the scenario `flood_beside` only.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Noticed {
    /// Initials that were sent.
    pub initials: u64,
    /// The same, a second.
    pub initials_per_second: u64,
    /// Above so many handshakes in progress a node asks for a Retry.
    pub retry_threshold: u32,
    /// The most handshakes that were in progress at one node.
    pub most_in_progress: u64,
    /// Requests of connections that were there before: the median time before the flood and during
    /// it, in microseconds.
    pub requests_p50_us: [u64; 2],
    /// The same, for all but one in a hundred.
    pub requests_p99_us: [u64; 2],
    /// Clients that came before the flood, and while it lasted.
    pub newcomers: [Arrivals; 2],
    /// Packets while the flood lasted, of all nodes, by program and Reason.
    pub packets: BTreeMap<String, u64>,
}

/// The flood, and who comes beside it.
pub(super) struct Beside {
    newcomers: Newcomers,
    packets: Packets,
    retry_threshold: u32,
}

/// A flood under way.
pub(super) struct Flooded<'a> {
    fleet: &'a Fleet,
    newcomers: Newcomers,
    flood: Flood,
    retry_threshold: u32,
    before: BTreeMap<String, u64>,
    most_in_progress: u64,
}

impl Beside {
    /// Makes the flood's packets, then lets good clients come.
    pub(super) fn begin(fleet: &Fleet, retry_threshold: u32) -> Result<Self> {
        let packets = Packets::make()?;
        Ok(Self { newcomers: Newcomers::start(fleet.client()), packets, retry_threshold })
    }

    /// Begins the flood. Who comes from now on counts as flooded.
    pub(super) fn flood(self, fleet: &Fleet) -> Result<Flooded<'_>> {
        let before = packets(fleet)?;
        let flood = Flood::start(fleet, self.packets)?;
        self.newcomers.flood_begins();
        let Self { newcomers, retry_threshold, .. } = self;
        Ok(Flooded { fleet, newcomers, flood, retry_threshold, before, most_in_progress: 0 })
    }
}

impl Flooded<'_> {
    /// Lets the flood go on.
    pub(super) fn last(&mut self, time: Duration) -> Result<()> {
        for _ in 0..time.div_duration_f64(LOOK_EACH) as u32 {
            for node in self.fleet.nodes() {
                let metrics = node.metrics()?;
                let in_progress = metrics.sum("landfast_handshakes_in_progress", &[]);
                self.most_in_progress = self.most_in_progress.max(in_progress);
            }
            sleep(LOOK_EACH);
        }
        Ok(())
    }

    /// Ends it.
    pub(super) fn stop(self) -> Result<impl FnOnce(&Tally) -> Noticed> {
        let newcomers = self.newcomers.finish()?;
        let sent = self.flood.stop()?;
        let mut packets = packets(self.fleet)?;
        packets.iter_mut().for_each(|(series, count)| {
            *count -= self.before.get(series).copied().unwrap_or(0);
        });
        packets.retain(|_, count| *count > 0);
        let (retry_threshold, most_in_progress) = (self.retry_threshold, self.most_in_progress);
        Ok(move |tally: &Tally| {
            let both = |per_cent| {
                [&tally.before_us, &tally.after_us]
                    .map(|times| percentile(times, per_cent).unwrap_or(0))
            };
            Noticed {
                initials: sent.initials,
                initials_per_second: (sent.initials as f64 / sent.took.as_secs_f64()) as u64,
                retry_threshold,
                most_in_progress,
                requests_p50_us: both(50),
                requests_p99_us: both(99),
                newcomers,
                packets,
            }
        })
    }
}

fn packets(fleet: &Fleet) -> Result<BTreeMap<String, u64>> {
    let mut sum = BTreeMap::new();
    for node in fleet.nodes() {
        for (series, count) in node.metrics()?.all_packets() {
            *sum.entry(series).or_default() += count;
        }
    }
    Ok(sum)
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1000.0;
        writeln!(
            f,
            "  flood: {} Initials, {} a second; at most {} handshakes in progress at a node, \
             Retry above {}",
            self.initials, self.initials_per_second, self.most_in_progress, self.retry_threshold
        )?;
        for (when, index) in [("before it", 0), ("during it", 1)] {
            let new = &self.newcomers[index];
            writeln!(
                f,
                "  {when}: requests took {:.1} ms, 99 % at most {:.1} ms; {} of {} newcomers were \
                 answered, in {:.1} ms, 99 % within {:.1} ms",
                ms(self.requests_p50_us[index]),
                ms(self.requests_p99_us[index]),
                new.answered,
                new.tried,
                ms(new.p50_us),
                ms(new.p99_us),
            )?;
        }
        let packets = self.packets.iter().map(|(series, count)| format!("{series} {count}"));
        write!(f, "  packets: {}", packets.collect::<Vec<_>>().join(", "))
    }
}
