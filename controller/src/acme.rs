//! Orders at authorities that speak ACME (RFC 8555), from a request to a certificate that every
//! node serves.
//!
//! | module | job |
//! |---|---|
//! | [`order`] | the state machine of an order, pure |
//! | [`barrier`] | whether the authority may be told, pure |
//! | [`probe`] | asks a node what the authority will ask it |
//! | `gate` | the barrier at work |
//! | `carry` | carries one order to its end |
//! | `account`, `client` | accounts and their keys, and how an authority is asked |
//! | `signed` | what is asked in words of our own |
//! | [`challenge`] | keys, and answers to challenges |
//! | [`hook`] | the command for DNS-01 |
//! | `windows` | when authorities suggest to renew |
//! | [`words`] | what an authority's error means |
//! | [`observed`] | metrics |
//!
//! [`run`] is one task: it looks at what is due ([`crate::renew`]), starts a task for each order,
//! and does what an operator asks. An authority that hangs holds up its own orders only.

mod account;
pub mod barrier;
mod carry;
pub mod challenge;
mod client;
mod gate;
pub mod hook;
pub mod observed;
mod operator;
pub mod order;
pub mod probe;
mod rounds;
mod signed;
mod windows;
pub mod words;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::certificate::import::Files;
use crate::certificate::names::Policy;
use crate::config::Issuer;
use crate::ledger::Ledger;
use crate::limits;
use crate::nodes::{Holds, Nodes};
use crate::records::{Node, NodeStanding, Request};
use crate::renew::Limits;
use barrier::Has;
use observed::Observed;
pub use words::Trouble;

/// What orders need to know of nodes.
pub trait Fleet: Send + Sync + 'static {
    /// Nodes whose lease is valid.
    fn live(&self) -> Vec<u16>;

    /// Of every live node that this item is for: whether it holds it as of `serial`.
    fn holds(&self, key: &str, serial: u64) -> Vec<(u16, Has)>;

    /// Moves with any acknowledgement, refusal, and lease begun or lost.
    fn changed(&self) -> watch::Receiver<u64>;
}

impl Fleet for Nodes {
    fn live(&self) -> Vec<u16> {
        Self::live(self)
    }

    fn holds(&self, key: &str, serial: u64) -> Vec<(u16, Has)> {
        let holds = Self::holds(self, key, serial).into_iter().map(|(node, holds)| match holds {
            Holds::Yes => (node, Has::Yes),
            Holds::NotYet => (node, Has::NotYet),
            Holds::Refused(why) => (node, Has::Refused(why)),
        });
        holds.collect()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        Self::changed(self)
    }
}

/// Who issues, and how.
#[derive(Clone, Debug)]
pub struct Issuers {
    /// Authorities by name; `internal` is not among them.
    pub by_name: BTreeMap<String, Issuer>,
    /// What names may be issued.
    pub policy: Policy,
    /// Where the certificate of the internal issuer is written, for clients to trust.
    pub internal_file: Option<PathBuf>,
    /// Certificates of one's own.
    pub imported: Vec<Files>,
    /// Where nodes are asked.
    pub ports: probe::Ports,
    /// How long everything may take.
    pub times: Times,
    /// Nodes of an earlier controller are back within this.
    pub lease: Duration,
    /// For jitter; another for each controller.
    pub seed: u64,
}

/// How long everything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// One answer of an authority.
    pub request: Duration,
    /// An authority that looks at answers, or issues.
    pub settle: Duration,
    /// The barrier's deadline.
    pub barrier: Duration,
    /// Until routes have left a node that was drained.
    pub drain_settles: Duration,
    /// Between two looks at imported files.
    pub look_at_files: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            request: limits::DEFAULT_ACME_REQUEST,
            settle: limits::DEFAULT_SETTLE,
            barrier: limits::DEFAULT_BARRIER,
            drain_settles: limits::DEFAULT_DRAIN,
            look_at_files: limits::DEFAULT_IMPORT_LOOK,
        }
    }
}

/// Limits of an issuer where nothing else is said.
pub const DEFAULT_LIMITS: Limits = Limits {
    concurrent: limits::DEFAULT_CONCURRENT_ORDERS,
    an_hour: limits::DEFAULT_ORDERS_PER_HOUR,
};

/// What an operator wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// A certificate for these names; the request replaces one of the same ID.
    Request(Request),
    /// A new certificate now, whatever the age of the old one.
    Renew(String),
    /// The authority declares the certificate void; a new one is ordered at once.
    Revoke {
        /// The certificate.
        id: String,
        /// Why.
        reason: RevocationReason,
    },
    /// Request and certificate go; nodes serve it no more.
    Remove(String),
    /// A certificate of one's own, once.
    Import(Pems),
    /// The account at this issuer gets a new key.
    RollAccount(String),
}

/// Why a certificate must not be trusted any more (RFC 5280 section 5.3.1): those that its owner can
/// give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationReason {
    /// None is said.
    Unspecified,
    /// Somebody else may have its key.
    KeyCompromise,
    /// What it says of its owner is not so any more.
    AffiliationChanged,
    /// Another takes its place.
    #[default]
    Superseded,
    /// Its names are given up.
    CessationOfOperation,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
    ];

    /// As a command names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
        }
    }

    const fn acme(self) -> instant_acme::RevocationReason {
        use instant_acme::RevocationReason as Theirs;
        match self {
            Self::Unspecified => Theirs::Unspecified,
            Self::KeyCompromise => Theirs::KeyCompromise,
            Self::AffiliationChanged => Theirs::AffiliationChanged,
            Self::Superseded => Theirs::Superseded,
            Self::CessationOfOperation => Theirs::CessationOfOperation,
        }
    }
}

/// A certificate of one's own, as texts in PEM.
#[derive(Clone, PartialEq)]
pub struct Pems {
    /// What it is called.
    pub id: String,
    /// The chain, the server's own certificate first.
    pub chain: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for Pems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pems").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A deed, and who is told what came of it. The answer is for people.
#[derive(Debug)]
pub struct Ask {
    /// What is wanted.
    pub deed: Deed,
    /// Told once it is done or begun; an order goes on afterwards.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// What every order needs.
struct Context {
    ledger: Arc<Ledger>,
    fleet: Arc<dyn Fleet>,
    settings: Issuers,
    accounts: account::Accounts,
    observed: Arc<Observed>,
    started: Instant,
}

impl Context {
    /// Nodes that take traffic and may come back to this controller as they were with an earlier
    /// one: their leases were valid, for all we know.
    fn not_back_yet(&self) -> Vec<u16> {
        if self.started.elapsed() >= self.settings.lease {
            return Vec::new();
        }
        let serving = self.ledger.find(|node: &Node| node.standing == NodeStanding::Serving);
        serving.into_iter().map(|stored| stored.value.id).collect()
    }

    /// Whether nodes answer for this issuer's account without knowing the token.
    fn is_stateless(&self, issuer: &str) -> bool {
        self.settings.by_name.get(issuer).is_some_and(|issuer| issuer.stateless)
    }
}

/// Orders what is due, for as long as the controller runs. Dropped at any point, the next one goes
/// on from the ledger.
pub async fn run(
    ledger: Arc<Ledger>,
    fleet: Arc<dyn Fleet>,
    issuers: Issuers,
    asks: mpsc::Receiver<Ask>,
    observed: Arc<Observed>,
) -> Infallible {
    if let Err(error) = account::answer_for_no_other(&ledger, &issuers.by_name).await {
        tracing::error!("nodes go on answering for accounts that they should not: {error}");
    }
    let (accounts, started) = (account::Accounts::default(), Instant::now());
    let context =
        Arc::new(Context { ledger, fleet, settings: issuers, accounts, observed, started });
    rounds::Rounds::new(context, asks).run().await
}

/// Seconds since 1970, by the wall clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
