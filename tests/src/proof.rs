//! `docs/proof.md` names cases that are there.

use std::fs;
use std::path::Path;

/// Is there a test of this path, `netns::file::name` or deeper?
fn is_there(cases: &Path, path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").expect("a path of a case");
    let file = cases.join(module.replace("::", "/")).with_extension("rs");
    let source = fs::read_to_string(file).unwrap_or_default();
    source.contains(&format!("#[test]\nfn {name}()"))
}

#[test]
fn every_case_that_the_page_of_proof_names_is_there() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(tests.join("../docs/proof.md")).expect("a page");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let named: Vec<_> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(|word| word.starts_with("netns::"))
        .collect();
    assert!(named.len() > 40, "the page has another form: {named:?}");
    let cases = tests.join("cases");
    let absent: Vec<_> = named.into_iter().filter(|path| !is_there(&cases, path)).collect();
    assert!(absent.is_empty(), "no such cases: {absent:?}");
}
