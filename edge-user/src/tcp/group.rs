//! The listeners of the workers, all at one port.

use std::io;
use std::net::TcpListener;

use super::connections::Bounds;
use super::{BindError, dual_stack, listening};
use crate::limits;

/// Listens at `port` in both families, once for each worker: one `SO_REUSEPORT` group, among which
/// the kernel spreads connections. Whoever connects waits until he is served. A port at which
/// anybody listens is refused, although the kernel would let us join. Port 0 takes a free one for all
/// of them.
///
/// # Errors
/// Where it is taken, or needs a privilege.
pub fn bind(port: u16, workers: u8) -> Result<Vec<TcpListener>, BindError> {
    bind_all(port, workers).map_err(|error| BindError { port, error })
}

fn bind_all(mut port: u16, workers: u8) -> io::Result<Vec<TcpListener>> {
    // Without SO_REUSEPORT, and closed again at once.
    drop(dual_stack(port, false)?);
    let mut listeners = Vec::with_capacity(workers.into());
    for _ in 0..workers {
        let listener = listening(dual_stack(port, true)?)?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A worker's share of so many connections.
#[must_use]
pub fn share(connections: usize, workers: u8) -> Bounds {
    let workers = usize::from(workers.max(1));
    Bounds {
        connections: (connections / workers).max(limits::MIN_TCP_CONNECTIONS),
        handshakes: limits::MAX_TCP_HANDSHAKES.div_ceil(workers),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn every_worker_has_a_listener_at_one_port_which_nobody_else_may_join() {
        let listeners = bind(0, 3).expect("a free port");
        let ports: Vec<_> =
            listeners.iter().map(|listener| listener.local_addr().expect("bound").port()).collect();
        assert!(ports.len() == 3 && ports.iter().all(|port| *port == ports[0]));
        TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).expect("in IPv4, too");
        let error = bind(ports[0], 1).expect_err("taken").to_string();
        assert!(error.starts_with(&format!("TCP port {} cannot be bound", ports[0])), "{error}");
    }

    #[test]
    fn workers_share_connections() {
        let connections = |connections, workers| share(connections, workers).connections;
        assert_eq!(connections(16_384, 4), 4_096);
        assert_eq!(connections(0, 2), limits::MIN_TCP_CONNECTIONS);
    }
}
