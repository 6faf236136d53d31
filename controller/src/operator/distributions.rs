//! Commands about what nodes answer under which names.

use std::path::Path;

use ::distributions::{Distribution, Served, parse};
use tonic::{Response, Status};

use super::{Operator, done, m, refused};
use crate::ledger::Change;
use crate::nodes::Holds;
use crate::records::{Distributions, Kind as _};

impl Operator {
    /// How many there are.
    pub(super) fn distributions_count(&self) -> usize {
        let stored = self.ledger.get::<Distributions>("");
        stored.map_or(0, |stored| served(&stored.value.file).distributions.len())
    }

    pub(super) async fn put_distributions_of(
        &self,
        text: String,
    ) -> Result<Response<m::Done>, Status> {
        let wrong = |reason: String| Status::invalid_argument(reason);
        let (bytes, most) = (text.len(), fleet_wire::MAX_DISTRIBUTIONS_BYTES);
        if bytes > most {
            return Err(wrong(format!("the file has {bytes} bytes: at most {most} are possible")));
        }
        // The command has shown every mistake with its place. An answer has room for one.
        let new = parse(Path::new("the file"), &text).map_err(|error| {
            let first = error.problems().first().map(ToString::to_string);
            wrong(first.unwrap_or_else(|| error.to_string()))
        })?;
        let before = self.ledger.get::<Distributions>("");
        let old = before.as_ref().map(|stored| served(&stored.value.file)).unwrap_or_default();
        let mut words = changes(&old, &new);
        if words.is_empty() {
            words.push("nothing is answered otherwise than before".to_owned());
        }
        words.extend(new.warnings().map(|warning| format!("warning: {warning}")));
        let record = Distributions { file: text };
        let change = match &before {
            Some(before) if before.value == record => return done(words.join("\n")),
            Some(before) => Change::new().if_unchanged(before),
            None => Change::new().if_absent(&record),
        };
        self.ledger.commit(change.put(record)).await.map_err(refused)?;
        done(words.join("\n"))
    }

    pub(super) fn show_distributions_of(&self) -> Result<m::Distributions, Status> {
        let stored = self.ledger.get::<Distributions>("").ok_or_else(nothing)?;
        let holds = self.nodes.holds(&stored.value.key(), stored.revision);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let serving = holds.iter().filter(|(_, holds)| *holds == Holds::Yes).count();
        let expected = holds.len();
        let refused = holds.into_iter().filter_map(|(node, holds)| match holds {
            Holds::Refused(reason) => Some(m::NodeRefusal { node: node.into(), reason }),
            Holds::Yes | Holds::NotYet => None,
        });
        Ok(m::Distributions {
            text: stored.value.file,
            serial: stored.revision,
            nodes_serving: count(serving),
            nodes_expected: count(expected),
            refused: refused.collect(),
        })
    }

    pub(super) async fn remove_distributions_of(&self) -> Result<Response<m::Done>, Status> {
        let stored = self.ledger.get::<Distributions>("").ok_or_else(nothing)?;
        let change = Change::new().if_unchanged(&stored).delete(&stored.value);
        self.ledger.commit(change).await.map_err(refused)?;
        done("nodes answer by their own configuration alone")
    }
}

/// Of a text that was good when it was put. One that this version finds a mistake in is left to the
/// nodes to judge.
fn served(file: &str) -> Served {
    parse(Path::new(""), file).unwrap_or_default()
}

/// What was added, changed and removed, a line each.
fn changes(old: &Served, new: &Served) -> Vec<String> {
    let distributions = |served: &Served| -> Vec<_> {
        let list = served.distributions.iter();
        list.map(|it| (Distribution::label(it), it.clone())).collect()
    };
    let origins = |served: &Served| -> Vec<_> {
        served.origins.iter().map(|it| (it.name.to_string(), it.clone())).collect()
    };
    let mut words = differences("distribution", &distributions(old), &distributions(new));
    words.extend(differences("origin", &origins(old), &origins(new)));
    words
}

fn differences<T: PartialEq>(kind: &str, old: &[(String, T)], new: &[(String, T)]) -> Vec<String> {
    let find = |list: &'_ [(String, T)], name: &str| list.iter().position(|(it, _)| it == name);
    let of_new = new.iter().filter_map(|(name, it)| match find(old, name) {
        None => Some(format!("{kind} {name}: added")),
        Some(place) if old[place].1 != *it => Some(format!("{kind} {name}: changed")),
        Some(_) => None,
    });
    let gone = old.iter().filter(|(name, _)| find(new, name).is_none());
    of_new.chain(gone.map(|(name, _)| format!("{kind} {name}: removed"))).collect()
}

fn nothing() -> Status {
    Status::not_found("there are no distributions; `distributions put FILE` makes some")
}
