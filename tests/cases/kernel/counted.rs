//! The fixtures, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use edge_wire::Reason;

use super::fixture::{Case, Fixture};
use super::{
    budgets, early_drops, forwards, headroom, ids, passes, refuses, sizes, takes_in, workers,
};

/// As many as there have to be. Katran, the best known of its kind, has 119.
const ENOUGH: usize = 150;

/// What ends in the process and in neither program.
const OF_THE_PROCESS: [Reason; 9] = [
    Reason::Oversized,
    Reason::HandedOver,
    Reason::QueueFull,
    Reason::OwnerElsewhere,
    Reason::RetrySent,
    Reason::ConnectionLimit,
    Reason::ResetSent,
    Reason::ResetLimited,
    Reason::Ignored,
];

type Cases = &'static [(&'static str, fn() -> Case)];

const MODULES: [(&str, Cases); 9] = [
    ("passes", passes::CASES),
    ("forwards", forwards::CASES),
    ("sizes", sizes::CASES),
    ("ids", ids::CASES),
    ("early_drops", early_drops::CASES),
    ("budgets", budgets::CASES),
    ("takes_in", takes_in::CASES),
    ("refuses", refuses::CASES),
    ("headroom", headroom::CASES),
];

/// A fixture is a sentence within its case, with at least one packet. The packets of a sentence,
/// which differ in family, length, config and the like, count once.
#[test]
fn there_are_enough_fixtures_and_one_for_each_reason() {
    let mut sentences = BTreeMap::new();
    let mut reasons = BTreeSet::new();
    for (module, name, fixture) in named_fixtures() {
        reasons.insert(fixture.reason);
        *sentences.entry((module, name, fixture.sentence)).or_insert(0) += 1;
    }
    let packets: usize = sentences.values().sum();
    assert!(sentences.len() >= ENOUGH, "{} fixtures", sentences.len());

    let deliveries = workers::DELIVERIES.iter().flat_map(|(_, deliveries)| deliveries());
    let deliveries: Vec<_> = deliveries.collect();
    reasons.extend(deliveries.iter().map(|delivery| delivery.reason));
    show(&format!(
        "{} fixtures of steer_node in {packets} packets, {} datagrams for steer_worker",
        sentences.len(),
        deliveries.len(),
    ));
    let programs = Reason::ALL.iter().filter(|reason| !OF_THE_PROCESS.contains(reason));
    let without: Vec<_> = programs.filter(|reason| !reasons.contains(reason)).collect();
    assert!(without.is_empty(), "Reasons without a fixture: {without:?}");
}

/// Prints a line that libtest shows of a test that passes, too: it holds back what `print!` writes.
pub(super) fn show(line: &str) {
    writeln!(std::io::stderr(), "kernel ring: {line}").expect("somewhere to write");
}

/// What ends in `steer_node`, by its fixtures.
pub(super) fn of_steer_node() -> BTreeSet<Reason> {
    fixtures().map(|fixture| fixture.reason).collect()
}

/// All fixtures of `steer_node`.
pub(super) fn fixtures() -> impl Iterator<Item = Fixture> {
    named_fixtures().map(|(_, _, fixture)| fixture)
}

/// With the module and the case that each stands in.
fn named_fixtures() -> impl Iterator<Item = (&'static str, &'static str, Fixture)> {
    let cases = MODULES.iter().flat_map(|(module, cases)| cases.iter().map(move |it| (module, it)));
    cases.flat_map(|(module, (name, case))| {
        case().into_fixtures().map(move |fixture| (*module, *name, fixture))
    })
}
