//! Which of a connection's answers go first (RFC 9218).

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// RFC 9218 section 5.
const FIELD: HeaderName = HeaderName::from_static("priority");
/// RFC 9218 section 4.1.
const LEAST_URGENT: u8 = 7;
/// Streams of one urgency that go one after the other have ranks of their own, so many of them; what
/// shares its turn comes after them all.
const RANKS: i32 = 1 << 24;

/// How an answer is to be sent beside the others of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 to 7, 0 goes first.
    urgency: u8,
    /// Whether a part of it is of use: it shares its turn with others of its kind.
    incremental: bool,
}

/// Of an answer about which nobody has said anything. RFC 9218 section 4.2 would have such answers
/// sent one after the other; but a client that says nothing does not know of that, and waits for a
/// page behind a download.
impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: true }
    }
}

impl Priority {
    /// What a field's value says, or that of a PRIORITY_UPDATE; what it leaves out is as in RFC 9218
    /// section 4. `None` where it says nothing that can be read.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        Some(Self { urgency: 3, incremental: false }.merged(&Parser::new(value).parse().ok()?))
    }

    /// What a client asks for.
    #[must_use]
    pub fn of_request(fields: &HeaderMap) -> Option<Self> {
        Self::parse(&joined(fields)?)
    }

    /// With what whoever answers says of it (RFC 9218 section 8).
    #[must_use]
    pub fn of_response(self, fields: &HeaderMap) -> Self {
        let said = joined(fields).and_then(|value| Parser::new(&value).parse().ok());
        said.map_or(self, |said| self.merged(&said))
    }

    /// Values that are out of range, or of another type, say nothing (RFC 9218 section 4).
    fn merged(mut self, said: &Dictionary) -> Self {
        let item = |key: &str| match said.get(key) {
            Some(ListEntry::Item(item)) => Some(&item.bare_item),
            _ => None,
        };
        if let Some(BareItem::Integer(urgency)) = item("u")
            && let Some(urgency) = u8::try_from(i64::from(*urgency)).ok()
            && urgency <= LEAST_URGENT
        {
            self.urgency = urgency;
        }
        if let Some(BareItem::Boolean(incremental)) = item("i") {
            self.incremental = *incremental;
        }
        self
    }

    /// As a number by which streams of a connection are ordered, the highest first. Those with the
    /// same take turns; those that do not take turns go in the order in which they were asked for.
    #[must_use]
    pub fn of_stream(self, id: u64) -> i32 {
        let level = i32::from(LEAST_URGENT - self.urgency) * RANKS;
        let place = i32::try_from(id / 4 % (RANKS as u64 - 1)).unwrap_or(0);
        if self.incremental { level } else { level + RANKS - 1 - place }
    }
}

/// Its lines as one (RFC 9110 section 5.3); nothing where there is none, as mostly.
fn joined(fields: &HeaderMap) -> Option<Vec<u8>> {
    let mut lines = fields.get_all(FIELD).iter().peekable();
    lines.peek()?;
    Some(lines.map(|line| line.as_bytes()).collect::<Vec<_>>().join(&b", "[..]))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parsed(value: &str) -> Option<(u8, bool)> {
        Priority::parse(value.as_bytes()).map(|it| (it.urgency, it.incremental))
    }

    /// RFC 9218 section 4.
    #[test]
    fn what_is_left_out_or_makes_no_sense_is_the_default() {
        for (value, priority) in [
            ("", (3, false)),
            ("u=5, i", (5, true)),
            ("u=0", (0, false)),
            ("i=?0, u=7", (7, false)),
            ("u=8", (3, false)),
            ("u=-1, i=1", (3, false)),
            ("u=1.0", (3, false)),
            ("foo, u=1;x=y, bar=(1 2)", (1, false)),
            ("u=1, u=2", (2, false)),
        ] {
            assert_eq!(parsed(value), Some(priority), "{value}");
        }
        for value in ["u=", "U=1", "u=1,", "\u{e4}"] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn whoever_answers_changes_what_it_names() {
        let mut fields = HeaderMap::new();
        assert_eq!(Priority::of_request(&fields), None);
        fields.append("priority", HeaderValue::from_static("u=1"));
        fields.append("priority", HeaderValue::from_static("i"));
        let asked = Priority::of_request(&fields).expect("there");
        assert_eq!(asked, Priority { urgency: 1, incremental: true });
        let said = HeaderMap::from_iter([(FIELD, HeaderValue::from_static("u=6"))]);
        assert_eq!(asked.of_response(&said), Priority { urgency: 6, incremental: true });
        assert_eq!(asked.of_response(&HeaderMap::new()), asked);
    }

    #[test]
    fn urgent_ones_go_first_then_the_older_and_turns_are_taken_last() {
        let of = |value: &str, id| Priority::parse(value.as_bytes()).expect("good").of_stream(id);
        let order = [
            of("u=0", 400),
            of("u=0, i", 0),
            of("u=3", 0),
            of("u=3", 4),
            of("u=3", 400),
            of("u=3, i", 0),
            of("u=7", (1 << 62) - 4),
        ];
        assert!(order.is_sorted_by(|first, second| first > second), "{order:?}");
        assert_eq!(of("i", 0), of("i", 8));
        assert_eq!(of("i", 0), Priority::default().of_stream(4));
        assert!(of("u=7, i", 0) >= 0);
    }
}
