//! An order as it is kept: a state machine that knows no network and no clock.
//!
//! ```text
//! Waiting ─begin─▶ Intended ─ordered─▶ Ordered ─answers─▶ Answering ─barrier─▶ Open ─told─▶ Told
//!    ▲                                                                                       │
//!    └────────── any failure                                     Finalised ◀─validated──────┘
//!                                                                    │ stored
//!                                                              Stored ─▶ (gone)
//! ```
//!
//! Each state is in the ledger before the next thing is done outside, and what it is done with (the
//! key, the order's URL, the answers) is in it. So whoever opens the ledger after a crash does the
//! next thing again, with the same key and the same order: every one of them may be done twice.

use serde::{Deserialize, Serialize};

use super::challenge::Answer;
use crate::records;

/// How far an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "at")]
pub enum Phase {
    /// There is no order at the authority; the next attempt is not before then.
    Waiting {
        /// Seconds since 1970.
        not_before: u64,
    },
    /// The key is made, and the authority will be asked for an order.
    Intended,
    /// The authority has an order.
    Ordered,
    /// Answers to its challenges are in the ledger, and thereby on their way to nodes.
    Answering,
    /// Every node that counts gives the answers.
    Open,
    /// The authority was told that it may knock.
    Told,
    /// It is convinced, and has been sent the signing request.
    Finalised,
    /// The certificate is in the ledger, and on its way to nodes.
    Stored,
}

impl Phase {
    /// Its name, for people and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Intended => "intended",
            Self::Ordered => "ordered",
            Self::Answering => "answering",
            Self::Open => "open",
            Self::Told => "told",
            Self::Finalised => "finalised",
            Self::Stored => "stored",
        }
    }
}

/// A failure, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Seconds since 1970.
    pub at: u64,
    /// In which phase.
    pub phase: String,
    /// For people.
    pub why: String,
}

/// Everything that is needed to go on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far it is.
    pub phase: Phase,
    /// What names it is for. A request that changes meanwhile gets another order.
    #[serde(default)]
    pub names: Vec<String>,
    /// At whom.
    #[serde(default)]
    pub issuer: String,
    /// The certificate's key, PKCS #8 in PEM.
    #[serde(default)]
    pub key: String,
    /// The order's URL (RFC 8555 section 7.4): the identity of the order at its authority.
    #[serde(default)]
    pub url: Option<String>,
    /// Answers to challenges.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// Nodes that this order has drained, and that serve again when it ends.
    #[serde(default)]
    pub drained: Vec<u16>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// The last one.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// An operator wants it now.
    #[serde(default)]
    pub asked: bool,
}

/// What happened outside.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// It is begun with this key.
    Begun {
        /// At whom.
        issuer: String,
        /// For whom.
        names: Vec<String>,
        /// PKCS #8 in PEM.
        key: String,
    },
    /// The authority has an order at this URL.
    Ordered(String),
    /// These answers are asked for; none where the authority remembers that the names are ours.
    Asked(Vec<Answer>),
    /// The barrier drains these nodes.
    Drained(Vec<u16>),
    /// The barrier is open.
    Passed,
    /// The authority was told.
    Told,
    /// The authority is convinced and has the signing request.
    Finalised,
    /// The certificate is good, and stored with this state.
    Downloaded,
}

/// An event that cannot be in this phase: a mistake of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order cannot go on from {0:?} like this")]
pub struct Unexpected(pub &'static str);

impl Default for State {
    fn default() -> Self {
        Self {
            phase: Phase::Waiting { not_before: 0 },
            names: Vec::new(),
            issuer: String::new(),
            key: String::new(),
            url: None,
            answers: Vec::new(),
            drained: Vec::new(),
            failures: 0,
            failure: None,
            asked: false,
        }
    }
}

impl State {
    /// Out of its record. One that cannot be read begins anew: what it knew is lost, the order at
    /// the authority ends by itself.
    #[must_use]
    pub fn of(record: &records::Order) -> Self {
        Self::deserialize(&record.state).unwrap_or_default()
    }

    /// As a record.
    #[must_use]
    pub fn record(&self, id: &str) -> records::Order {
        let state = serde_json::to_value(self).expect("strings and numbers are JSON");
        records::Order { id: id.to_owned(), state }
    }

    /// Whether there is an order to go on with.
    #[must_use]
    pub const fn is_in_progress(&self) -> bool {
        !matches!(self.phase, Phase::Waiting { .. })
    }

    /// The state after an event.
    ///
    /// # Errors
    /// Where the event does not follow from the state.
    pub fn after(mut self, event: Event) -> Result<Self, Unexpected> {
        let unexpected = Unexpected(self.phase.name());
        self.phase = match (self.phase, event) {
            (Phase::Waiting { .. }, Event::Begun { issuer, names, key }) => {
                (self.issuer, self.names, self.key, self.asked) = (issuer, names, key, false);
                Phase::Intended
            }
            (Phase::Intended, Event::Ordered(url)) => {
                self.url = Some(url);
                Phase::Ordered
            }
            (Phase::Ordered, Event::Asked(answers)) => {
                self.answers = answers;
                // An authority that remembers asks for nothing, and nobody is waited for.
                if self.answers.is_empty() { Phase::Told } else { Phase::Answering }
            }
            (Phase::Answering, Event::Drained(nodes)) => {
                self.drained.extend(nodes);
                Phase::Answering
            }
            (Phase::Answering, Event::Passed) => Phase::Open,
            (Phase::Open, Event::Told) => Phase::Told,
            (Phase::Told, Event::Finalised) => Phase::Finalised,
            (Phase::Finalised, Event::Downloaded) => Phase::Stored,
            _ => return Err(unexpected),
        };
        Ok(self)
    }

    /// The state after a failure, in whichever phase: the next attempt is `wait` from `now`, in
    /// seconds. The key goes too: it may be what was refused. Answers have been taken away.
    #[must_use]
    pub fn failed(&self, why: String, now: u64, wait: u64) -> Self {
        Self {
            phase: Phase::Waiting { not_before: now.saturating_add(wait) },
            failures: self.failures.saturating_add(1),
            failure: Some(Failure { at: now, phase: self.phase.name().to_owned(), why }),
            ..Self::default()
        }
    }
}

/// Without what is secret: a new order's key.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Begun { names, .. } => f.debug_tuple("Begun").field(names).finish(),
            Self::Ordered(url) => f.debug_tuple("Ordered").field(url).finish(),
            Self::Asked(answers) => f.debug_tuple("Asked").field(answers).finish(),
            Self::Drained(nodes) => f.debug_tuple("Drained").field(nodes).finish(),
            Self::Passed => f.write_str("Passed"),
            Self::Told => f.write_str("Told"),
            Self::Finalised => f.write_str("Finalised"),
            Self::Downloaded => f.write_str("Downloaded"),
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("phase", &self.phase)
            .field("names", &self.names)
            .field("issuer", &self.issuer)
            .field("url", &self.url)
            .field("failures", &self.failures)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Begun {
                issuer: "a".into(),
                names: vec!["a.example".into()],
                key: "SECRET".into()
            }),
            Just(Event::Ordered("https://a/order/1".into())),
            Just(Event::Asked(Vec::new())),
            Just(Event::Asked(vec![Answer::Dns01 { name: "a".into(), value: "v".into() }])),
            Just(Event::Drained(vec![3])),
            Just(Event::Passed),
            Just(Event::Told),
            Just(Event::Finalised),
            Just(Event::Downloaded),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_an_order_is_resumed_as_it_was(
            // None: a failure.
            events in proptest::collection::vec(proptest::option::weighted(0.9, event()), 0..60),
        ) {
            let mut state = State::default();
            for event in events {
                let before = state.clone();
                let after = match event {
                    Some(event) => state.after(event),
                    None => Ok(state.failed("no".into(), 1, 8)),
                };
                let Ok(after) = after else {
                    state = before;
                    continue;
                };
                prop_assert_eq!(after.failures > before.failures, !after.is_in_progress());
                prop_assert_eq!(&State::of(&after.record("a")), &after);
                // Between its beginning and its end an order keeps its key, and its URL once known.
                if before.is_in_progress() && after.is_in_progress() {
                    prop_assert_eq!(&before.key, &after.key);
                    prop_assert!(before.url.is_none() || before.url == after.url);
                }
                let known = !matches!(after.phase, Phase::Waiting { .. } | Phase::Intended);
                prop_assert_eq!(known, after.url.is_some());
                let shown = format!("{after:?}");
                prop_assert!(!shown.contains("SECRET"));
                state = after;
            }
        }
    }

    #[test]
    fn a_state_that_cannot_be_read_begins_anew() {
        let record = records::Order { id: "a".into(), state: serde_json::json!({"phase": 7}) };
        assert_eq!(State::of(&record), State::default());
    }
}
