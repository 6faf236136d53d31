//! From the secrets in force to those of a fleet that has moved on without this node.
//!
//! A node that was cut off from its controller for a whole rotation makes with keys that the rest of
//! the fleet has forgotten. To refuse the fleet's secrets for their sake would leave it out of the
//! fleet for ever, and hold up the rotations that wait for it.

use super::change::union;
use super::{Change, ChangeRefused, Secrets};

impl Secrets {
    /// How to get from these secrets to the fleet's. What this node made, and no other node reads any
    /// more, it goes on reading where the number is free: until the next change its connections live
    /// as long as their packets arrive here. [`Change::warnings`] says when that is so.
    ///
    /// # Errors
    /// Where only a new process can follow.
    pub fn catch_up_with(&self, fleet: Self) -> Result<Change, ChangeRefused> {
        let overtaken = match self.change_to(fleet.clone()) {
            Ok(change) => return Ok(change),
            Err(refused @ (ChangeRefused::WorkerHash | ChangeRefused::MintLength { .. })) => {
                return Err(refused);
            }
            Err(overtaken) => overtaken,
        };
        if self.minting().length != fleet.minting().length {
            let (from, to) = (self.minting().length, fleet.minting().length);
            return Err(ChangeRefused::MintLength { from, to });
        }
        let after = Self {
            connection_ids: union(&fleet.connection_ids, &self.connection_ids, |id| id.config_id),
            encapsulation_keys: union(&fleet.encapsulation_keys, &self.encapsulation_keys, |key| {
                key.key_id
            }),
            ..fleet
        };
        let mut change = self.change_to(after.clone()).unwrap_or_else(|_| {
            // A number is another key's by now: there is nothing between the two.
            let words = vec!["the fleet's secrets are followed in one step".to_owned()];
            Change { between: after.clone(), after, words, warnings: Vec::new() }
        });
        change.warnings.push(format!(
            "the fleet went through a whole rotation without this node ({overtaken}): connections \
             from before live only as long as their packets arrive here"
        ));
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConnectionIdConfig, EncapsulationSecret, IdMode};
    use super::*;

    fn id_config(config_id: u8, length: usize) -> ConnectionIdConfig {
        ConnectionIdConfig { config_id, length, key: Some([1; 16]), reset_key: [config_id; 32] }
    }

    fn pair(change: impl FnOnce(&mut Secrets)) -> (Secrets, Secrets) {
        let before = Secrets::generate(IdMode::Encrypted, 17).expect("random");
        let mut fleet = before.clone();
        change(&mut fleet);
        (before, fleet)
    }

    #[test]
    fn what_the_fleet_forgot_is_read_until_the_next_change() {
        let (before, fleet) = pair(|fleet| {
            fleet.connection_ids = vec![id_config(1, 17)];
            fleet.encapsulation_keys = vec![EncapsulationSecret { key_id: 1, key: [1; 16] }];
            (fleet.mint, fleet.encapsulate_with) = (1, 1);
        });
        before.change_to(fleet.clone()).expect_err("by a fleet file it is refused");
        let change = before.catch_up_with(fleet.clone()).expect("a way");
        let configs = |secrets: &Secrets| {
            let mut ids: Vec<_> = secrets.connection_ids.iter().map(|id| id.config_id).collect();
            ids.sort_unstable();
            (ids, secrets.mint, secrets.encapsulate_with)
        };
        assert_eq!(configs(&change.between), (vec![0, 1], 0, 0), "nothing new is made yet");
        assert_eq!(configs(&change.after), (vec![0, 1], 1, 1));
        assert!(change.warnings.iter().any(|warning| warning.contains("config_id 0")));
        let next = change.after.catch_up_with(fleet.clone()).expect("a change like others");
        assert_eq!(next.after, fleet);
        assert_eq!(next.warnings, [""; 0]);
    }

    #[test]
    fn a_number_that_another_key_has_by_now_is_the_fleets() {
        let (before, fleet) = pair(|fleet| fleet.connection_ids[0].key = Some([5; 16]));
        let change = before.catch_up_with(fleet.clone()).expect("a way");
        assert_eq!((&change.between, &change.after), (&fleet, &fleet));
        assert!(!change.words.is_empty() && change.warnings.len() == 1, "{change:?}");
    }

    #[test]
    fn what_only_a_new_process_can_follow_is_refused() {
        let (before, fleet) = pair(|fleet| fleet.worker_hash[0] ^= 1);
        let refused = before.catch_up_with(fleet).expect_err("refused");
        assert_eq!(refused, ChangeRefused::WorkerHash);
        let (before, fleet) = pair(|fleet| {
            fleet.connection_ids = vec![id_config(1, 12)];
            fleet.mint = 1;
        });
        let refused = before.catch_up_with(fleet).expect_err("refused");
        assert_eq!(refused, ChangeRefused::MintLength { from: 17, to: 12 });
    }

    #[test]
    fn an_ordinary_step_is_the_ordinary_change() {
        let (before, fleet) = pair(|fleet| fleet.tickets.next = Some([7; 32]));
        let (caught_up, changed) = (before.catch_up_with(fleet.clone()), before.change_to(fleet));
        let (caught_up, changed) = (caught_up.expect("a way"), changed.expect("a way"));
        assert_eq!((caught_up.after, caught_up.words), (changed.after, changed.words));
    }
}
