//! Which coding of a file a client takes (RFC 9110 section 12.5.3): pure.

use http::{HeaderMap, header};

use crate::config::distributions::Coding;
use crate::limits;

/// The codings of `offered` that a client prefers to none, the one it likes best first, and in the
/// order of `offered` where it likes them alike.
pub(super) fn accepted(headers: &HeaderMap, offered: &[Coding]) -> Vec<Coding> {
    if !headers.contains_key(header::ACCEPT_ENCODING) || offered.is_empty() {
        return Vec::new();
    }
    let fields = headers.get_all(header::ACCEPT_ENCODING).iter();
    let entries = fields.filter_map(|field| field.to_str().ok()).flat_map(|text| text.split(','));
    let entries: Vec<_> =
        entries.take(limits::MAX_ACCEPTED_CODINGS).filter_map(name_and_quality).collect();
    let quality = |name: &str| {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        entries.iter().find(|(known, _)| is(known)).map(|(_, quality)| *quality)
    };
    let any = quality("*");
    // Section 12.5.3: identity is acceptable unless it is excluded.
    let identity = quality("identity").or(any.filter(|any| *any == 0));
    let weigh = |coding: &Coding| {
        let alias = (*coding == Coding::Gzip).then(|| quality("x-gzip")).flatten();
        let quality = quality(coding.name()).or(alias).or(any).unwrap_or(0);
        (quality > 0 && quality >= identity.unwrap_or(0)).then_some((quality, *coding))
    };
    let mut accepted: Vec<_> = offered.iter().filter_map(weigh).collect();
    // Stable: what is liked alike stays in its order.
    accepted.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    accepted.into_iter().map(|(_, coding)| coding).collect()
}

/// A coding and its weight in thousandths (RFC 9110 section 12.4.2). What is malformed is not there.
fn name_and_quality(entry: &str) -> Option<(&str, u16)> {
    let (name, weight) = match entry.split_once(';') {
        None => (entry, None),
        Some((name, weight)) => (name, Some(weight)),
    };
    let name = name.trim();
    let quality = match weight {
        None => 1000,
        Some(weight) => thousandths(weight.trim().strip_prefix(['q', 'Q'])?.strip_prefix('=')?)?,
    };
    (!name.is_empty()).then_some((name, quality))
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, parts) = text.split_once('.').unwrap_or((text, ""));
    if parts.len() > 3 || !parts.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parts: u16 = format!("{parts:0<3}").parse().ok()?;
    match whole {
        "0" => Some(parts),
        "1" if parts == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use Coding::{Brotli, Gzip, Zstandard};

    fn of(fields: &[&'static str], offered: &[Coding]) -> Vec<Coding> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(field));
        }
        accepted(&headers, offered)
    }

    #[test]
    fn a_client_gets_what_it_likes_best_and_of_what_it_likes_alike_our_first() {
        let all = [Brotli, Zstandard, Gzip];
        for (field, expected) in [
            ("gzip, deflate, br, zstd", &[Brotli, Zstandard, Gzip][..]),
            ("gzip", &[Gzip]),
            ("GZIP", &[Gzip]),
            ("x-gzip", &[Gzip]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli]),
            ("br;q=0.001,gzip;q=0.002", &[Gzip, Brotli]),
            ("br;q=0, *", &[Zstandard, Gzip]),
            ("*;q=0.3, gzip;q=0.8", &[Gzip, Brotli, Zstandard]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip;q=0.5", &[Gzip]),
            ("*;q=0", &[]),
            ("deflate", &[]),
            ("", &[]),
            ("br ; q=0.5", &[Brotli]),
            ("br;q=2, gzip;q=x, zstd;q=0.1234", &[]),
            ("br;level=11", &[]),
        ] {
            assert_eq!(of(&[field], &all), expected, "{field}");
        }
        assert_eq!(of(&["gzip", "br"], &all), [Brotli, Gzip], "several fields are one list");
        assert_eq!(of(&["br, gzip"], &[Gzip]), [Gzip]);
        assert!(of(&[], &all).is_empty(), "without the field a client is not asked to decode");
    }
}
