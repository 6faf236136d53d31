//! How the fleet's secrets change while every node goes on reading what every other makes.
//!
//! Each kind goes round alone:
//!
//! ```text
//! resting --due or asked--> readable --proved--> making --proved--> aging --old enough--> resting
//! ```
//!
//! *Readable*: nodes read what the next key makes, and nobody makes with it. *Making*: every node
//! is told to make with it. *Aging*: all do, and what the old key made ends by itself. Then the old
//! key goes. "Proved" is that every live node holds the state before: so at each moment two stages
//! that follow each other are out at most, and whatever either makes, both read. Every step is one
//! that nodes accept while connections live ([`Secrets::change_to`]), without a warning.
//!
//! [`step`] is pure; [`run`](fn@run) gives it time and proof, and commits. Where a rotation stands is in the
//! same record as the secrets: a controller that is killed goes on from there.

mod proof;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fleet_wire::secrets::{
    CONNECTION_ID_CONFIGS, ConnectionIdConfig, ENCAPSULATION_KEYS, EncapsulationSecret, Rotating,
    Secrets, TICKET_LIFETIME, TOKEN_LIFETIME,
};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::limits;
use crate::records;

pub use proof::Prover;
pub use run::{Answer, Ask, Proof, run};

/// A kind of secret that rotates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Keys of TLS session tickets.
    Tickets,
    /// Keys of Retry and NEW_TOKEN tokens.
    Tokens,
    /// Configs of connection IDs, with their reset keys.
    ConnectionIds,
    /// Keys of the encapsulation between nodes.
    Encapsulation,
}

impl Kind {
    /// All there are. `worker_hash` is none: both Initials of a ClientHello under way would meet
    /// different workers, and it guards nothing that ages.
    pub const ALL: [Self; 4] =
        [Self::Tickets, Self::Tokens, Self::ConnectionIds, Self::Encapsulation];

    /// As commands name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Tokens => "tokens",
            Self::ConnectionIds => "connection-ids",
            Self::Encapsulation => "encapsulation",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(())
    }
}

/// Where the rotation of a kind stands. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum Stage {
    /// One key makes and reads, since then.
    Resting {
        /// When it began to make.
        since: u64,
    },
    /// The next key reads too.
    Readable {
        /// When the present key began to make.
        since: u64,
    },
    /// The next key is the present one; some nodes may still make with the previous.
    Making {
        /// When it became so.
        since: u64,
    },
    /// Every node makes with the present key.
    Aging {
        /// When it began to make.
        since: u64,
        /// Until then something that the previous key made may be in use.
        until: u64,
    },
}

impl Stage {
    /// Every name of a stage, in their order.
    pub const NAMES: [&'static str; 4] = ["resting", "readable", "making", "aging"];

    /// As `secrets list` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resting { .. } => "resting",
            Self::Readable { .. } => "readable",
            Self::Making { .. } => "making",
            Self::Aging { .. } => "aging",
        }
    }

    /// When the present key began to make.
    #[must_use]
    pub const fn since(self) -> u64 {
        match self {
            Self::Resting { since }
            | Self::Readable { since }
            | Self::Making { since }
            | Self::Aging { since, .. } => since,
        }
    }
}

/// When each kind rotates, and how long what it made is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    config: config::Rotation,
}

impl Schedule {
    /// As the configuration has it.
    #[must_use]
    pub const fn new(config: config::Rotation) -> Self {
        Self { config }
    }

    /// From one key to the next; none by schedule where that is zero.
    fn period(&self, kind: Kind) -> Option<u64> {
        let period = match kind {
            Kind::Tickets => self.config.tickets,
            Kind::Tokens => self.config.tokens,
            Kind::ConnectionIds => self.config.connection_ids,
            Kind::Encapsulation => self.config.encapsulation,
        };
        Some(period.as_secs()).filter(|period| *period > 0)
    }

    /// For how long something may be in use that a key made.
    fn lifetime(&self, kind: Kind) -> u64 {
        let lifetime: Duration = match kind {
            Kind::Tickets => TICKET_LIFETIME,
            Kind::Tokens => TOKEN_LIFETIME,
            // A client is asked for a new ID once in a lifetime, and has one more to do so.
            Kind::ConnectionIds => self.config.connection_id_lifetime * 2,
            Kind::Encapsulation => limits::ENCAPSULATION_LIFETIME,
        };
        lifetime.as_secs()
    }

    /// When the next rotation of a kind begins that rests.
    #[must_use]
    pub fn next(&self, kind: Kind, stage: Stage) -> Option<u64> {
        Some(stage.since().saturating_add(self.period(kind)?))
    }
}

/// Where each kind stands, by a record that has them.
///
/// # Errors
/// Where the record is not what this program wrote.
pub fn stages(record: &records::Secrets) -> Result<BTreeMap<Kind, Stage>, RotationError> {
    let stages = record.rotations.iter().map(|(kind, stage)| {
        let kind: Kind = kind
            .parse()
            .map_err(|()| RotationError::Record(format!("`{kind}` is no kind of secret")))?;
        let stage = serde_json::from_value(stage.clone())
            .map_err(|error| RotationError::Record(format!("{kind}: {error}")))?;
        Ok((kind, stage))
    });
    stages.collect()
}

/// The secrets, and where each kind stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// As nodes get them.
    pub secrets: Secrets,
    /// One for each kind.
    pub stages: BTreeMap<Kind, Stage>,
}

/// Why a rotation cannot go on. No message holds a byte of a key.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The record is not what this program wrote.
    #[error("the record of the fleet's secrets cannot be read: {0}")]
    Record(String),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
    /// Nodes would refuse it or lose connections. Nothing is changed.
    #[error("a step of the rotation is not one that nodes take: {0}")]
    Step(String),
}

impl State {
    /// Secrets that begin now: a key that is there besides the present one ages from now on.
    #[must_use]
    pub fn begin(secrets: Secrets, now: u64, schedule: &Schedule) -> Self {
        let stage = |kind| match has_previous(&secrets, kind) {
            true => Stage::Aging { since: now, until: now + schedule.lifetime(kind) },
            false => Stage::Resting { since: now },
        };
        let stages = Kind::ALL.into_iter().map(|kind| (kind, stage(kind))).collect();
        Self { secrets, stages }
    }

    /// Out of the record; a kind that it says nothing of begins now.
    ///
    /// # Errors
    /// [`RotationError::Record`].
    pub fn read(
        record: &records::Secrets,
        now: u64,
        schedule: &Schedule,
    ) -> Result<Self, RotationError> {
        let secrets = Secrets::parse("secrets".as_ref(), &record.fleet_file)
            .map_err(|error| RotationError::Record(error.to_string()))?;
        let mut state = Self::begin(secrets, now, schedule);
        state.stages.extend(stages(record)?);
        Ok(state)
    }

    /// As it is stored.
    #[must_use]
    pub fn record(&self) -> records::Secrets {
        let stage = |stage: &Stage| serde_json::to_value(stage).expect("words and numbers");
        let stages = self.stages.iter();
        records::Secrets {
            fleet_file: fleet_wire::secrets::to_text(&self.secrets),
            rotations: stages.map(|(kind, at)| (kind.name().to_owned(), stage(at))).collect(),
        }
    }
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct Step {
    /// The state from now on.
    pub state: State,
    /// The kinds that moved.
    pub moved: Vec<Kind>,
}

/// The next step, if there is one now. `proved`: every live node holds `state`, and every other
/// node is past its lease. `asked`: kinds whose rotation is to begin at once. `random` fills in
/// fresh keys.
///
/// # Errors
/// Where there is no random number, or the step would be one that nodes don't take: never by what
/// is done here, and checked all the same.
pub fn step(
    state: &State,
    now: u64,
    schedule: &Schedule,
    proved: bool,
    asked: &BTreeSet<Kind>,
    random: &mut dyn FnMut(&mut [u8]) -> Result<(), RotationError>,
) -> Result<Option<Step>, RotationError> {
    if !proved {
        return Ok(None);
    }
    let mut after = state.clone();
    let mut moved = Vec::new();
    for (&kind, &stage) in &state.stages {
        let stage = not_of_the_future(stage, now, schedule.lifetime(kind));
        let next = match stage {
            Stage::Resting { since } => {
                let due = schedule.next(kind, stage).is_some_and(|next| next <= now);
                if !due && !asked.contains(&kind) {
                    continue;
                }
                add_next(&mut after.secrets, kind, random)?;
                Stage::Readable { since }
            }
            Stage::Readable { .. } => {
                make_with_next(&mut after.secrets, kind);
                Stage::Making { since: now }
            }
            Stage::Making { since } => {
                Stage::Aging { since, until: now.saturating_add(schedule.lifetime(kind)) }
            }
            Stage::Aging { until, .. } if now < until => continue,
            Stage::Aging { since, .. } => {
                drop_previous(&mut after.secrets, kind);
                Stage::Resting { since }
            }
        };
        after.stages.insert(kind, next);
        moved.push(kind);
    }
    if moved.is_empty() {
        return Ok(None);
    }
    let change = state.secrets.change_to(after.secrets.clone());
    let change = change.map_err(|refused| RotationError::Step(refused.to_string()))?;
    if let Some(warning) = change.warnings.first() {
        return Err(RotationError::Step(warning.clone()));
    }
    Ok(Some(Step { state: after, moved }))
}

/// A clock that was wrong by years and is right again must not hold up a rotation for as long.
fn not_of_the_future(stage: Stage, now: u64, lifetime: u64) -> Stage {
    match stage {
        Stage::Aging { since, until } => {
            Stage::Aging { since: since.min(now), until: until.min(now.saturating_add(lifetime)) }
        }
        Stage::Resting { since } => Stage::Resting { since: since.min(now) },
        Stage::Readable { since } => Stage::Readable { since: since.min(now) },
        Stage::Making { since } => Stage::Making { since: since.min(now) },
    }
}

fn rotating(secrets: &mut Secrets, kind: Kind) -> Option<&mut Rotating> {
    match kind {
        Kind::Tickets => Some(&mut secrets.tickets),
        Kind::Tokens => Some(&mut secrets.tokens),
        Kind::ConnectionIds | Kind::Encapsulation => None,
    }
}

fn has_previous(secrets: &Secrets, kind: Kind) -> bool {
    match kind {
        Kind::Tickets => secrets.tickets.previous.is_some(),
        Kind::Tokens => secrets.tokens.previous.is_some(),
        Kind::ConnectionIds => secrets.connection_ids.len() > 1,
        Kind::Encapsulation => secrets.encapsulation_keys.len() > 1,
    }
}

fn add_next(
    secrets: &mut Secrets,
    kind: Kind,
    random: &mut dyn FnMut(&mut [u8]) -> Result<(), RotationError>,
) -> Result<(), RotationError> {
    if let Some(keys) = rotating(secrets, kind) {
        let mut key = [0; 32];
        random(&mut key)?;
        keys.next.get_or_insert(key);
    } else if kind == Kind::ConnectionIds {
        let ConnectionIdConfig { length, key, .. } = *secrets.minting();
        let (mut fresh, mut reset_key) = ([0; 16], [0; 32]);
        random(&mut fresh)?;
        random(&mut reset_key)?;
        // The one that was away longest: a node that was away too has forgotten it.
        let config_id = next_id(secrets.mint, CONNECTION_ID_CONFIGS);
        let key = key.map(|_| fresh);
        secrets.connection_ids.push(ConnectionIdConfig { config_id, length, key, reset_key });
    } else {
        let mut key = [0; 16];
        random(&mut key)?;
        let key_id = next_id(secrets.encapsulate_with, ENCAPSULATION_KEYS);
        secrets.encapsulation_keys.push(EncapsulationSecret { key_id, key });
    }
    Ok(())
}

fn make_with_next(secrets: &mut Secrets, kind: Kind) {
    if let Some(keys) = rotating(secrets, kind) {
        if let Some(next) = keys.next.take() {
            keys.previous = Some(std::mem::replace(&mut keys.current, next));
        }
    } else if kind == Kind::ConnectionIds {
        secrets.mint = next_id(secrets.mint, CONNECTION_ID_CONFIGS);
    } else {
        secrets.encapsulate_with = next_id(secrets.encapsulate_with, ENCAPSULATION_KEYS);
    }
}

fn drop_previous(secrets: &mut Secrets, kind: Kind) {
    let (mint, send_with) = (secrets.mint, secrets.encapsulate_with);
    if let Some(keys) = rotating(secrets, kind) {
        keys.previous = None;
    } else if kind == Kind::ConnectionIds {
        secrets.connection_ids.retain(|config| config.config_id == mint);
    } else {
        secrets.encapsulation_keys.retain(|key| key.key_id == send_with);
    }
}

fn next_id(id: u8, ids: u8) -> u8 {
    (id + 1) % ids
}

#[cfg(test)]
mod tests;
