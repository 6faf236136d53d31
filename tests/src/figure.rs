//! A figure of `cargo xtask bench`.

use serde::Serialize;

/// One figure of a report, as `cargo xtask bench` reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much, in `unit`.
    pub value: f64,
    /// `ns` and the like.
    pub unit: &'static str,
    /// What the value is compared with.
    pub against: String,
    /// How many times as much as that.
    pub ratio: f64,
}

/// The value in the middle.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(values, 50)
}

/// The smallest value that so many percent of all do not exceed.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn percentile(values: impl Iterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

/// Three decimals: what is behind them is chance.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values = || (1..=200).rev().map(f64::from);
        assert_eq!(percentile(values(), 99), 199.0);
        assert_eq!(percentile(values(), 100), 200.0);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }
}
