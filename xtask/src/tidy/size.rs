//! A file ends soon.

use super::{File, Violation};

/// Lines of a file that call for a look.
const MANY: usize = 400;
/// Lines that a file may have.
const MOST: usize = 500;

/// A Rust file of more than [`MOST`] lines has more than one job.
pub(super) fn files_end_soon(files: &[File]) -> Vec<Violation> {
    let why = "a file that long has a second job: split it";
    rust_files_over(MOST, files)
        .map(|(file, lines)| {
            file.violation(MOST + 1, format!("{lines} lines; {MOST} are allowed"), why)
        })
        .collect()
}

/// What breaks no rule yet, but is on its way there: a line for each such file.
pub(super) fn notes(files: &[File]) -> impl Iterator<Item = String> {
    let long = rust_files_over(MANY, files).filter(|(_, lines)| *lines <= MOST);
    long.map(|(file, lines)| format!("{}: {lines} lines: does it still have one job?", file.path))
}

fn rust_files_over(most: usize, files: &[File]) -> impl Iterator<Item = (&File, usize)> {
    let measured = files.iter().filter(|file| file.is_rust());
    measured.map(|file| (file, file.text.lines().count())).filter(move |(_, lines)| *lines > most)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{file, lines};
    use super::*;

    #[test]
    fn a_file_of_the_most_lines_is_allowed_and_one_more_is_not() {
        let text = "\n".repeat(MOST);
        assert!(lines(files_end_soon, "edge-user/src/a.rs", &text).is_empty());
        let text = "\n".repeat(MOST + 1);
        assert_eq!(lines(files_end_soon, "edge-user/src/a.rs", &text), [MOST + 1]);
    }

    #[test]
    fn a_file_of_many_lines_is_noted() {
        let text = "\n".repeat(MANY + 1);
        assert_eq!(notes(&[file("a.rs", &text)]).count(), 1);
        assert_eq!(notes(&[file("a.rs", "")]).count(), 0);
    }

    #[test]
    fn only_code_is_measured() {
        let text = "\n".repeat(9 * MOST);
        assert!(lines(files_end_soon, "Cargo.lock", &text).is_empty());
    }
}
