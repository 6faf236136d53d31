//! Conditions and ranges of a request for a file (RFC 9110 sections 13 and 14): pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, header};

use crate::limits;

/// What there is to compare with.
pub(super) struct Validators {
    /// Strong, with its quotes.
    pub(super) tag: String,
    /// In whole seconds, as `Last-Modified` says it.
    pub(super) modified: SystemTime,
    /// Bytes of the whole.
    pub(super) length: u64,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 200.
    Whole,
    /// 206, with these bytes: at least one, and all of them there.
    Part {
        /// The first.
        from: u64,
        /// How many.
        length: u64,
    },
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
}

/// Goes through the conditions in the order of RFC 9110 section 13.2.2. `ranges`: whether the method
/// has them, as only GET does (section 14.2).
pub(super) fn decide(headers: &HeaderMap, there: &Validators, ranges: bool) -> Outcome {
    if headers.contains_key(header::IF_MATCH) {
        // Section 13.1.1: by strong comparison.
        if !has_tag(headers, header::IF_MATCH, &there.tag, false) {
            return Outcome::Failed;
        }
    } else if date(headers, header::IF_UNMODIFIED_SINCE).is_some_and(|date| there.modified > date) {
        return Outcome::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        // Section 13.1.2: by weak comparison, because a client needs no more for its copy.
        if has_tag(headers, header::IF_NONE_MATCH, &there.tag, true) {
            return Outcome::NotModified;
        }
    } else if date(headers, header::IF_MODIFIED_SINCE).is_some_and(|date| there.modified <= date) {
        return Outcome::NotModified;
    }
    if ranges && is_of_this(headers, there) { part(headers, there.length) } else { Outcome::Whole }
}

/// Whether a range is one of what is there now (RFC 9110 section 13.1.5).
fn is_of_this(headers: &HeaderMap, there: &Validators) -> bool {
    match one(headers, header::IF_RANGE) {
        None => !headers.contains_key(header::IF_RANGE),
        Some(text) if text.starts_with('"') => text == there.tag,
        // Exactly, and strong: nothing that was changed in the second of its date is told apart.
        Some(text) => httpdate::parse_http_date(text).is_ok_and(|date| date == there.modified),
    }
}

/// One range. Several are answered by the whole, which RFC 9110 section 14.2 allows: each would cost
/// a part of its own, and overlapping ones more than the file has.
fn part(headers: &HeaderMap, length: u64) -> Outcome {
    let Some(range) = one(headers, header::RANGE) else { return Outcome::Whole };
    let Some((unit, range)) = range.split_once('=') else { return Outcome::Whole };
    if !unit.eq_ignore_ascii_case("bytes") || range.contains(',') {
        return Outcome::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-') else { return Outcome::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => match first < length {
            true => {
                // `last` may be the largest number that there is.
                let last = last.min(length - 1);
                Outcome::Part { from: first, length: last - first + 1 }
            }
            false => Outcome::Unsatisfiable,
        },
        (Some(first), None) if last.is_empty() => match first < length {
            true => Outcome::Part { from: first, length: length - first },
            false => Outcome::Unsatisfiable,
        },
        (None, Some(suffix)) if first.is_empty() => match suffix.min(length) {
            0 => Outcome::Unsatisfiable,
            suffix => Outcome::Part { from: length - suffix, length: suffix },
        },
        // Malformed ones are ignored (section 14.2).
        _ => Outcome::Whole,
    }
}

/// Digits, however many: what is beyond 64 bits is beyond every file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether a list of entity tags, or `*`, has this one (RFC 9110 section 8.8.3.2).
fn has_tag(headers: &HeaderMap, name: HeaderName, tag: &str, weakly: bool) -> bool {
    let fields = headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
    let tags = fields.flat_map(|text| text.split(',')).map(str::trim);
    tags.take(limits::MAX_CONDITION_TAGS).any(|given| {
        let given = if weakly { given.strip_prefix("W/").unwrap_or(given) } else { given };
        given == "*" || given == tag
    })
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(one(headers, name)?).ok()
}

/// The field, where there is one of the name and no other.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut fields = headers.get_all(name).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    field.to_str().ok()
}

/// Without the parts of a second; before 1970 it is 1970, because HTTP's dates begin there with us.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const BEFORE: &str = "Sat, 01 Jan 2022 00:00:00 GMT";
    const AT: &str = "Sun, 01 Jan 2023 00:00:00 GMT";
    const AFTER: &str = "Mon, 01 Jan 2024 00:00:00 GMT";

    fn outcome(fields: &[(HeaderName, &str)], length: u64) -> Outcome {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let modified = httpdate::parse_http_date(AT).expect("a date");
        decide(&headers, &Validators { tag: "\"a\"".into(), modified, length }, true)
    }

    /// RFC 9110 section 13.2.2, step by step.
    #[test]
    fn conditions_are_weighed_in_their_order() {
        use Outcome::{Failed, NotModified, Whole};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        for (fields, expected) in [
            (&[(IF_MATCH, "\"a\"")][..], Whole),
            (&[(IF_MATCH, "\"b\", \"a\"")], Whole),
            (&[(IF_MATCH, "*")], Whole),
            (&[(IF_MATCH, "\"b\"")], Failed),
            (&[(IF_MATCH, "W/\"a\"")], Failed),
            (&[(IF_MATCH, "\"a\""), (IF_UNMODIFIED_SINCE, BEFORE)], Whole),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            (&[(IF_UNMODIFIED_SINCE, AT)], Whole),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Whole),
            (&[(IF_NONE_MATCH, "\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "W/\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"b\"")], Whole),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, AFTER)], Whole),
            (&[(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (&[(IF_MODIFIED_SINCE, AT)], NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Whole),
            (&[(IF_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a\"")], Failed),
        ] {
            assert_eq!(outcome(fields, 10), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_range_is_one_of_what_is_there_or_the_whole_is_answered() {
        use Outcome::{Part, Unsatisfiable, Whole};
        use header::{IF_NONE_MATCH, IF_RANGE, RANGE};
        let part = |from, length| Part { from, length };
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-4", part(2, 3)),
            ("BYTES=2-4", part(2, 3)),
            ("bytes=2-", part(2, 8)),
            ("bytes=2-99", part(2, 8)),
            ("bytes=0-18446744073709551615", part(0, 10)),
            ("bytes=0-99999999999999999999", part(0, 10)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-11", Unsatisfiable),
            ("bytes=99999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=4-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1", Whole),
            ("lines=1-2", Whole),
        ] {
            assert_eq!(outcome(&[(RANGE, range)], 10), expected, "{range}");
        }
        assert_eq!(outcome(&[(RANGE, "bytes=0-")], 0), Unsatisfiable);
        assert_eq!(outcome(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=3-4")], 10), Whole);
        for (if_range, expected) in [
            ("\"a\"", part(2, 8)),
            ("W/\"a\"", Whole),
            ("\"b\"", Whole),
            (AT, part(2, 8)),
            (AFTER, Whole),
            ("soon", Whole),
        ] {
            let fields = [(RANGE, "bytes=2-"), (IF_RANGE, if_range)];
            assert_eq!(outcome(&fields, 10), expected, "{if_range}");
        }
        let fields = [(RANGE, "bytes=2-"), (IF_NONE_MATCH, "\"a\"")];
        assert_eq!(outcome(&fields, 10), Outcome::NotModified);
    }

    proptest! {
        /// Whatever range is asked for: what is answered is there.
        #[test]
        fn no_range_leads_out_of_the_file(
            range in "bytes=[0-9]{0,20}-[0-9]{0,20}",
            length in 0..40_u64,
        ) {
            if let Outcome::Part { from, length: part } = outcome(&[(header::RANGE, &range)], length) {
                prop_assert!(part >= 1 && from + part <= length, "{} of {}", range, length);
            }
        }
    }
}
