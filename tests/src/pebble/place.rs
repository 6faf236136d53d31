//! Where an authority runs: on the loopback, or in a network namespace.

use std::net::{IpAddr, Ipv4Addr};

use crate::fleet::namespace::Namespace;

/// Where an authority runs.
#[derive(Clone, Debug)]
pub enum Place {
    /// On 127.0.0.1 of this machine, at ports that are free.
    Loopback,
    /// In this namespace, at this address of it.
    Namespace(Namespace, IpAddr),
}

impl Place {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
            Self::Namespace(_, address) => *address,
        }
    }

    /// Runs `work` there. Processes, threads and sockets that it makes are there, too.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Loopback => work(),
            Self::Namespace(namespace, _) => namespace.enter(work),
        }
    }
}
