//! From the secrets in force to those of another fleet file, without a connection lost.
//!
//! What one node makes, others read, and so do other workers of the same node. So a change takes
//! two steps: first everybody reads what the old and the new secrets make, and goes on making as
//! before; only then is made what the new ones say, and forgotten what they leave out.

use super::{ConnectionIdConfig, EncapsulationSecret, Rotating, Secrets};

/// A change that may be made.
#[derive(Debug)]
pub struct Change {
    /// The step between: reads all that the old and the new secrets make, makes as the old ones.
    pub between: Secrets,
    /// The new secrets.
    pub after: Secrets,
    /// What differs, in words without a key. Empty: nothing does.
    pub words: Vec<String>,
    /// What is likely not meant.
    pub warnings: Vec<String>,
}

/// Why a change is not made while a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// Both Initials of a ClientHello under way would meet different workers.
    #[error("`worker_hash` differs from the one in force: restart the process to change it")]
    WorkerHash,
    /// An engine has one length.
    #[error(
        "`mint` names IDs of {to} bytes, and this process mints {from}: restart it to change the length"
    )]
    MintLength {
        /// Of the IDs that are minted.
        from: usize,
        /// Of those that the file would have minted.
        to: usize,
    },
    /// Connections have IDs that only the config in force reads.
    #[error(
        "config_id {0} is in force with another `length`, `key` or `reset_key`: connections live by it. Take a free config_id, or remove it by a reload of its own first"
    )]
    ConfigReused(u8),
    /// Every connection has IDs of it.
    #[error(
        "config_id {0} mints until now, and every connection has IDs of it: keep it beside the new one until two `connection_id_lifetime_seconds` have passed"
    )]
    MintRemoved(u8),
    /// Other nodes send under it.
    #[error(
        "encapsulation key {0} is in force with another `key`: other nodes may send under it. Take a free key_id, or remove it by a reload of its own first"
    )]
    EncapsulationReused(u8),
    /// Other nodes send under it, as we do.
    #[error(
        "encapsulation key {0} is sent with until now: keep it until every node sends with the new one"
    )]
    EncapsulationRemoved(u8),
}

impl Secrets {
    /// How to get from these secrets to `after`.
    ///
    /// # Errors
    /// Where connections would break, or only a new process can.
    pub fn change_to(&self, after: Self) -> Result<Change, ChangeRefused> {
        if after.worker_hash != self.worker_hash {
            return Err(ChangeRefused::WorkerHash);
        }
        self.check_connection_ids(&after)?;
        self.check_encapsulation(&after)?;
        let mut differences = Differences::default();
        differences.connection_ids(self, &after);
        differences.encapsulation(self, &after);
        differences.rotating("tickets", &self.tickets, &after.tickets);
        differences.rotating("tokens", &self.tokens, &after.tokens);
        let between = Self {
            connection_ids: union(&after.connection_ids, &self.connection_ids, |id| id.config_id),
            encapsulation_keys: union(&after.encapsulation_keys, &self.encapsulation_keys, |key| {
                key.key_id
            }),
            tickets: self.tickets.reading_too(&after.tickets),
            tokens: self.tokens.reading_too(&after.tokens),
            ..self.clone()
        };
        let Differences { words, warnings } = differences;
        Ok(Change { between, after, words, warnings })
    }

    fn check_connection_ids(&self, after: &Self) -> Result<(), ChangeRefused> {
        for config in &self.connection_ids {
            match after.id_config(config.config_id) {
                Some(same) if same != config => {
                    return Err(ChangeRefused::ConfigReused(config.config_id));
                }
                None if config.config_id == self.mint => {
                    return Err(ChangeRefused::MintRemoved(config.config_id));
                }
                _ => {}
            }
        }
        let (from, to) = (self.minting().length, after.minting().length);
        if from == to { Ok(()) } else { Err(ChangeRefused::MintLength { from, to }) }
    }

    fn check_encapsulation(&self, after: &Self) -> Result<(), ChangeRefused> {
        for key in &self.encapsulation_keys {
            match after.encapsulation_key(key.key_id) {
                Some(same) if same != key => {
                    return Err(ChangeRefused::EncapsulationReused(key.key_id));
                }
                None if key.key_id == self.encapsulate_with => {
                    return Err(ChangeRefused::EncapsulationRemoved(key.key_id));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn id_config(&self, config_id: u8) -> Option<&ConnectionIdConfig> {
        self.connection_ids.iter().find(|config| config.config_id == config_id)
    }

    fn encapsulation_key(&self, key_id: u8) -> Option<&EncapsulationSecret> {
        self.encapsulation_keys.iter().find(|key| key.key_id == key_id)
    }
}

impl Rotating {
    /// Makes as before, and reads what `after` makes.
    fn reading_too(&self, after: &Self) -> Self {
        let read = self.all().any(|key| *key == after.current);
        Self { next: if read { self.next } else { Some(after.current) }, ..self.clone() }
    }
}

/// All of `these`, and of `others` those whose ID none of `these` has.
pub(super) fn union<T: Clone>(these: &[T], others: &[T], id: impl Fn(&T) -> u8) -> Vec<T> {
    let is_new = |other: &&T| these.iter().all(|this| id(this) != id(other));
    these.iter().chain(others.iter().filter(is_new)).cloned().collect()
}

#[derive(Default)]
struct Differences {
    words: Vec<String>,
    warnings: Vec<String>,
}

impl Differences {
    fn connection_ids(&mut self, before: &Secrets, after: &Secrets) {
        for ConnectionIdConfig { config_id, length, .. } in &after.connection_ids {
            if before.id_config(*config_id).is_none() {
                self.words.push(format!("IDs of config {config_id} are read, {length} bytes long"));
            }
        }
        for ConnectionIdConfig { config_id, .. } in &before.connection_ids {
            if after.id_config(*config_id).is_none() {
                self.words.push(format!("IDs of config {config_id} are read no more"));
            }
        }
        let (from, to) = (before.mint, after.mint);
        if from != to {
            self.words.push(format!("IDs are minted under config {to}, no more under {from}"));
            if before.id_config(to).is_none() {
                self.warnings.push(format!(
                    "config {to} came with this very reload and mints at once: nodes that have \
                     not read it yet do not forward packets of its connections"
                ));
            }
        }
    }

    fn encapsulation(&mut self, before: &Secrets, after: &Secrets) {
        for EncapsulationSecret { key_id, .. } in &after.encapsulation_keys {
            if before.encapsulation_key(*key_id).is_none() {
                self.words.push(format!("encapsulation key {key_id} is believed"));
            }
        }
        for EncapsulationSecret { key_id, .. } in &before.encapsulation_keys {
            if after.encapsulation_key(*key_id).is_none() {
                self.words.push(format!("encapsulation key {key_id} is believed no more"));
            }
        }
        let (from, to) = (before.encapsulate_with, after.encapsulate_with);
        if from != to {
            let word =
                format!("packets are sent under encapsulation key {to}, no more under {from}");
            self.words.push(word);
            if before.encapsulation_key(to).is_none() {
                self.warnings.push(format!(
                    "encapsulation key {to} came with this very reload and is sent with at once: \
                     nodes that have not read it yet drop what this node forwards"
                ));
            }
        }
    }

    fn rotating(&mut self, what: &str, before: &Rotating, after: &Rotating) {
        let keys = [
            ("current", before.current != after.current),
            ("previous", before.previous != after.previous),
            ("next", before.next != after.next),
        ];
        let changed: Vec<_> =
            keys.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
        if changed.is_empty() {
            return;
        }
        self.words.push(format!("{what}: {} changed", changed.join(", ")));
        if !before.all().any(|key| *key == after.current) {
            self.warnings.push(format!(
                "the current key of {what} was not known before: nodes that have not read it yet \
                 do not take what this node makes"
            ));
        }
        if !after.all().any(|key| *key == before.current) {
            self.warnings.push(format!(
                "the current key of {what} until now is not even the previous one: what was made \
                 under it is taken no more"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::IdMode;
    use super::*;

    fn before() -> Secrets {
        Secrets::generate(IdMode::Encrypted, 17).expect("random")
    }

    fn id_config(config_id: u8, length: usize) -> ConnectionIdConfig {
        ConnectionIdConfig { config_id, length, key: Some([1; 16]), reset_key: [config_id; 32] }
    }

    fn changed(change: impl FnOnce(&mut Secrets)) -> Result<Change, ChangeRefused> {
        let before = before();
        let mut after = before.clone();
        change(&mut after);
        before.change_to(after)
    }

    #[test]
    fn the_same_file_changes_nothing() {
        let change = changed(|_| {}).expect("allowed");
        assert!(change.words.is_empty() && change.warnings.is_empty(), "{change:?}");
        assert_eq!(change.between, change.after);
    }

    #[test]
    fn between_both_all_is_read_and_nothing_new_is_made() {
        let mut before = before();
        before.connection_ids.push(id_config(1, 20));
        before.encapsulation_keys.push(EncapsulationSecret { key_id: 1, key: [1; 16] });
        before.tokens.next = Some([7; 32]);
        let mut after = before.clone();
        after.connection_ids[1] = id_config(2, 17);
        after.mint = 2;
        after.encapsulation_keys[1] = EncapsulationSecret { key_id: 2, key: [2; 16] };
        after.encapsulate_with = 2;
        after.tickets =
            Rotating { current: [9; 32], previous: Some(before.tickets.current), next: None };
        after.tokens =
            Rotating { current: [7; 32], previous: Some(before.tokens.current), next: None };
        let Change { between, words, warnings, .. } = before.change_to(after).expect("allowed");
        let configs: Vec<_> = between.connection_ids.iter().map(|id| id.config_id).collect();
        assert_eq!((configs, between.mint), (vec![0, 2, 1], 0));
        let keys: Vec<_> = between.encapsulation_keys.iter().map(|key| key.key_id).collect();
        assert_eq!((keys, between.encapsulate_with), (vec![0, 2, 1], 0));
        assert_eq!(between.tickets.current, before.tickets.current);
        assert!(between.tickets.all().any(|key| *key == [9; 32]));
        assert_eq!(between.tokens, before.tokens, "it read the next one already");
        assert_eq!(
            words,
            [
                "IDs of config 2 are read, 17 bytes long",
                "IDs of config 1 are read no more",
                "IDs are minted under config 2, no more under 0",
                "encapsulation key 2 is believed",
                "encapsulation key 1 is believed no more",
                "packets are sent under encapsulation key 2, no more under 0",
                "tickets: current, previous changed",
                "tokens: current, previous, next changed",
            ]
        );
        // Config 2, encapsulation key 2 and the key of tickets came as a surprise.
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }

    #[test]
    fn a_rotation_step_by_step_is_warned_of_nowhere() {
        let first = before();
        let mut known = first.clone();
        known.connection_ids.push(id_config(1, 17));
        known.encapsulation_keys.push(EncapsulationSecret { key_id: 1, key: [1; 16] });
        known.tickets.next = Some([2; 32]);
        known.tokens.next = Some([3; 32]);
        let mut used = known.clone();
        (used.mint, used.encapsulate_with) = (1, 1);
        for (keys, next) in [(&mut used.tickets, [2; 32]), (&mut used.tokens, [3; 32])] {
            *keys = Rotating { current: next, previous: Some(keys.current), next: None };
        }
        let mut last = used.clone();
        last.connection_ids.remove(0);
        last.encapsulation_keys.remove(0);
        (last.tickets.previous, last.tokens.previous) = (None, None);
        for pair in [first, known, used, last].windows(2) {
            let change = pair[0].change_to(pair[1].clone()).expect("allowed");
            assert!(change.warnings.is_empty() && change.words.len() == 4, "{change:?}");
        }
    }

    #[test]
    fn what_breaks_connections_is_refused() {
        use ChangeRefused as R;
        let refused = |change: fn(&mut Secrets)| changed(change).expect_err("refused");
        assert_eq!(refused(|after| after.worker_hash[0] ^= 1), R::WorkerHash);
        for change in [
            (|after| after.connection_ids[0].key = None) as fn(&mut Secrets),
            |after| after.connection_ids[0].reset_key[0] ^= 1,
            |after| after.connection_ids[0].length = 18,
        ] {
            assert_eq!(refused(change), R::ConfigReused(0));
        }
        assert_eq!(
            refused(|after| {
                after.connection_ids = vec![id_config(1, 17)];
                after.mint = 1;
            }),
            R::MintRemoved(0)
        );
        assert_eq!(
            refused(|after| {
                after.connection_ids.push(id_config(1, 12));
                after.mint = 1;
            }),
            R::MintLength { from: 17, to: 12 }
        );
        assert_eq!(
            refused(|after| after.encapsulation_keys[0].key[0] ^= 1),
            R::EncapsulationReused(0)
        );
        assert_eq!(
            refused(|after| {
                after.encapsulation_keys = vec![EncapsulationSecret { key_id: 3, key: [3; 16] }];
                after.encapsulate_with = 3;
            }),
            R::EncapsulationRemoved(0)
        );
    }

    #[test]
    fn a_key_that_nobody_expects_any_more_is_warned_of() {
        let change = changed(|after| after.tokens.current = [1; 32]).expect("allowed");
        assert_eq!(change.warnings.len(), 2, "{:?}", change.warnings);
        assert!(change.warnings.iter().all(|warning| warning.contains("of tokens")));
    }
}
