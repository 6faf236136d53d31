//! What of a Rust file is code.

use std::iter;

/// The file with its comments and the insides of its literals blanked; every line stays where it
/// was. So a rule about code isn't broken by a sentence about it.
pub(super) fn only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match token(rest) {
            Token::Blank(length) => {
                code.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
                length
            }
            Token::Word(length) => {
                code.push_str(&rest[..length]);
                length
            }
            Token::Other => {
                code.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}

/// The lines of `code` up to the unit tests, numbered from 1. Tests may do what code may not.
pub(super) fn before_tests(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
    iter::zip(1.., code[..end].lines())
}

/// Whether the words of `wanted` (`quinn_proto`, `Instant::now`) stand in `line` as whole words.
pub(super) fn names(line: &str, wanted: &str) -> bool {
    line.match_indices(wanted).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + wanted.len()..].chars().next();
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    })
}

/// What stands at the beginning of a text, with its length in bytes.
enum Token {
    /// A comment or a literal.
    Blank(usize),
    /// An identifier, keyword or number: taken whole, so that `br` in `abr"` starts no literal.
    Word(usize),
    /// One character of anything else.
    Other,
}

fn token(rest: &str) -> Token {
    if rest.starts_with("//") {
        return Token::Blank(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Token::Blank(block_comment(rest));
    }
    if let Some(length) = raw_string(rest) {
        return Token::Blank(length);
    }
    if rest.starts_with('"') {
        return Token::Blank(quoted(rest, '"'));
    }
    if rest.starts_with('\'') && is_character(rest) {
        return Token::Blank(quoted(rest, '\''));
    }
    match rest.find(|c| !in_word(c)).unwrap_or(rest.len()) {
        0 => Token::Other,
        // The prefix of a literal belongs to the literal, which the next call sees.
        length => Token::Word(length),
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - body.len();
    Some(body.find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether the quote begins a character, not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut after = rest.chars().skip(1);
    matches!((after.next(), after.next()), (Some('\\'), _) | (Some(_), Some('\'')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let text = "let a = \"aya\"; // aya\n/* aya\n/* aya */ */ let b = r#\"a\"ya\"#;\n'a'";
        let code = only(text);
        assert!(!code.contains("aya"), "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(code.contains("let b ="));
    }

    #[test]
    fn a_lifetime_is_no_literal() {
        assert_eq!(only("fn a<'b>(c: &'b aya::D) {}"), "fn a<'b>(c: &'b aya::D) {}");
        assert_eq!(only("let q = '\"'; aya()"), "let q =    ; aya()");
        assert_eq!(only("let q = '\\''; aya()"), "let q =     ; aya()");
    }

    #[test]
    fn a_name_is_a_whole_word() {
        assert!(names("use aya::Ebpf;", "aya"));
        assert!(!names("use aya_log::Log;", "aya"));
        assert!(!names("let playa = 1;", "aya"));
        assert!(names("let now = Instant::now();", "Instant::now"));
    }

    #[test]
    fn the_unit_tests_are_left_out() {
        let lines: Vec<_> = before_tests("#[cfg(test)]\nb\n#[cfg(test)]\nmod tests {}").collect();
        assert_eq!(lines, [(1, "#[cfg(test)]"), (2, "b")]);
    }
}
