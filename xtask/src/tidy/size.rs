//! A file ends soon.

use super::{File, Violation};

/// Lines that a file may have.
const MOST: usize = 500;

/// A Rust file of more than [`MOST`] lines has more than one job.
pub(super) fn files_end_soon(files: &[File]) -> Vec<Violation> {
    let long = |file: &&File| file.is_rust() && file.text.lines().count() > MOST;
    files
        .iter()
        .filter(long)
        .map(|file| {
            let what = format!("{} lines; {MOST} are allowed", file.text.lines().count());
            file.violation(MOST + 1, what, "a file that long has a second job: split it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::lines;
    use super::*;

    #[test]
    fn a_file_of_the_most_lines_is_allowed_and_one_more_is_not() {
        let text = "\n".repeat(MOST);
        assert!(lines(files_end_soon, "edge-user/src/a.rs", &text).is_empty());
        let text = "\n".repeat(MOST + 1);
        assert_eq!(lines(files_end_soon, "edge-user/src/a.rs", &text), [MOST + 1]);
    }

    #[test]
    fn only_code_is_measured() {
        let text = "\n".repeat(9 * MOST);
        assert!(lines(files_end_soon, "Cargo.lock", &text).is_empty());
    }
}
