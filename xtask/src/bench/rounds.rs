//! How values are measured in rounds, and what figures come of them.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::client::Client;
use super::server::Server;
use super::{Figure, Goal};

/// How long a server has after a load for what is left to do: acknowledgements, closed connections.
const SETTLE: Duration = Duration::from_millis(50);
/// How long connections have been idle when memory is looked at.
const IDLE_SETTLE: Duration = Duration::from_millis(500);
/// Connections before memory is looked at first: what a server makes once is made by then.
const IDLE_BEFORE: usize = 100;

/// How much is done for a figure. Numbers of rounds are odd, for the median.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    /// Rounds of the memory of idle connections, which varies less.
    pub(super) idle_rounds: usize,
    /// How long a server is kept busy in a round.
    pub(super) busy: Duration,
    /// What numbers of requests and connections are divided by.
    pub(super) divisor: usize,
}

impl Effort {
    /// For figures.
    pub(super) const FULL: Self =
        Self { rounds: 9, idle_rounds: 3, busy: Duration::from_millis(400), divisor: 1 };
    /// To see that it runs.
    pub(super) const SHORT: Self =
        Self { rounds: 1, idle_rounds: 1, busy: Duration::from_millis(50), divisor: 20 };
}

/// Values of each round: one for each of the `count` that are compared. Another one of them is the
/// first in every round.
///
/// # Errors
/// Where one cannot be measured.
pub(super) fn in_turn(
    rounds: usize,
    count: usize,
    mut measure: impl FnMut(usize) -> Result<f64>,
) -> Result<Vec<Vec<f64>>> {
    let round = |round| {
        let mut values = vec![0.0; count];
        for step in 0..count {
            let one = (round + step) % count;
            values[one] = measure(one)?;
        }
        Ok(values)
    };
    (0..rounds).map(round).collect()
}

/// Nanoseconds of a server's processor time for each of the answers that `load` counts.
///
/// # Errors
/// Where there is none.
pub(super) fn cpu_per_answer(server: &Server, load: impl FnOnce() -> Result<u64>) -> Result<f64> {
    let before = server.cpu_time()?;
    let answers = load()?;
    std::thread::sleep(SETTLE);
    let spent = server.cpu_time()? - before;
    ensure!(answers > 0, "there was no answer");
    Ok(spent.as_nanos() as f64 / answers as f64)
}

/// Bytes of a server's own memory for each of `count` idle connections, beyond the first ones.
///
/// # Errors
/// Where one is not made.
pub(super) fn bytes_per_idle(
    server: &Server,
    count: usize,
    connect: impl Fn(usize) -> Result<Client>,
) -> Result<f64> {
    let before_us = connect(IDLE_BEFORE)?;
    std::thread::sleep(IDLE_SETTLE);
    let before = server.memory_bytes()?;
    let measured = connect(count)?;
    std::thread::sleep(IDLE_SETTLE);
    let grown = server.memory_bytes()?.saturating_sub(before);
    before_us.close()?;
    measured.close()?;
    Ok(grown as f64 / count as f64)
}

/// The first value of each round against each of the others: medians of values and of ratios.
pub(super) fn compare(name: &str, unit: &str, rounds: &[Vec<f64>], others: &[&str]) -> Vec<Figure> {
    let figure = |(other, against): (usize, &&str)| Figure {
        name: name.to_owned(),
        value: rounded(median(rounds.iter().map(|round| round[0]))),
        unit: unit.to_owned(),
        against: (*against).to_owned(),
        ratio: rounded(median(rounds.iter().map(|round| round[0] / round[other + 1]))),
        goal: None,
        reached: None,
    };
    others.iter().enumerate().map(figure).collect()
}

/// The first value of each round against a bound, which `words` say.
pub(super) fn bounded(
    name: &str,
    unit: &str,
    rounds: &[Vec<f64>],
    bound: f64,
    words: &str,
) -> Figure {
    let value = median(rounds.iter().map(|round| round[0]));
    let (name, unit, against) = (name.to_owned(), unit.to_owned(), words.to_owned());
    let (value, ratio) = (rounded(value), rounded(value / bound));
    let figure = Figure { name, value, unit, against, ratio, goal: None, reached: None };
    figure.with_goal(Goal::AtMost(1.0))
}

/// Three decimals: what is behind them is chance.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The value in the middle.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine slows down for all in the second round: the ratios don't change.
        let rounds = [[1.0, 2.0, 10.0], [100.0, 200.0, 1000.0], [2.0, 4.0, 20.0]]
            .map(|round| round.to_vec());
        let figures = compare("handshake", "us", &rounds, &["quinn + h3-quinn", "caddy"]);
        let ratios: Vec<_> = figures.iter().map(|f| (f.against.as_str(), f.ratio)).collect();
        assert_eq!(ratios, [("quinn + h3-quinn", 0.5), ("caddy", 0.1)]);
        assert!(figures.iter().all(|figure| figure.value == 2.0));
    }

    #[test]
    fn everybody_is_first_in_a_round_and_each_value_is_of_who_was_measured() {
        let mut order = Vec::new();
        let rounds = in_turn(3, 3, |one| {
            order.push(one);
            Ok(one as f64)
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(rounds.expect("measured"), vec![vec![0.0, 1.0, 2.0]; 3]);
    }

    #[test]
    fn a_bound_is_kept_by_what_does_not_exceed_it() {
        let of = |value| bounded("idle", "bytes", &[vec![value]], 25.0, "at most 25 bytes");
        assert_eq!((of(20.0).ratio, of(20.0).reached), (0.8, Some(true)));
        assert_eq!((of(25.0).reached, of(26.0).reached), (Some(true), Some(false)));
    }
}
