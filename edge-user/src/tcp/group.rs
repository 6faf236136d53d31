//! The listeners of the workers, all at one port.

use std::io;
use std::net::TcpListener;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

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

/// A worker's share of what the process may have. Each connection is a file: where the process may
/// raise its own limit of those, it does.
#[must_use]
pub fn bounds(workers: u8) -> Bounds {
    let wanted = limits::MAX_TCP_CONNECTIONS as u64 + limits::FILES_FOR_OTHERS;
    let files = match raise_files(wanted) {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is not known: few connections by TCP");
            0
        }
    };
    let bounds = share(files, workers);
    let connections = bounds.connections * usize::from(workers);
    if connections < limits::MAX_TCP_CONNECTIONS {
        tracing::warn!(files, connections, "the limit of open files bounds connections by TCP");
    }
    bounds
}

fn share(files: u64, workers: u8) -> Bounds {
    let workers = usize::from(workers.max(1));
    let connections = usize::try_from(files.saturating_sub(limits::FILES_FOR_OTHERS));
    let connections = connections.unwrap_or(usize::MAX).min(limits::MAX_TCP_CONNECTIONS);
    Bounds {
        connections: (connections / workers).max(limits::MIN_TCP_CONNECTIONS),
        handshakes: limits::MAX_TCP_HANDSHAKES.div_ceil(workers),
    }
}

/// How many files the process may have open now.
fn raise_files(wanted: u64) -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = wanted.min(hard);
    if raised <= soft {
        return Ok(soft);
    }
    setrlimit(Resource::RLIMIT_NOFILE, raised, hard)?;
    Ok(raised)
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
    fn workers_share_what_the_limit_of_files_leaves() {
        let connections = |files, workers| share(files, workers).connections;
        assert_eq!(connections(1 << 20, 4), limits::MAX_TCP_CONNECTIONS / 4);
        assert_eq!(connections(1024, 2), 256);
        assert_eq!(connections(0, 2), limits::MIN_TCP_CONNECTIONS);
    }
}
