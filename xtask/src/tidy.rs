//! `cargo xtask tidy`: the invariants of the architecture that a program can check.
//!
//! | module | rules |
//! |---|---|
//! | [`code`] | what of a Rust file is code: comments and literals blanked |
//! | [`size`] | a file ends soon |
//! | [`rooms`] | a library's name stays in its room; who reads no clock; where `unsafe` may be |
//! | [`words`] | what lands in no file |
//! | [`docs`] | links lead somewhere, decisions have numbers, Reasons, limits, settings, metrics, verbs are explained |
//!
//! Each rule is a function from files to violations, so that a fixture tests it.

mod code;
mod docs;
mod rooms;
mod size;
mod words;

use std::fmt;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::process;

/// The invariants of the architecture that a program can check.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the pages that are made from code, then check.
    #[arg(long)]
    write: bool,
}

/// A file of the repository.
struct File {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    /// From 1.
    line: usize,
    what: String,
    /// Why there is such a rule.
    why: &'static str,
}

type Rule = fn(&[File]) -> Vec<Violation>;

const RULES: &[Rule] = &[
    size::files_end_soon,
    rooms::libraries_stay_in_their_rooms,
    rooms::protocol_code_reads_no_clock,
    rooms::the_edge_and_the_controller_are_strangers,
    rooms::unsafe_stays_in_its_files,
    rooms::unsafe_carries_its_proof,
    words::unfinished_work_does_not_land,
    words::an_exception_gives_its_reason,
    words::nothing_of_one_machine,
    docs::links_lead_somewhere,
    docs::decisions_are_numbered,
    docs::every_reason_is_explained,
    docs::every_limit_says_why,
    docs::every_setting_is_documented,
    docs::every_metric_is_documented,
    docs::every_verb_is_documented,
];

/// # Errors
/// Where a rule is broken.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.write {
        fs::write(process::root().join(docs::REASONS), docs::reasons_page())?;
    }
    let files = files()?;
    size::notes(&files).for_each(|note| eprintln!("note: {note}"));
    let violations: Vec<_> = RULES.iter().flat_map(|rule| rule(&files)).collect();
    for violation in &violations {
        println!("{violation}");
    }
    ensure!(violations.is_empty(), "{} places break a rule", violations.len());
    eprintln!("{} rules, {} files: tidy", RULES.len(), files.len());
    Ok(())
}

/// Every text file that git knows or would add.
fn files() -> Result<Vec<File>> {
    let mut git = process::command("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = process::output(&mut git)?;
    let mut files = Vec::new();
    for path in listed.split_terminator('\0') {
        let file = process::root().join(path);
        // A path that git knows and the working tree has not is being removed.
        if !file.is_file() {
            continue;
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    fn violation(&self, line: usize, what: impl Into<String>, why: &'static str) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into(), why }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, why } = self;
        write!(f, "{path}:{line}: {what}\n    why: {why}")
    }
}

#[cfg(test)]
mod fixture {
    use super::File;

    /// A file of the repository, made up.
    pub(super) fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    /// The lines of `rule`'s violations in one such file.
    pub(super) fn lines(rule: super::Rule, path: &str, text: &str) -> Vec<usize> {
        rule(&[file(path, text)]).iter().map(|violation| violation.line).collect()
    }
}
