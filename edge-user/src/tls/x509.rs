//! What a certificate says (RFC 5280): whom it names, from when until when, who issued it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

pub(crate) use ::distributions::names::host_name;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{Oid, asn1_rs::oid};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::limits;

/// `id-pe-acmeIdentifier` (RFC 8737 section 6.1).
const ACME_IDENTIFIER: Oid<'static> = oid!(1.3.6.1.5.5.7.1.31);
/// DER of an OCTET STRING of 32 bytes, before these bytes.
const SHA256_OCTETS: [u8; 2] = [0x04, 32];

/// One of the names that a certificate is for (`subjectAltName`, RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A DNS name, in lower case, without dot at its end.
    Exact(Box<str>),
    /// All names of one label more than this: `*.example.com` is below `example.com`
    /// (RFC 9525 section 6.3).
    Below(Box<str>),
    /// An address, which no client can ask for by SNI (RFC 6066 section 3).
    Address(IpAddr),
}

/// The part of a certificate that we go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) names: Vec<Name>,
    pub(super) validity: Validity,
    /// The digest in `acmeIdentifier`, where there is one and it is critical (RFC 8737 section 3).
    pub(super) acme_identifier: Option<[u8; 32]>,
    /// SubjectPublicKeyInfo, DER.
    pub(super) public_key: Vec<u8>,
    /// Of the issuer, DER.
    pub(super) issuer: Vec<u8>,
    /// Of the subject, DER.
    pub(super) subject: Vec<u8>,
}

impl Facts {
    /// Of this certificate, DER; the reason where it is none.
    pub(super) fn of(certificate: &[u8]) -> Result<Self, String> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow it", rest.len()));
        }
        let validity = parsed.validity();
        let alternatives = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
        let listed = alternatives.iter().flat_map(|names| &names.value.general_names);
        Ok(Self {
            names: listed.filter_map(name).collect(),
            validity: Validity {
                not_before: time(validity.not_before.timestamp()),
                not_after: time(validity.not_after.timestamp()),
            },
            acme_identifier: acme_identifier(&parsed),
            public_key: parsed.public_key().raw.to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
        })
    }
}

fn time(seconds: i64) -> SystemTime {
    // Nothing is valid before 1970 that matters after it.
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0))
}

fn name(name: &GeneralName<'_>) -> Option<Name> {
    match name {
        GeneralName::DNSName(name) => dns_name(name),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
            let v6 = <[u8; 16]>::try_from(*bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
            v4.or(v6).ok().map(Name::Address)
        }
        _ => None,
    }
}

/// A wildcard is the whole of the first label, or the name is none (RFC 9525 section 6.3).
fn dns_name(text: &str) -> Option<Name> {
    match text.strip_prefix("*.") {
        Some(parent) => host_name(parent).map(Name::Below),
        None => host_name(text).map(Name::Exact),
    }
}

fn acme_identifier(certificate: &X509Certificate<'_>) -> Option<[u8; 32]> {
    let extension = certificate.get_extension_unique(&ACME_IDENTIFIER).ok().flatten()?;
    // Nothing else is known by this number.
    let known = !matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. });
    let digest = extension.value.strip_prefix(&SHA256_OCTETS[..])?;
    (known && extension.critical).then(|| digest.try_into().ok()).flatten()
}

/// From when until when clients take a certificate (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Validity {
    /// Whether clients take it at `now`.
    pub(super) fn holds(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// What clients will think of `certificate`, where that is not good.
    pub(super) fn warning(&self, certificate: &str, now: SystemTime) -> Option<String> {
        if let Ok(wait) = self.not_before.duration_since(now)
            && !wait.is_zero()
        {
            let wait = in_words(wait);
            return Some(format!(
                "the certificate {certificate} is not valid for another {wait}: clients refuse it \
                 until then; or is this host's clock wrong?"
            ));
        }
        match self.not_after.duration_since(now) {
            Err(past) => {
                let since = in_words(past.duration());
                Some(format!(
                    "the certificate {certificate} has ended {since} ago: clients refuse it"
                ))
            }
            Ok(left) if left < limits::CERTIFICATE_ENDS_SOON => {
                let left = in_words(left);
                Some(format!("the certificate {certificate} ends in {left}: renew it"))
            }
            Ok(_) => None,
        }
    }
}

/// Roughly, as people say it.
pub(super) fn in_words(time: Duration) -> String {
    match time.as_secs() / 3600 {
        0 => format!("{} min", time.as_secs() / 60),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

    use super::*;

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(number * 86_400)
    }

    fn signed(params: &CertificateParams) -> Vec<u8> {
        params.self_signed(&KeyPair::generate().expect("a key")).expect("signed").der().to_vec()
    }

    fn params(names: &[&str]) -> CertificateParams {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        CertificateParams::new(names).expect("names")
    }

    #[test]
    fn names_begin_and_end_are_found_whatever_is_cut_off() {
        let mut params = params(&["WWW.Example.com", "*.example.com", "192.0.2.1", "2001:db8::1"]);
        params.not_before = rcgen::date_time_ymd(2031, 7, 1);
        params.not_after = rcgen::date_time_ymd(2031, 7, 14);
        let certificate = signed(&params);
        let facts = Facts::of(&certificate).expect("a certificate");
        assert_eq!(
            facts.names,
            [
                Name::Exact("www.example.com".into()),
                Name::Below("example.com".into()),
                Name::Address(Ipv4Addr::new(192, 0, 2, 1).into()),
                Name::Address("2001:db8::1".parse().expect("an address")),
            ]
        );
        let validity = Validity { not_before: day(22_461), not_after: day(22_474) };
        assert_eq!(facts.validity, validity);
        assert!(validity.holds(day(22_461)) && validity.holds(day(22_474)));
        assert!(!validity.holds(day(22_460)) && !validity.holds(day(22_475)));
        assert_eq!((facts.acme_identifier, &facts.issuer), (None, &facts.subject));
        for cut in 0..certificate.len() {
            assert!(Facts::of(&certificate[..cut]).is_err(), "{cut} bytes");
        }
        assert!(Facts::of(&[&certificate[..], b"x"].concat()).is_err());
    }

    /// RFC 9525 section 6.3: the wildcard is the left-most label, and the whole of it.
    #[test]
    fn what_is_no_name_names_nobody() {
        for name in
            ["w*.example.com", "a.*.example.com", "*", "*.", "", ".", "a..b", "a b", "*.*.b"]
        {
            assert_eq!(dns_name(name), None, "{name}");
        }
        assert_eq!(dns_name("*.A_b.example."), Some(Name::Below("a_b.example".into())));
        assert_eq!(dns_name(&format!("{}.example", "a".repeat(64))), None);
        assert_eq!(dns_name(&["a"; 128].join(".")), None);
        let mut params = params(&[]);
        params.subject_alt_names = vec![SanType::URI("https://a".try_into().expect("ASCII"))];
        assert_eq!(Facts::of(&signed(&params)).expect("a certificate").names, []);
    }

    /// RFC 8737 section 3: critical, and a SHA-256 digest.
    #[test]
    fn the_answer_to_a_challenge_is_read_only_as_it_must_be() {
        let read = |critical, content: &[u8]| {
            let mut params = params(&["a.example"]);
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 31];
            let mut extension = CustomExtension::from_oid_content(&oid, content.to_vec());
            extension.set_criticality(critical);
            params.custom_extensions.push(extension);
            Facts::of(&signed(&params)).expect("a certificate").acme_identifier
        };
        let good = [&SHA256_OCTETS[..], &[7; 32]].concat();
        assert_eq!(read(true, &good), Some([7; 32]));
        assert_eq!(read(false, &good), None);
        assert_eq!(read(true, &good[..33]), None);
        assert_eq!(read(true, &[&good[..], b"x"].concat()), None);
        assert_eq!(read(true, &[&[0x04, 31][..], &[7; 32]].concat()), None);
    }

    #[test]
    fn what_clients_refuse_or_soon_will_is_warned_of() {
        let validity = Validity { not_before: day(100), not_after: day(190) };
        let warning = |now| validity.warning("cert.pem", now).unwrap_or_default();
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
