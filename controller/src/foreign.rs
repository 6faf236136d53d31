//! Words of others (nodes, authorities), for logs, answers to commands, and terminals: on one line,
//! without characters that a terminal obeys, and no longer than one is ready to read.

/// What stands for a character that is not shown.
const INSTEAD: char = '\u{fffd}';
/// What stands for the rest of what is too long.
const CUT: &str = "…";

/// `text` in at most `most` bytes, a `…` among them where something is left out. A control
/// character, a line's end, or what turns the direction of writing becomes U+FFFD: so nobody writes
/// a second line of a log, or moves a terminal's cursor.
#[must_use]
pub fn words(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    // Where `shown` is to be cut, should the rest not fit.
    let mut fits_cut = 0;
    for character in text.chars() {
        let character = if is_shown(character) { character } else { INSTEAD };
        if shown.len() + character.len_utf8() > most {
            shown.truncate(fits_cut);
            if CUT.len() <= most {
                shown.push_str(CUT);
            }
            return shown;
        }
        shown.push(character);
        if shown.len() + CUT.len() <= most {
            fits_cut = shown.len();
        }
    }
    shown
}

/// Unicode's general category Cc, its line and paragraph separators, and the invisible characters
/// that change how what follows is read (UAX 9 sections 2.1 to 2.6, and zero-width ones).
fn is_shown(character: char) -> bool {
    !(character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_clean_and_short_stay_as_they_are() {
        assert_eq!(words("Straße 7: a \"b\" é 試", 100), "Straße 7: a \"b\" é 試");
        assert_eq!(words("exactly", 7), "exactly");
        assert_eq!(words("", 0), "");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_or_that_begins_a_line_is_left() {
        let shown = words("a\nb\r\x1b[2J\u{9b}2J\u{202e}c\u{2028}d\x7f\0", 100);
        assert_eq!(
            shown,
            "a\u{fffd}b\u{fffd}\u{fffd}[2J\u{fffd}2J\u{fffd}c\u{fffd}d\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(words("abcdefgh", 7), "abcd…");
        assert_eq!(words("試試試", 8), "試…");
        assert_eq!(words("\n\n\n\n", 9), "\u{fffd}\u{fffd}…");
        for most in 0..40 {
            assert!(words("試\né\u{1f600}a long text of words", most).len() <= most, "{most}");
        }
        assert_eq!(words("abc", 2), "");
    }
}
