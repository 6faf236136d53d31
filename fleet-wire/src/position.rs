//! Which of two states is the later one.

use std::cmp::Ordering;
use std::fmt;

use crate::message::Position;

impl Position {
    fn parts(&self) -> [u64; 3] {
        [self.epoch, self.term, self.serial]
    }

    /// Whether a node that stands here takes an order from there. An older epoch is a store from
    /// before a backup was restored, an older term a controller that leads no more. The serial may
    /// go back: a controller that sends everything again begins where it is.
    #[must_use]
    pub fn follows(&self, next: &Self) -> bool {
        [next.epoch, next.term] >= [self.epoch, self.term]
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.epoch, self.term, self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, term: u64, serial: u64) -> Position {
        Position { epoch, term, serial }
    }

    #[test]
    fn epoch_goes_before_term_and_term_before_serial() {
        let mut sorted = vec![at(2, 0, 0), at(1, 1, 9), at(1, 2, 0), at(1, 1, 10)];
        sorted.sort();
        assert_eq!(sorted, [at(1, 1, 9), at(1, 1, 10), at(1, 2, 0), at(2, 0, 0)]);
    }

    #[test]
    fn a_node_follows_no_older_store_and_no_older_leader() {
        let here = at(2, 5, 100);
        assert!(here.follows(&at(2, 5, 101)) && here.follows(&at(2, 6, 1)));
        assert!(here.follows(&at(3, 1, 1)));
        assert!(here.follows(&at(2, 5, 99)), "everything anew, from the same leader");
        assert!(!here.follows(&at(2, 4, 500)) && !here.follows(&at(1, 9, 500)));
    }
}
