//! How fast a controller reaches nodes, and what it holds in memory. The controller is the program;
//! where there are many nodes they are in this process, where there are three they are edges in
//! namespaces.
//!
//! | module | job |
//! |---|---|
//! | `scene` | a controller in a directory of its own, its store filled beforehand |
//! | `crowd` | simulated nodes, many of them |
//! | `acknowledged` | from a command to the acknowledgement of all of them |
//! | `memory` | what the controller holds with many certificates |
//! | `served` | from a command to certificates that clients of three real nodes are shown |
//!
//! A figure is compared with the bound that it has to keep: there is nothing else beside it that
//! does the same.

mod acknowledged;
mod crowd;
mod memory;
mod scene;
mod served;

use anyhow::{Context as _, Result, ensure};

use crate::figure::{Figure, rounded};

/// Nodes of the figures that say so.
const THOUSAND: u16 = 1_000;

/// A figure, and how it is measured.
struct Measure {
    name: &'static str,
    unit: &'static str,
    /// What it may be.
    bound: f64,
    /// The same in words.
    against: &'static str,
    measure: fn() -> Result<f64>,
}

const MEASURES: [Measure; 4] = [
    Measure {
        name: "acknowledged_by_1000",
        unit: "ms",
        bound: 1_000.0,
        against: "at most 1 s",
        measure: acknowledged::by_a_thousand,
    },
    Measure {
        name: "memory",
        unit: "MB",
        bound: 400.0,
        against: "at most 400 MB",
        measure: memory::with_ten_thousand_certificates,
    },
    Measure {
        name: "served_by_3",
        unit: "ms",
        bound: 250.0,
        against: "p99 at most 250 ms",
        measure: served::by_three,
    },
    Measure {
        name: "order_to_served",
        unit: "s",
        bound: 3.0,
        against: "at most 3 s",
        measure: served::from_an_order,
    },
];

/// Measures the figures whose names contain one of `only`, or all of them.
///
/// # Errors
/// Where no figure is named like that, and where the controller does not do what is measured.
pub fn measure(only: &[String]) -> Result<Vec<Figure>> {
    let is_wanted = |measure: &&Measure| {
        only.is_empty() || only.iter().any(|part| measure.name.contains(part.as_str()))
    };
    let figures = MEASURES.iter().filter(is_wanted).map(|measure| {
        let Measure { name, unit, bound, against, measure } = *measure;
        progress(format_args!("{name}"));
        let value = measure().context(name)?;
        let (name, against) = (name.to_owned(), against.to_owned());
        Ok(Figure { name, value: rounded(value), unit, against, ratio: rounded(value / bound) })
    });
    let figures = figures.collect::<Result<Vec<_>>>()?;
    ensure!(!figures.is_empty(), "no figure is named like that");
    Ok(figures)
}

/// Says how far it is: these take minutes.
fn progress(what: std::fmt::Arguments<'_>) {
    eprintln!("{what}");
}

/// As many threads as a small machine has cores, for the nodes' side.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    Ok(runtime.worker_threads(2).enable_all().build()?)
}
