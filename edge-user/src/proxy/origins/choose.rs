//! Which server is asked: of two that are drawn the one with fewer requests, so that none is asked
//! by everybody at once, and a slow one gets less (Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing"). Pure.

/// What is known of a server when one is to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Requests that it has from this worker.
    pub outstanding: u32,
    /// Whether its health says so, or nobody asked.
    pub well: bool,
    /// Whether it is left alone, because of what happened to requests.
    pub ejected: bool,
    /// Whether this request was with it already.
    pub tried: bool,
}

/// The place of the one to ask; `None` where none is well. `random` is any number. Those that are left
/// alone are asked where there is no other: they may have recovered, and nothing is lost by it.
#[must_use]
pub fn choose(candidates: impl Iterator<Item = Candidate> + Clone, random: u64) -> Option<usize> {
    let rank = |candidate: &Candidate| (candidate.tried, candidate.ejected);
    let well = || candidates.clone().enumerate().filter(|(_, candidate)| candidate.well);
    let best = well().map(|(_, candidate)| rank(&candidate)).min()?;
    let eligible = || well().filter(|(_, candidate)| rank(candidate) == best);
    let count = eligible().count() as u64;
    let (first, second) = (random % count, (random >> 32) % count);
    // Two different ones, where there are two.
    let second = if second == first { (first + 1) % count } else { second };
    let at = |place: u64| eligible().nth(place as usize);
    let drawn = [at(first)?, at(second)?];
    drawn.into_iter().min_by_key(|(_, candidate)| candidate.outstanding).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WELL: Candidate = Candidate { outstanding: 0, well: true, ejected: false, tried: false };

    fn chosen(candidates: &[Candidate], random: u64) -> Option<usize> {
        choose(candidates.iter().copied(), random)
    }

    #[test]
    fn the_one_with_fewer_requests_is_asked_of_two() {
        let busy = Candidate { outstanding: 9, ..WELL };
        for random in [0, 1, 1 << 32, u64::MAX] {
            assert_eq!(chosen(&[busy, WELL], random), Some(1));
        }
    }

    #[test]
    fn one_that_is_ill_is_never_asked_and_one_that_is_left_alone_only_for_want_of_another() {
        let (ill, ejected) =
            (Candidate { well: false, ..WELL }, Candidate { ejected: true, ..WELL });
        assert_eq!(chosen(&[ill], 0), None);
        assert_eq!(chosen(&[], 0), None);
        assert_eq!(chosen(&[ill, ejected], 7), Some(1));
        let busy = Candidate { outstanding: 1000, ..WELL };
        assert_eq!(chosen(&[ejected, busy], 7), Some(1));
        let tried = Candidate { tried: true, ..WELL };
        assert_eq!(chosen(&[tried, ejected], 7), Some(1));
    }

    proptest! {
        #[test]
        fn whoever_is_asked_is_well_and_nobody_better_was_passed_over(
            states in prop::collection::vec((0_u32..9, any::<bool>(), any::<bool>()), 0..9),
            random: u64,
        ) {
            let candidates: Vec<_> = states
                .into_iter()
                .map(|(outstanding, well, ejected)| Candidate { outstanding, well, ejected, tried: false })
                .collect();
            match chosen(&candidates, random) {
                None => prop_assert!(candidates.iter().all(|candidate| !candidate.well)),
                Some(index) => {
                    let chosen = candidates[index];
                    prop_assert!(chosen.well);
                    let unejected = candidates.iter().any(|other| other.well && !other.ejected);
                    prop_assert!(!(chosen.ejected && unejected));
                    let best = |other: &&Candidate| other.well && other.ejected == chosen.ejected;
                    let worse = candidates.iter().filter(best).filter(|other| other.outstanding >= chosen.outstanding);
                    // It won against one at least, unless it is alone.
                    let alone = candidates.iter().filter(best).count() == 1;
                    prop_assert!(alone || worse.count() >= 2);
                }
            }
        }
    }
}
