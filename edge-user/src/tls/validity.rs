//! When a certificate begins and ends (RFC 5280 section 4.1.2.5), for the warning at the start.
//!
//! Only the way to that one field is walked, in DER; whatever is not as expected gives `None`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::limits;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when clients take a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Validity {
    /// Of this certificate.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate)?;
        let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
        if rest.first() == Some(&VERSION) {
            (_, _, rest) = element(rest)?;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            (_, _, rest) = element(rest)?;
        }
        let (SEQUENCE, validity, _) = element(rest)? else { return None };
        let (tag, begin, rest) = element(validity)?;
        let not_before = time(tag, begin)?;
        let (tag, end, _) = element(rest)?;
        Some(Self { not_before, not_after: time(tag, end)? })
    }

    /// What clients will think of the certificate in the file `certificate`, where that is not
    /// good.
    pub(super) fn warning(&self, certificate: &Path, now: SystemTime) -> Option<String> {
        let path = certificate.display();
        if let Ok(wait) = self.not_before.duration_since(now)
            && !wait.is_zero()
        {
            let wait = in_words(wait);
            return Some(format!(
                "the certificate {path} is not valid for another {wait}: clients refuse it until \
                 then; or is this host's clock wrong?"
            ));
        }
        match self.not_after.duration_since(now) {
            Err(past) => {
                let since = in_words(past.duration());
                Some(format!("the certificate {path} has ended {since} ago: clients refuse it"))
            }
            Ok(left) if left < limits::CERTIFICATE_ENDS_SOON => {
                Some(format!("the certificate {path} ends in {}: renew it", in_words(left)))
            }
            Ok(_) => None,
        }
    }
}

fn in_words(time: Duration) -> String {
    match time.as_secs() / 3600 {
        0 => format!("{} min", time.as_secs() / 60),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

/// Tag and content of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let number = |text: &str| text.parse::<i64>().ok();
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year = number(text.get(..2)?)?;
            // 50 to 99 are of the twentieth century (RFC 5280 section 4.1.2.5.1).
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        (GENERALIZED_TIME, 14) => (number(text.get(..4)?)?, text.get(4..)?),
        _ => return None,
    };
    let mut fields = [0; 5];
    for (place, field) in fields.iter_mut().enumerate() {
        *field = number(rest.get(2 * place..2 * place + 2)?)?;
    }
    let [month, day, hour, minute, second] = fields;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Of the Gregorian calendar. A year that begins in March has its leap day at the end.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        let time = time(tag, text.as_bytes())?;
        Some(time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs())
    }

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "260228235959Z"), Some(1_772_323_199));
        assert_eq!(seconds(GENERALIZED_TIME, "20000301000000Z"), Some(951_868_800));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(UTC_TIME, "20500101000000Z"), None);
        assert_eq!(seconds(GENERALIZED_TIME, "2050010100000éZ"), None);
    }

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(number * 86_400)
    }

    #[test]
    fn begin_and_end_of_a_certificate_are_found() {
        let key = rcgen::KeyPair::generate().expect("key");
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("name");
        params.not_before = rcgen::date_time_ymd(2031, 7, 1);
        params.not_after = rcgen::date_time_ymd(2031, 7, 14);
        let certificate = params.self_signed(&key).expect("signed");
        let validity = Validity { not_before: day(22_461), not_after: day(22_474) };
        assert_eq!(Validity::of(certificate.der()), Some(validity));
        for cut in 0..certificate.der().len() {
            Validity::of(&certificate.der()[..cut]); // nothing panics
        }
    }

    #[test]
    fn what_clients_refuse_or_soon_will_is_warned_of() {
        let validity = Validity { not_before: day(100), not_after: day(190) };
        let warning = |now| validity.warning(Path::new("cert.pem"), now).unwrap_or_default();
        let minute = Duration::from_secs(60);
        for (now, words) in [
            (day(90), "cert.pem is not valid for another 10 days"),
            (day(100) - 5 * minute, "not valid for another 5 min"),
            (day(184), "ends in 6 days: renew it"),
            (day(190) - 90 * minute, "ends in 1 h"),
            (day(193), "has ended 3 days ago: clients refuse it"),
        ] {
            assert!(warning(now).contains(words), "{}", warning(now));
        }
        for now in [day(100), day(150)] {
            assert_eq!(warning(now), "");
        }
    }
}
