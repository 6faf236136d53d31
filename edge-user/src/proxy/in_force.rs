//! What a worker answers by at this moment, and what it has counted.
//!
//! The worker looks whether there is something new before each request, which costs the read of one
//! number. A request that is under way ends by what it began with.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;

use super::Distributions;
use super::durations::{Durations, DurationsReport};
use super::origins::Upstream;
use super::origins::counts::OriginReport;
use crate::access_log::note::Note;
use crate::config::distributions::{Answer, Distribution};
use crate::config::origins::Server;
use crate::http::{VERSIONS, Version};

/// Classes of final status codes, 2xx to 5xx.
pub const CLASSES: usize = 4;
/// Their names, as in metrics.
pub const CLASS_NAMES: [&str; CLASSES] = ["2xx", "3xx", "4xx", "5xx"];
/// What answers of no distribution are counted under: their hosts are not served. No host's name
/// begins with it.
const NOBODY: &str = "-";

/// What a worker answers by, whenever it asks.
pub struct InForce {
    changes: RefCell<watch::Receiver<Arc<Distributions>>>,
    held: RefCell<Rc<Held>>,
    workers: usize,
}

/// What a worker answers a request by.
pub struct Held {
    distributions: Arc<Distributions>,
    /// By distribution, and one more for those of none.
    answered: Vec<Rc<Answered>>,
    /// By origin.
    upstreams: Vec<Rc<Upstream>>,
}

struct Answered {
    label: Arc<str>,
    by_version: [[Cell<u64>; CLASSES]; VERSIONS],
    durations: Durations,
}

/// Answers of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredReport {
    /// The distribution's first name; `-` where the host is none of any, or the request was refused
    /// before that was asked.
    pub distribution: Arc<str>,
    /// By version as in [`Version::ALL`], and by class as in [`CLASS_NAMES`].
    pub by_version: [[u64; CLASSES]; VERSIONS],
    /// From a request's head to that of its answer.
    pub durations: DurationsReport,
}

/// Who has to do with a request, as far as that has become known.
pub(crate) struct Named<'a> {
    /// The distribution's first name.
    pub(crate) distribution: Option<&'a str>,
    /// The behaviour's path, and what kind of answer it is.
    pub(crate) behaviour: Option<(&'a str, &'static str)>,
    /// The origin that it asks.
    pub(crate) origin: Option<&'a str>,
    /// The server that was asked last.
    pub(crate) server: Option<&'a Server>,
}

impl InForce {
    /// By what `changes` has, and whatever comes there, at one of so many workers.
    #[must_use]
    pub fn new(mut changes: watch::Receiver<Arc<Distributions>>, workers: usize) -> Self {
        let distributions = Arc::clone(&changes.borrow_and_update());
        let held = RefCell::new(Rc::new(Held::new(distributions, workers, None)));
        Self { changes: RefCell::new(changes), held, workers }
    }

    /// What is in force now.
    #[must_use]
    pub fn load(&self) -> Rc<Held> {
        let mut changes = self.changes.borrow_mut();
        // What is there is in force where nobody is left to change it.
        if changes.has_changed().unwrap_or(false) {
            let distributions = Arc::clone(&changes.borrow_and_update());
            let next = Held::new(distributions, self.workers, Some(&self.held.borrow()));
            self.held.replace(Rc::new(next));
        }
        Rc::clone(&self.held.borrow())
    }

    /// What was counted, of the distributions that are in force. None where there are none.
    #[must_use]
    pub fn report(&self) -> Vec<AnsweredReport> {
        let held = self.load();
        if held.is_empty() {
            return Vec::new();
        }
        let report = |answered: &Rc<Answered>| AnsweredReport {
            distribution: Arc::clone(&answered.label),
            by_version: answered
                .by_version
                .each_ref()
                .map(|by_class| by_class.each_ref().map(Cell::get)),
            durations: answered.durations.report(),
        };
        held.answered.iter().map(report).collect()
    }

    /// What was counted of the origins that are in force.
    #[must_use]
    pub fn origins(&self) -> Vec<OriginReport> {
        self.load().upstreams.iter().map(|upstream| upstream.report()).collect()
    }
}

/// Without distributions, for good.
impl Default for InForce {
    fn default() -> Self {
        Self::new(watch::channel(Arc::default()).1, 1)
    }
}

impl Held {
    /// Counts go on where a distribution or an origin keeps its name; connections to an origin, too,
    /// where nothing of it has changed.
    fn new(distributions: Arc<Distributions>, workers: usize, earlier: Option<&Self>) -> Self {
        let known = |answered: &Rc<Answered>| (Arc::clone(&answered.label), Rc::clone(answered));
        let earlier_answered = earlier.map_or(&[][..], |earlier| &earlier.answered);
        let mut known: HashMap<_, _> = earlier_answered.iter().map(known).collect();
        let labels = distributions.served.iter().map(Distribution::label);
        let answered = labels.chain([NOBODY.to_owned()]).map(|label| {
            known.remove(&*label).unwrap_or_else(|| {
                let (by_version, durations) = Default::default();
                Rc::new(Answered { label: label.into(), by_version, durations })
            })
        });
        let upstreams = distributions.origins.iter().map(|watched| {
            let mut earlier = earlier.iter().flat_map(|earlier| &earlier.upstreams);
            let earlier = earlier.find(|upstream| upstream.watched().name() == watched.name());
            match earlier {
                Some(earlier) if Arc::ptr_eq(earlier.watched(), watched) => Rc::clone(earlier),
                earlier => {
                    let earlier = earlier.map(|earlier| &**earlier);
                    Rc::new(Upstream::new(Arc::clone(watched), workers, earlier))
                }
            }
        });
        Self { answered: answered.collect(), upstreams: upstreams.collect(), distributions }
    }

    /// The origin that proxies call by this name: the configuration was checked for it.
    pub(super) fn upstream(&self, name: &str) -> Option<&Rc<Upstream>> {
        self.upstreams.get(*self.distributions.by_name.get(name)?)
    }

    /// All of them.
    #[must_use]
    pub fn distributions(&self) -> &Distributions {
        &self.distributions
    }

    /// Whether there are none: then whoever asks is told who answers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.distributions.is_empty()
    }

    /// What a note's places are called.
    pub(crate) fn named(&self, note: &Note) -> Named<'_> {
        let (place, distributions) = (note.distribution.get(), &self.distributions);
        let distribution = place.and_then(|index| distributions.served.get(index));
        let behaviour = distribution.zip(note.behaviour.get());
        let behaviour = behaviour.and_then(|(it, index)| it.behaviours.get(index));
        let origin = behaviour.and_then(|behaviour| match &behaviour.answer {
            Answer::Proxy(proxy) => distributions.by_name.get(&proxy.origin),
            Answer::Redirect(_) | Answer::Respond(_) | Answer::Files(_) => None,
        });
        let origin = origin.map(|index| distributions.origins[*index].origin());
        let server = origin.zip(note.server.get());
        Named {
            distribution: place.and_then(|index| self.answered.get(index)).map(|it| &*it.label),
            behaviour: behaviour.map(|it| (it.path.path(), it.answer.name())),
            origin: origin.map(|origin| &*origin.name),
            server: server.and_then(|(origin, index)| origin.servers.get(index)),
        }
    }

    /// Notes that a request was answered, by a distribution or by none.
    pub(super) fn count(
        &self,
        distribution: Option<usize>,
        version: Version,
        status: StatusCode,
        took: Duration,
    ) {
        let answered = &self.answered[distribution.unwrap_or(self.answered.len() - 1)];
        let class = usize::from(status.as_u16() / 100).saturating_sub(2).min(CLASSES - 1);
        let count = &answered.by_version[version as usize][class];
        count.set(count.get() + 1);
        answered.durations.note(took);
    }

    /// Notes that a request was refused before anybody was asked whose it is.
    pub(crate) fn count_refused(&self, version: Version, status: StatusCode) {
        self.count(None, version, status, Duration::ZERO);
    }
}
