//! How many connections a browser needs for a page and five more hosts, each on an address of its own
//! and all of them on one edge, with one certificate.
//!
//! | module | job |
//! |---|---|
//! | `site` | the edge, and what it tells clients |
//! | `browser` | browsers that nobody of this project wrote |

pub(crate) mod browser;
pub(crate) mod site;

use anyhow::{Context as _, Result, ensure};

use crate::fleet::Metrics;
pub use browser::{Browser, Protocol};
use site::Site;
pub use site::{HOSTS, Told};

/// A browser that has shown the page.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Run {
    /// Which browser.
    pub browser: Browser,
    /// Its version, as it says itself.
    pub browser_version: String,
    /// What it spoke.
    pub http_version: Protocol,
    /// Of which other names the edge told it, by ORIGIN frames.
    pub origin: Told,
    /// Connections by the protocol's transport, as the edge counted them.
    pub connections: u64,
}

impl Run {
    /// Whether this browser goes by the frame over this protocol: Firefox over HTTP/2, Chromium over
    /// HTTP/3.
    #[must_use]
    pub fn is_expected_to_coalesce(&self) -> bool {
        let pair = (self.browser, self.http_version);
        matches!(pair, (Browser::Firefox, Protocol::H2) | (Browser::Chromium, Protocol::H3))
    }

    /// Whether it needed as many connections as it should: one where all names were told, else one a
    /// host. Of pairs that nothing is expected of, anything is right.
    #[must_use]
    pub fn held(&self) -> bool {
        let expected = if self.origin == Told::All { 1 } else { HOSTS.len() as u64 };
        !self.is_expected_to_coalesce() || self.connections == expected
    }
}

/// Shows the page in one browser.
///
/// # Errors
/// Where the edge does not start, the browser does not run, or does not fetch all of the page by the
/// protocol that it was to speak.
pub fn run(browser: Browser, protocol: Protocol, told: Told) -> Result<Run> {
    let site = Site::start(told)?;
    let browser_version = browser.version()?;
    let _said =
        browser.show(&site, protocol).with_context(|| format!("{browser:?}, {protocol:?}"))?;
    let metrics = site.metrics()?;
    for host in HOSTS {
        let labels = [&*format!("distribution=\"{host}\""), "status=\"2xx\""];
        let count = metrics.sum("landfast_distribution_requests_total", &labels);
        ensure!(count > 0, "{browser:?} has fetched nothing of {host}, over {protocol:?}");
    }
    let (connections, others) = counted(&metrics, protocol);
    ensure!(others == 0, "{browser:?} has sent {others} requests by another version");
    Ok(Run { browser, browser_version, http_version: protocol, origin: told, connections })
}

/// Connections by the protocol's transport, and requests by other protocols.
pub(crate) fn counted(metrics: &Metrics, protocol: Protocol) -> (u64, u64) {
    let all = metrics.sum("landfast_requests_total", &[]);
    let by_tcp = metrics.sum("landfast_tcp_requests_total", &[]);
    match protocol {
        Protocol::H2 => {
            let http2 = metrics.sum("landfast_tcp_requests_total", &["version=\"h2\""]);
            (metrics.sum("landfast_tcp_handshakes_total", &[]), all - http2)
        }
        Protocol::H3 => {
            let completed = ["result=\"completed\""];
            (metrics.sum("landfast_handshakes_total", &completed), by_tcp)
        }
    }
}
