//! The documentation follows the code.

use std::collections::BTreeSet;
use std::iter;

use edge_wire::Reason;
use edge_wire::reason::Verdict;

use super::{File, Violation};

/// Links in Markdown that stay in the repository lead to something there.
pub(super) fn links_lead_somewhere(files: &[File]) -> Vec<Violation> {
    let places = places(files);
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let mut in_block = false;
        for (line, text) in iter::zip(1.., file.text.lines()) {
            in_block ^= text.trim_start().starts_with("```");
            for target in links(text).filter(|_| !in_block) {
                if resolved(&file.path, target).is_none_or(|place| !places.contains(&place)) {
                    let what = format!("the link to {target} leads nowhere");
                    violations.push(file.violation(line, what, "a reader follows it"));
                }
            }
        }
    }
    violations
}

/// Every file, and every folder that has one.
fn places(files: &[File]) -> BTreeSet<String> {
    let mut places = BTreeSet::from([String::new()]);
    for file in files {
        let path = file.path.as_str();
        places.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        places.insert(path.to_owned());
    }
    places
}

/// The targets of a line's links that stay in the repository, without their fragments.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains(':'))
}

/// `target` as seen from the folder of `path`; `None` where it leaves the repository.
fn resolved(path: &str, target: &str) -> Option<String> {
    let mut folders: Vec<_> = path.split('/').collect();
    folders.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(folders.pop()?),
            part => folders.push(part),
        }
    }
    Some(folders.join("/"))
}

const DECISIONS: &str = "docs/decisions/";

/// Decisions are `NNNN-some-words.md`, without gap or repetition, titled `# NNNN: ..`.
pub(super) fn decisions_are_numbered(files: &[File]) -> Vec<Violation> {
    let why = "a decision is cited by its number";
    let mut violations = Vec::new();
    // In the order of their names, and so of their numbers.
    let mut decisions: Vec<_> = files.iter().filter(|f| f.path.starts_with(DECISIONS)).collect();
    decisions.sort_by(|a, b| a.path.cmp(&b.path));
    for (number, file) in iter::zip(1.., decisions) {
        let number = format!("{number:04}");
        if !file.path[DECISIONS.len()..].starts_with(&format!("{number}-")) {
            let what = format!("the next decision would be {DECISIONS}{number}-...md");
            violations.push(file.violation(1, what, why));
        }
        if !file.text.starts_with(&format!("# {number}: ")) {
            violations.push(file.violation(1, format!("the title is not `# {number}: ..`"), why));
        }
        for heading in ["## Context", "## Decision", "## Consequences"] {
            if !file.text.lines().any(|line| line == heading) {
                violations.push(file.violation(1, format!("has no `{heading}`"), why));
            }
        }
    }
    violations
}

/// The page that explains every Reason.
pub(super) const REASONS: &str = "docs/reasons.md";

/// Every Reason has its row on [`REASONS`], as the code has it.
pub(super) fn every_reason_is_explained(files: &[File]) -> Vec<Violation> {
    let why = "an operator looks up what a counter counts";
    let Some(page) = files.iter().find(|file| file.path == REASONS) else {
        return Vec::new();
    };
    let wrong = || page.violation(1, "not as `cargo xtask tidy --write` would have it", why);
    (page.text != reasons_page()).then(wrong).into_iter().collect()
}

/// The page at [`REASONS`].
pub(super) fn reasons_page() -> String {
    let mut page = String::from(
        "<!-- Written by `cargo xtask tidy --write` from edge-wire/src/reason.rs. -->\n\
         # Reasons\n\n\
         Each packet ends in exactly one Reason in each program that sees it: `steer_node` (XDP),\n\
         `steer_worker` (the reuseport program), `edge` (the process) and `relay` (the process, \
         for other nodes,\nwhere XDP is not attached). In `edge` a datagram that was handed over counts once more at the\n\
         worker that got it. `/metrics` counts them:\n\n\
         ```text\nlandfast_packets_total{program=\"steer_node\",reason=\"forwarded\"}\n```\n\n\
         | reason | the packet | meaning | many of them |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let verdict = match reason.verdict() {
            Verdict::Pass => "goes on",
            Verdict::Send => "is sent on",
            Verdict::Drop => "ends",
        };
        let meaning = reason.meaning().split_whitespace().collect::<Vec<_>>().join(" ");
        let (name, advice) = (reason.name(), reason.advice());
        page.push_str(&format!("| `{name}` | {verdict} | {meaning} | {advice} |\n"));
    }
    page
}

/// Every constant of `limits.rs`, and of what is below it, says why it is as it is.
pub(super) fn every_limit_says_why(files: &[File]) -> Vec<Violation> {
    let why = "a bound without its why cannot be changed with confidence";
    let mut violations = Vec::new();
    let limits = |path: &str| path.ends_with("/src/limits.rs") || path.contains("/src/limits/");
    for file in files.iter().filter(|file| limits(&file.path)) {
        let mut above = "";
        for (line, text) in iter::zip(1.., file.text.lines()) {
            let is_limit = text.starts_with("pub const ") || text.starts_with("pub(crate) const ");
            if is_limit && !above.starts_with("///") {
                violations.push(file.violation(line, "a limit without its why", why));
            }
            above = text;
        }
    }
    violations
}

/// Every setting of the configuration file is on the page about it.
pub(super) fn every_setting_is_documented(files: &[File]) -> Vec<Violation> {
    let settings = |text: &str| {
        let fields = iter::zip(1.., text.lines());
        let field = |(line, text): (usize, &str)| {
            let shared = ["pub(super) ", "pub(crate) "];
            let field = shared.iter().find_map(|shared| text.trim().strip_prefix(shared))?;
            let (name, _) = field.split_once(':')?;
            (!name.contains(' ')).then(|| (line, format!("`{name}`"), name.to_owned()))
        };
        // Tables are headings, their settings rows.
        let known = fields.filter_map(field);
        known.map(|(line, setting, name)| (line, vec![setting, format!("[{name}]")])).collect()
    };
    let code = ["edge-user/src/config/file.rs", "distributions/src/file.rs"];
    let named = code.map(|code| named_on_a_page(files, code, "docs/configuration.md", settings));
    named.into_iter().flatten().collect()
}

/// Every metric is on the page about them.
pub(super) fn every_metric_is_documented(files: &[File]) -> Vec<Violation> {
    let metrics = |text: &str| -> Names {
        let quoted = |(line, text): (usize, &str)| {
            let (_, rest) = text.split_once("\"landfast_")?;
            let (name, _) = rest.split_once('"')?;
            Some((line, vec![format!("`landfast_{name}`")]))
        };
        iter::zip(1.., text.lines()).filter_map(quoted).collect()
    };
    let code = ["metrics", "answers", "following"];
    let code = code.map(|code| format!("edge-user/src/admin/{code}.rs"));
    let violations = code.map(|code| named_on_a_page(files, &code, "docs/metrics.md", metrics));
    violations.into_iter().flatten().collect()
}

/// Names that a file has, with their lines; each in all forms that a page may have it in.
type Names = Vec<(usize, Vec<String>)>;

fn named_on_a_page(
    files: &[File],
    code: &str,
    page: &str,
    names: impl Fn(&str) -> Names,
) -> Vec<Violation> {
    let named = |path: &str| files.iter().find(|file| file.path == path);
    let (Some(code), Some(page)) = (named(code), named(page)) else {
        return Vec::new();
    };
    let is_missing =
        |(_, forms): &(usize, Vec<String>)| !forms.iter().any(|form| page.text.contains(form));
    let missing = names(&code.text).into_iter().filter(is_missing);
    let why = "an operator looks for it there";
    missing
        .map(|(line, forms)| {
            code.violation(line, format!("{} has no {}", page.path, forms[0]), why)
        })
        .collect()
}

/// Every verb of xtask is explained in CONTRIBUTING.md.
pub(super) fn every_verb_is_documented(files: &[File]) -> Vec<Violation> {
    let verbs =
        |text: &str| verbs(text).into_iter().map(|(line, verb)| (line, vec![verb])).collect();
    named_on_a_page(files, "xtask/src/main.rs", "CONTRIBUTING.md", verbs)
}

/// `cargo xtask some-verb` for each variant of `enum Verb`, with its line.
fn verbs(main: &str) -> Vec<(usize, String)> {
    let lines = iter::zip(1.., main.lines()).skip_while(|(_, line)| *line != "enum Verb {");
    let variants = lines.skip(1).take_while(|(_, line)| *line != "}");
    variants
        .filter_map(|(line, text)| {
            let (variant, _) = text.trim().split_once('(')?;
            let mut verb = String::from("cargo xtask ");
            for (at, c) in variant.char_indices() {
                if c.is_ascii_uppercase() && at > 0 {
                    verb.push('-');
                }
                verb.push(c.to_ascii_lowercase());
            }
            variant.chars().all(char::is_alphabetic).then_some((line, verb))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{file, lines};
    use super::*;

    #[test]
    fn a_link_is_seen_from_its_own_page() {
        let rule = links_lead_somewhere;
        let target = || file("docs/b.md", "");
        let page = |text| [file("docs/decisions/0001-a.md", text), target()];
        assert!(rule(&page("[b](../b.md#c), [docs](..), [web](https://a.example/)")).is_empty());
        assert_eq!(rule(&page("\n[b](b.md)")).len(), 1);
        assert_eq!(rule(&page("[out](../../../b.md)")).len(), 1);
        assert!(rule(&page("```text\n[b](b.md)\n```")).is_empty());
    }

    #[test]
    fn decisions_have_numbers_without_gap() {
        let text = |number| format!("# {number}: A\n## Context\n## Decision\n## Consequences\n");
        let first = file("docs/decisions/0001-a.md", &text("0001"));
        let second = file("docs/decisions/0002-b.md", &text("0002"));
        let third = file("docs/decisions/0003-b.md", &text("0003"));
        assert!(decisions_are_numbered(&[second, first]).is_empty());
        let first = file("docs/decisions/0001-a.md", &text("0001"));
        assert_eq!(decisions_are_numbered(&[first, third]).len(), 2);
    }

    #[test]
    fn the_page_of_reasons_is_the_code_s() {
        assert!(lines(every_reason_is_explained, REASONS, &reasons_page()).is_empty());
        let page = reasons_page().replace("`forwarded`", "`sent`");
        assert_eq!(lines(every_reason_is_explained, REASONS, &page), [1]);
    }

    #[test]
    fn a_limit_has_a_comment() {
        let text = "/// Because.\npub const A: u8 = 1;\npub const B: u8 = 2;\n";
        for path in ["edge-user/src/limits.rs", "edge-user/src/limits/http.rs"] {
            assert_eq!(lines(every_limit_says_why, path, text), [3]);
        }
    }

    #[test]
    fn settings_and_metrics_are_on_their_pages() {
        let code =
            "pub(super) struct A {\n    pub(super) port: u16,\n    pub(super) log: Log,\n}\n";
        let code = || file("edge-user/src/config/file.rs", code);
        let page = |text| [code(), file("docs/configuration.md", text)];
        assert!(every_setting_is_documented(&page("`port` `[log]`")).is_empty());
        assert_eq!(every_setting_is_documented(&page("`port`"))[0].line, 3);

        let code = || file("edge-user/src/admin/metrics.rs", "\n\"landfast_up\",");
        let page = |text| [code(), file("docs/metrics.md", text)];
        assert!(every_metric_is_documented(&page("`landfast_up`")).is_empty());
        assert_eq!(every_metric_is_documented(&page(""))[0].line, 2);
    }

    #[test]
    fn verbs_are_found_as_they_are_typed() {
        let main = "enum Verb {\n    /// Builds.\n    BuildEbpf(build_ebpf::Options),\n}\n";
        assert_eq!(verbs(main), [(3, "cargo xtask build-ebpf".to_owned())]);
        let pages = |text| [file("xtask/src/main.rs", main), file("CONTRIBUTING.md", text)];
        assert!(every_verb_is_documented(&pages("`cargo xtask build-ebpf`")).is_empty());
        assert_eq!(every_verb_is_documented(&pages("")).len(), 1);
    }
}
