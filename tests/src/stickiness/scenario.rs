//! What happens while connections are busy.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::Clients;
use crate::fleet::Fleet;

/// How long the other site has the routes: longer than a request may take.
const AWAY: Duration = Duration::from_secs(4);

/// One of the five.
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
}

impl Scenario {
    /// Every scenario, in the order of a report.
    pub const ALL: [Self; 5] = [
        Self::PortRebinding,
        Self::AddressChange,
        Self::NodeAdded,
        Self::RouteWithdrawn,
        Self::SiteFlip,
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
        }
    }

    /// The nodes that are routed to while connections are made.
    pub(super) const fn routes(self) -> &'static [&'static str] {
        match self {
            Self::NodeAdded => &["a1", "a2"],
            _ => &["a1", "a2", "a3"],
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
        }
    }
}
