//! What lands in no file.

use std::iter;

use super::{File, Violation, code};

/// Code that says it is not finished. The forms are put together here, so that this file is tidy.
const UNFINISHED: &[(&str, &str)] =
    &[("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("#[ignore", "")];

/// Work that isn't finished, or a test that isn't run, does not land.
pub(super) fn unfinished_work_does_not_land(files: &[File]) -> Vec<Violation> {
    let why = "what landed is what works; what is left to do stands in an issue";
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = code::only(&file.text);
        for (line, text) in iter::zip(1.., code.lines()) {
            for (front, back) in UNFINISHED {
                if text.contains(&format!("{front}{back}")) {
                    violations.push(file.violation(line, format!("`{front}{back}`"), why));
                }
            }
        }
    }
    violations
}

/// An `#[allow]` or `#[expect]` says why, in `reason = ".."` or in a comment at its side.
pub(super) fn an_exception_gives_its_reason(files: &[File]) -> Vec<Violation> {
    let why = "a lint that was wrong here without a reason was right";
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = code::only(&file.text);
        let lines: Vec<_> = file.text.lines().collect();
        for (at, text) in code.lines().enumerate() {
            let is_exception = ["[allow(", "[expect("].iter().any(|form| text.contains(form));
            let beside = &lines[at.saturating_sub(1)..lines.len().min(at + 3)];
            let reasoned = beside.iter().any(|l| l.contains("reason") || l.contains("//"));
            if is_exception && !reasoned {
                violations.push(file.violation(at + 1, "an exception without its reason", why));
            }
        }
    }
    violations
}

/// Beginnings of paths, and hosts, that mean something on one machine or network only.
const OF_ONE_MACHINE: &[(&str, &str)] = &[
    ("/ho", "me/"),
    ("/ro", "ot/"),
    ("/Use", "rs/"),
    ("/wo", "rk/"),
    ("/tmp/", "w/"),
    ("/opt/whe", "els"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("registry.npmjs", ".org"),
];

/// No path of a developer's machine and no registry's host stands in a file: a machine may have
/// mirrors, which its own configuration names.
pub(super) fn nothing_of_one_machine(files: &[File]) -> Vec<Violation> {
    let why = "it means nothing on another machine";
    let mut violations = Vec::new();
    for file in files {
        for (line, text) in iter::zip(1.., file.text.lines()) {
            for form in OF_ONE_MACHINE.iter().map(|(front, back)| format!("{front}{back}")) {
                if begins_a_path(text, &form) {
                    violations.push(file.violation(line, format!("`{form}`"), why));
                }
            }
        }
    }
    violations
}

/// Whether `form` stands in `text` and is not the middle of a longer path.
fn begins_a_path(text: &str, form: &str) -> bool {
    text.match_indices(form).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::lines;
    use super::*;

    #[test]
    fn unfinished_work_is_found_in_code_and_not_in_words() {
        let text = format!("// {0}\nlet a = \"{0}\";\n{0}", concat!("todo", "!()"));
        assert_eq!(lines(unfinished_work_does_not_land, "a.rs", &text), [3]);
        let ignored = concat!("#[ignore", "]\nfn a() {}");
        assert_eq!(lines(unfinished_work_does_not_land, "a.rs", ignored), [1]);
    }

    #[test]
    fn an_exception_is_reasoned_by_attribute_or_comment() {
        let rule = an_exception_gives_its_reason;
        assert_eq!(lines(rule, "a.rs", "fn a() {}\n\n#[allow(b)]\nfn c() {}"), [3]);
        assert!(lines(rule, "a.rs", "#[expect(b, reason = \"c\")]").is_empty());
        assert!(lines(rule, "a.rs", "#[allow(b)] // because c").is_empty());
    }

    #[test]
    fn paths_of_a_machine_are_found_and_paths_of_the_project_are_not() {
        let text = format!("cd {}", concat!("/ho", "me/ada/landfast"));
        assert_eq!(lines(nothing_of_one_machine, "docs/a.md", &text), [1]);
        let text = format!("see net{}", concat!("/wo", "rk/a"));
        assert!(lines(nothing_of_one_machine, "docs/a.md", &text).is_empty());
    }
}
