//! What the cases in a machine came to. Each that was to run must be seen to pass: one that was not
//! heard of has failed.

use std::collections::BTreeMap;

use super::super::cargo_test::Counts;

/// What `init` says last.
const ENDED: &str = "landfast: ended with ";

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Result {
    NotHeardOf,
    Passed,
    /// Or ignored: it did not pass.
    Failed,
}

/// The cases that were to run, and what was heard of them.
pub(super) struct Results {
    cases: BTreeMap<String, Result>,
    ended: Option<String>,
    /// What is wrong though it is no case's failure.
    complaints: Vec<String>,
}

impl Results {
    pub(super) fn new(names: &[String]) -> Self {
        let cases = names.iter().map(|name| (name.clone(), Result::NotHeardOf)).collect();
        Self { cases, ended: None, complaints: Vec::new() }
    }

    /// Takes in a line: libtest's of a case, or the last one of `init`.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix(ENDED) {
            self.ended = Some(status.to_owned());
            return;
        }
        let Some((name, result)) =
            line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
        else {
            return;
        };
        match self.cases.get_mut(name) {
            // A case that failed stays failed.
            Some(known) if *known != Result::Failed => {
                *known = if result == "ok" { Result::Passed } else { Result::Failed };
            }
            Some(_) => {}
            None => self.broken(&format!("a result of {name}, which was not to run")),
        }
    }

    /// Something is wrong with the machine or its kernel.
    pub(super) fn broken(&mut self, complaint: &str) {
        self.complaints.push(complaint.to_owned());
    }

    /// Whether something is wrong, with a case or without.
    pub(super) fn is_broken(&self) -> bool {
        !self.complaints.is_empty()
            || self.ended.as_deref() != Some("0")
            || self.cases.values().any(|result| *result != Result::Passed)
    }

    /// How many ended how. What is wrong, except failures that the cases have told, is said.
    pub(super) fn conclude(mut self) -> Counts {
        let count = |wanted| self.cases.values().filter(|result| **result == wanted).count() as u64;
        let silent = self.cases.iter().filter(|(_, result)| **result == Result::NotHeardOf);
        let silent: Vec<_> = silent.map(|(name, _)| format!("no result of {name}")).collect();
        let (passed, failed) = (count(Result::Passed), count(Result::Failed));
        // With a failed case it is not 0, which is no news.
        if !self.cases.is_empty() && failed == 0 && self.ended.as_deref() != Some("0") {
            let status = self.ended.as_deref().unwrap_or("no status");
            self.complaints.push(format!("the cases ended with {status}"));
        }
        self.complaints.extend(silent);
        for complaint in &self.complaints {
            eprintln!("{complaint}");
        }
        Counts::new(passed, failed, self.complaints.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSCRIPT: [&str; 6] = [
        "running 2 tests",
        "test kernel::loads::a ... ok",
        "test devices::b ... ok",
        "",
        "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1s",
        "landfast: ended with 0",
    ];

    fn conclude<'a>(lines: impl IntoIterator<Item = &'a str>) -> Counts {
        let names = ["kernel::loads::a", "devices::b"].map(str::to_owned);
        let mut results = Results::new(&names);
        for line in lines {
            results.line(line);
        }
        let is_broken = results.is_broken();
        let counts = results.conclude();
        assert_eq!(counts.failed(), is_broken);
        counts
    }

    #[test]
    fn all_that_were_to_run_passed() {
        assert_eq!(conclude(TRANSCRIPT), Counts::new(2, 0, 0));
    }

    #[test]
    fn a_missing_line_is_a_failure_whichever_it_is() {
        for missing in [1, 2, 5] {
            let lines = TRANSCRIPT.iter().enumerate().filter(|(line, _)| *line != missing);
            let counts = conclude(lines.map(|(_, line)| *line));
            assert!(counts.failed(), "without {:?}: {counts}", TRANSCRIPT[missing]);
        }
    }

    #[test]
    fn nothing_at_all_is_a_failure() {
        assert_eq!(conclude([]), Counts::new(0, 0, 3));
    }

    #[test]
    fn a_case_that_did_not_pass_is_a_failure() {
        for result in ["FAILED", "ignored", "o"] {
            let line = format!("test devices::b ... {result}");
            let lines = TRANSCRIPT.map(|known| match known {
                "test devices::b ... ok" => line.as_str(),
                other => other,
            });
            assert_eq!(conclude(lines), Counts::new(1, 1, 0), "{result}");
        }
    }

    #[test]
    fn a_failure_is_not_taken_back() {
        let lines = ["test devices::b ... FAILED"].into_iter().chain(TRANSCRIPT);
        assert_eq!(conclude(lines), Counts::new(1, 1, 0));
    }

    #[test]
    fn a_status_other_than_0_is_a_failure_even_if_all_passed() {
        let lines = TRANSCRIPT.map(|line| match line {
            "landfast: ended with 0" => "landfast: ended with 139",
            other => other,
        });
        assert_eq!(conclude(lines), Counts::new(2, 0, 1));
    }

    #[test]
    fn a_result_that_was_not_asked_for_is_a_failure() {
        let lines = TRANSCRIPT.into_iter().chain(["test kernel::other ... ok"]);
        assert!(conclude(lines).failed());
    }
}
