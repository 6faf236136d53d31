//! Which worker a datagram belongs to: what `steer_worker` does, for what came by the relay.

use edge_wire::cid::{self, DecodeConfig, ServerId};
use edge_wire::dissect;
use edge_wire::siphash;

/// What a choice needs to know.
pub(super) struct WorkerChoice {
    pub(super) configs: [DecodeConfig; 8],
    pub(super) node: u16,
    pub(super) generation: u8,
    /// At least 1.
    pub(super) workers: u8,
    pub(super) hash_key: siphash::Key,
}

impl WorkerChoice {
    /// The worker, below `workers`: the one that the connection ID names, else one by its hash.
    pub(super) fn worker(&self, datagram: &[u8]) -> u8 {
        self.named(datagram).unwrap_or_else(|| {
            let (id, length) = dissect::any_connection_id(&mut { datagram });
            cid::worker_by_hash(&self.hash_key, &id, length, self.workers)
        })
    }

    fn named(&self, datagram: &[u8]) -> Option<u8> {
        let candidate = dissect::candidate_of(datagram).ok()?;
        let config = self.configs.get(candidate.config_id() as usize)?;
        let ServerId { node, worker, generation } = config.owner(&candidate)?;
        let ours = node == self.node && generation == self.generation && worker < self.workers;
        ours.then_some(worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_wire::cid::Codec;

    fn choice() -> WorkerChoice {
        let mut configs = [DecodeConfig::ABSENT; 8];
        configs[1] = DecodeConfig::new(cid::DEFAULT_LEN, None);
        WorkerChoice { configs, node: 1, generation: 5, workers: 4, hash_key: [1, 2] }
    }

    fn datagram(node: u16, worker: u8, generation: u8) -> Vec<u8> {
        let owner = ServerId { node, worker, generation };
        let codec = Codec::landfast(1, cid::DEFAULT_LEN, None).expect("valid");
        [&[0x40][..], codec.encode(&owner.to_bytes(), &[8; 12]).as_slice(), b"payload"].concat()
    }

    #[test]
    fn the_worker_that_the_connection_id_names() {
        for worker in 0..4 {
            assert_eq!(choice().worker(&datagram(1, worker, 5)), worker);
        }
    }

    #[test]
    fn what_names_no_worker_of_this_process_goes_by_the_hash() {
        for (node, worker, generation) in [(2, 1, 5), (1, 1, 6), (1, 4, 5)] {
            let datagram = datagram(node, worker, generation);
            assert_eq!(choice().named(&datagram), None);
            assert!(choice().worker(&datagram) < 4);
        }
    }

    #[test]
    fn no_datagram_is_too_short_for_a_choice() {
        let datagram = datagram(1, 3, 5);
        for length in 0..datagram.len() {
            assert!(choice().worker(&datagram[..length]) < 4);
        }
    }
}
