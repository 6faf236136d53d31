//! What happens while connections are busy.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::Clients;
use crate::fleet::{Fleet, FleetOptions, Steering};

/// How long the other site has the routes: longer than a request may take.
const AWAY: Duration = Duration::from_secs(4);
/// How long each node has the routes alone: without steering the others are away for longer than a
/// request may take.
const EACH_NODE: Duration = Duration::from_secs(3);
/// Handshakes in progress that a node of this fleet bears: it has a part of a core, not a host.
const BEARABLE_HANDSHAKES: u32 = 250;
/// Good clients beside a flood: few enough that what they notice is the flood.
const BESIDE_A_FLOOD: usize = 50;

/// One of seven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Every client goes on from another port, as behind a NAT that forgot the first.
    PortRebinding,
    /// Every client goes on from another address, as a phone that leaves a WLAN.
    AddressChange,
    /// A third node is announced: the router spreads flows anew.
    NodeAdded,
    /// A node's route is withdrawn; the node runs on.
    RouteWithdrawn,
    /// Every packet goes to the other site, and later back.
    SiteFlip,
    /// Nodes with one, two and four workers get the packets of all, one after another.
    UnevenWorkers,
    /// Initials with false sources, more than nodes bear without a Retry; routes stay. With
    /// steering, each network has a budget; without, there is none.
    FloodBeside,
}

impl Scenario {
    /// Every scenario, in the order of a report.
    pub const ALL: [Self; 7] = [
        Self::PortRebinding,
        Self::AddressChange,
        Self::NodeAdded,
        Self::RouteWithdrawn,
        Self::SiteFlip,
        Self::UnevenWorkers,
        Self::FloodBeside,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PortRebinding => "port_rebinding",
            Self::AddressChange => "address_change",
            Self::NodeAdded => "node_added",
            Self::RouteWithdrawn => "route_withdrawn",
            Self::SiteFlip => "site_flip",
            Self::UnevenWorkers => "uneven_workers",
            Self::FloodBeside => "flood_beside",
        }
    }

    /// The nodes that are routed to while connections are made.
    pub(super) const fn routes(self) -> &'static [&'static str] {
        match self {
            Self::NodeAdded => &["a1", "a2"],
            _ => &["a1", "a2", "a3"],
        }
    }

    /// The fleet that it happens to.
    pub(super) fn options(self, steering: Steering) -> FleetOptions {
        let uneven_workers = match self {
            Self::UnevenWorkers => vec![("a1", 1), ("a2", 2), ("a3", 4)],
            _ => Vec::new(),
        };
        let admission = match (self, steering) {
            // A node of this fleet gets a few hundred Initials a second of each flooding network.
            (Self::FloodBeside, Steering::Native) => {
                "initials_per_second = 100\ninitials_burst = 200"
            }
            (Self::FloodBeside, _) => "initials_per_second = 0",
            _ => "",
        };
        let usual = FleetOptions::default();
        let retry_threshold = match self {
            Self::FloodBeside => BEARABLE_HANDSHAKES,
            _ => usual.retry_threshold,
        };
        FleetOptions { steering, uneven_workers, admission, retry_threshold, ..usual }
    }

    /// How many of the wanted connections are made.
    pub(super) fn connections(self, wanted: usize) -> usize {
        match self {
            Self::FloodBeside => wanted.min(BESIDE_A_FLOOD),
            _ => wanted,
        }
    }

    /// Lets it happen.
    pub(super) fn enact(self, fleet: &Fleet, clients: &mut Clients) -> Result<()> {
        let router = fleet.router();
        match self {
            Self::PortRebinding => clients.change_ports(),
            Self::AddressChange => clients.change_addresses(),
            Self::NodeAdded => router.route_to(&["a1", "a2", "a3"]),
            Self::RouteWithdrawn => router.route_to(&["a2", "a3"]),
            Self::SiteFlip => {
                router.route_to(&["b1"])?;
                sleep(AWAY);
                router.route_to(self.routes())
            }
            Self::UnevenWorkers => {
                for node in self.routes() {
                    router.route_to(&[node])?;
                    sleep(EACH_NODE);
                }
                router.route_to(self.routes())
            }
            Self::FloodBeside => Ok(()), // happens beside, see there
        }
    }
}
