//! When an answer was made (RFC 9110 section 6.6.1).

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};

/// The date of a worker's answers, written once a second.
#[derive(Debug, Default)]
pub struct Date {
    /// Seconds since 1970, and the date that they are.
    written: RefCell<Option<(u64, HeaderValue)>>,
}

impl Date {
    /// Sets the date of an answer that has none. An origin with a clock says it, and whoever passes
    /// on what has none adds it.
    pub(super) fn set(&self, fields: &mut HeaderMap) {
        fields.entry(header::DATE).or_insert_with(|| self.at(SystemTime::now()));
    }

    fn at(&self, now: SystemTime) -> HeaderValue {
        // A clock that stands before 1970 is none.
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut written = self.written.borrow_mut();
        match &*written {
            Some((second, date)) if *second == seconds => date.clone(),
            _ => {
                let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
                let date = HeaderValue::try_from(text).expect("a date is a value");
                written.insert((seconds, date)).1.clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 section 5.6.7.
    #[test]
    fn the_date_is_that_of_the_second() {
        let date = Date::default();
        let second = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (now, text) in [
            (second, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (second + Duration::from_millis(999), "Sun, 06 Nov 1994 08:49:37 GMT"),
            (second + Duration::from_secs(1), "Sun, 06 Nov 1994 08:49:38 GMT"),
            (second, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (UNIX_EPOCH - Duration::from_secs(1), "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(date.at(now), text);
        }
    }

    #[test]
    fn a_date_that_is_there_stays() {
        let mut fields = HeaderMap::new();
        fields.insert(header::DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        Date::default().set(&mut fields);
        assert_eq!(fields[header::DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
        fields.clear();
        Date::default().set(&mut fields);
        assert_eq!(fields.len(), 1);
    }
}
