//! A table of `[issuers]`.

use settings::{Check, Checked, Problem, Text};

use super::{file, is_plain_name, optional_path};
use crate::acme;
use crate::config::{ChallengeKind, ExternalAccount, Issuer};
use crate::limits;
use crate::records::KeyType;
use crate::renew::Limits;

/// Names that mean something else where an issuer's could stand.
const RESERVED: [&str; 2] = ["internal", "imported"];

pub(super) fn issuer(
    check: &mut Check,
    name: &Text,
    issuer: &file::Issuer,
) -> Checked<(String, Issuer)> {
    let name = issuer_name(check, name);
    let directory = directory(check, &issuer.directory);
    let contact: Vec<_> =
        issuer.contact.iter().map(|contact| self::contact(check, contact)).collect();
    let root = optional_path(check, &issuer.root, "root");
    let external_account = external_account(check, issuer);
    let kinds = [ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Dns01];
    let kinds = kinds.map(|kind| (kind.name(), kind));
    let challenge = check.word(&issuer.challenge, "challenge", &kinds, ChallengeKind::Http01);
    let dns_hook = optional_path(check, &issuer.dns_hook, "dns_hook");
    let key_type = check.word(&issuer.key_type, "key_type", &KeyType::NAMES, KeyType::default());
    let limits = limits(check, issuer);
    let (challenge, dns_hook) = (challenge?, dns_hook?);
    if challenge == ChallengeKind::Dns01 && dns_hook.is_none() {
        let place = issuer.challenge.as_ref().map_or(issuer.directory.span(), Text::span);
        check.refuse(
            Problem::new("dns-01 needs a command that sets the record")
                .at(place, "no `dns_hook`")
                .help("dns_hook = \"/etc/landfast/dns-hook\"; docs/certificates.md says how it is called"),
        );
        return None;
    }
    let stateless = issuer.stateless.as_ref().is_some_and(|stateless| *stateless.get_ref());
    if let Some(place) = issuer.stateless.as_ref().filter(|_| stateless)
        && challenge != ChallengeKind::Http01
    {
        check.refuse(
            Problem::new("`stateless` is of http-01 alone")
                .at(place.span(), format!("with {challenge}"))
                .help("leave it out: only there an answer needs no token"),
        );
        return None;
    }
    let contact = contact.into_iter().collect::<Option<_>>()?;
    let issuer = Issuer {
        directory: directory?,
        contact,
        root: root?,
        external_account: external_account?,
        challenge,
        dns_hook,
        stateless,
        key_type: key_type?,
        limits: limits?,
    };
    Some((name?, issuer))
}

fn limits(check: &mut Check, issuer: &file::Issuer) -> Checked<Limits> {
    let Limits { concurrent, an_hour } = acme::DEFAULT_LIMITS;
    let most = 1..=limits::MAX_CONCURRENT_ORDERS;
    let concurrent =
        check.number_or(&issuer.concurrent_orders, "concurrent_orders", most, concurrent);
    let most = 1..=limits::MAX_ORDERS_PER_HOUR;
    let an_hour = check.number_or(&issuer.orders_per_hour, "orders_per_hour", most, an_hour);
    Some(Limits { concurrent: concurrent?, an_hour: an_hour? })
}

/// A node has one answer to all tokens: it can be made of one account's key only.
pub(super) fn one_answers_for_any(check: &mut Check, file: &file::File) -> Checked<()> {
    let stateless = file.issuers.values().filter_map(|issuer| issuer.stateless.as_ref());
    let mut places = stateless.filter(|it| *it.get_ref()).map(toml::Spanned::span);
    let (Some(first), Some(second)) = (places.next(), places.next()) else { return Some(()) };
    let help = "a node answers any token from the key of one account: leave it out of the others";
    check.twice("two issuers are `stateless`".to_owned(), first, second, help);
    None
}

fn issuer_name(check: &mut Check, name: &Text) -> Checked<String> {
    let text = name.get_ref();
    let reason = if RESERVED.contains(&text.as_str()) {
        format!("`{text}` is not free as an issuer's name")
    } else if !is_plain_name(text) {
        format!("an issuer cannot be called `{text}`")
    } else {
        return Some(text.clone());
    };
    check.refuse(
        Problem::new(reason)
            .at(name.span(), "this name")
            .help("letters, digits, `-` and `_`; `internal` is there without a table"),
    );
    None
}

fn directory(check: &mut Check, directory: &Text) -> Checked<String> {
    let text = directory.get_ref();
    if text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()) {
        return Some(text.clone());
    }
    check.refuse(
        // RFC 8555 section 6.1.
        Problem::new("`directory` is no https URL").at(directory.span(), "not https").help(
            "as in \"https://acme.example/directory\"; `root` names what to trust in a laboratory",
        ),
    );
    None
}

fn contact(check: &mut Check, contact: &Text) -> Checked<String> {
    let text = contact.get_ref();
    if text.strip_prefix("mailto:").is_some_and(|address| address.contains('@')) {
        return Some(text.clone());
    }
    check.refuse(
        Problem::new(format!("`{text}` is no contact"))
            .at(contact.span(), "not a mailto URL")
            .help("as in \"mailto:tls@example.com\" (RFC 8555 section 7.3)"),
    );
    None
}

/// Both of its settings, or neither.
fn external_account(check: &mut Check, issuer: &file::Issuer) -> Checked<Option<ExternalAccount>> {
    match (&issuer.eab_key_id, &issuer.eab_key_file) {
        (None, None) => Some(None),
        (Some(key_id), Some(key_file)) => {
            let key_file = check.path(key_file, "eab_key_file")?;
            Some(Some(ExternalAccount { key_id: key_id.get_ref().clone(), key_file }))
        }
        (Some(alone), None) | (None, Some(alone)) => {
            check.refuse(
                Problem::new("half of an external account")
                    .at(alone.span(), "this one alone")
                    .help("give both `eab_key_id` and `eab_key_file`, or neither"),
            );
            None
        }
    }
}
