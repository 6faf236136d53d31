//! Early drops and budgets while the process runs: switches and the blocklist.

use std::collections::BTreeSet;

use aya::maps::MapData;
use aya::maps::lpm_trie::{Key, LpmTrie};
use edge_wire::maps::{self, MAX_BLOCKLIST};

use super::{Steering, SteeringError};
use crate::admission::Rules;
use crate::admission::blocklist::Network;

impl Steering {
    /// Has the kernel follow these rules. The blocklist is changed entry by entry: what stands in
    /// the old one and in the new one stays blocked throughout.
    ///
    /// # Errors
    /// Where a map cannot be written; what was written until then stays, and the next call goes on
    /// from there.
    pub fn set_admission(&mut self, rules: &Rules) -> Result<(), SteeringError> {
        // The switches first: what a blocklist has against it must not keep a flood's budgets off.
        self.local.admission = rules.switches();
        let local = self.local;
        self.write(maps::LOCAL, [(0, local)])?;
        let wanted = rules.blocklist().networks();
        if self.blocked != *wanted {
            self.change_blocklist(wanted)?;
        }
        Ok(())
    }

    fn change_blocklist(&mut self, wanted: &BTreeSet<Network>) -> Result<(), SteeringError> {
        let added: Vec<_> = wanted.difference(&self.blocked).copied().collect();
        let removed: Vec<_> = self.blocked.difference(wanted).copied().collect();
        // New ones first, so that what a larger network replaces stays blocked meanwhile, unless
        // the map has no room for both.
        let has_room = self.blocked.len() + added.len() <= MAX_BLOCKLIST as usize;
        if !has_room {
            self.unblock(&removed)?;
        }
        self.block(&added)?;
        if has_room { self.unblock(&removed) } else { Ok(()) }
    }

    fn block(&mut self, networks: &[Network]) -> Result<(), SteeringError> {
        for network in networks {
            let added = self.trie()?.insert(&key(*network), 1, 0);
            added.map_err(|error| SteeringError::map(maps::BLOCKLIST, error))?;
            self.blocked.insert(*network);
        }
        Ok(())
    }

    fn unblock(&mut self, networks: &[Network]) -> Result<(), SteeringError> {
        for network in networks {
            let removed = self.trie()?.remove(&key(*network));
            removed.map_err(|error| SteeringError::map(maps::BLOCKLIST, error))?;
            self.blocked.remove(network);
        }
        Ok(())
    }

    fn trie(&mut self) -> Result<LpmTrie<&mut MapData, [u8; 16], u8>, SteeringError> {
        self.map(maps::BLOCKLIST)
    }
}

fn key(network: Network) -> Key<[u8; 16]> {
    Key::new(network.prefix_len(), network.octets())
}
