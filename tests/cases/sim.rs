//! The simulated ring: engines and a client in virtual time; and the driver over loopback.

mod addresses;
mod admission;
mod codec;
mod drain;
mod hostile;
mod ownership;
mod panic;
mod priorities;
mod rotation;
mod send_budget;
mod serving;
mod simulated_nodes;
mod stalled;
mod transfer;

use std::time::Duration;

use edge_user::config::QuicConfig;
use edge_wire::cid::ServerId;

/// Says which seed it was, where a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// Runs a case with so many seeds.
fn each_seed(count: u64, case: impl Fn(u64)) {
    for seed in 0..count {
        let _seed = Seed(seed);
        case(seed);
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Worker 0 of process 1 of a node.
const fn node(node: u16) -> ServerId {
    ServerId { node, worker: 0, generation: 1 }
}

/// Bounds that are not reached.
const AMPLE: QuicConfig = QuicConfig {
    max_connections: 1000,
    retry_threshold: 1000,
    idle_timeout: Duration::from_secs(30),
    connection_id_lifetime: Duration::from_secs(3600),
};
