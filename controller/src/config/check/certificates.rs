//! `[certificates]` and `[imports]`: what may be issued, within what time, and what is one's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use settings::{Check, Checked, Problem, Text};

use super::{file, is_plain_name};
use crate::acme::Times;
use crate::certificate::import::Files;
use crate::certificate::names::{self, Policy};
use crate::config::Certificates;
use crate::limits;

/// `store` is the store's file: the internal issuer's certificate lies beside it.
pub(super) fn certificates(
    check: &mut Check,
    file: &file::File,
    store: &Path,
) -> Checked<Certificates> {
    let table = &file.certificates;
    let policy = policy(check, table);
    let beside = store.with_file_name("internal.pem");
    let internal_file = check.path_or(&table.internal_file, "internal_file", &beside);
    let times = times(check, table);
    let imported = imported(check, &file.imports);
    Some(Certificates {
        policy: policy?,
        internal_file: internal_file?,
        imported: imported?,
        times: times?,
    })
}

fn policy(check: &mut Check, table: &file::Certificates) -> Checked<Policy> {
    let allow = listed(check, "allow", &table.allow);
    let deny = listed(check, "deny", &table.deny);
    let mut in_vain = false;
    for allowed in &table.allow {
        let above = table.deny.iter().find(|it| names::is_under(allowed.get_ref(), it.get_ref()));
        if let Some(denied) = above {
            in_vain = true;
            check.refuse(
                Problem::new(format!("`{}` is allowed in vain", allowed.get_ref()))
                    .at(allowed.span(), "allowed here")
                    .at(denied.span(), "and denied here, with all that is below")
                    .help("what is denied is not issued, whatever is allowed: take one away"),
            );
        }
    }
    (!in_vain).then_some(())?;
    Some(Policy {
        allow: allow?,
        deny: deny?,
        addresses: table.addresses.unwrap_or(false),
        // A public authority refuses them itself; `internal` is for them.
        reserved: table.reserved.unwrap_or(true),
    })
}

/// Names, each for itself and all that is below it.
fn listed(check: &mut Check, setting: &str, listed: &[Text]) -> Checked<Vec<String>> {
    let most = limits::MAX_POLICY_NAMES;
    if let Some(one_too_many) = listed.get(most) {
        check.refuse(
            Problem::new(format!("`{setting}` has more than {most} names"))
                .at(one_too_many.span(), "one too many")
                .help("a name stands for all that is below it"),
        );
        return None;
    }
    let mut one = |name: &Text| match names::syntax(name.get_ref()) {
        Ok(()) => Some(name.get_ref().to_ascii_lowercase()),
        Err(why) => {
            check.refuse(
                Problem::new(format!("`{}` is no DNS name: {why}", name.get_ref()))
                    .at(name.span(), format!("in `{setting}`"))
                    .help("\"example.com\" stands for itself and all that is below it"),
            );
            None
        }
    };
    let checked: Vec<_> = listed.iter().map(&mut one).collect();
    checked.into_iter().collect()
}

fn times(check: &mut Check, table: &file::Certificates) -> Checked<Times> {
    let default = Times::default();
    let least = Duration::from_secs(1);
    let mut time = |number, name, least, default| {
        check.seconds(number, name, least..=limits::MAX_CERTIFICATE_TIME, default)
    };
    let barrier = time(&table.barrier_seconds, "barrier_seconds", least, default.barrier);
    let drain_settles =
        time(&table.drain_seconds, "drain_seconds", Duration::ZERO, default.drain_settles);
    let request = time(&table.request_seconds, "request_seconds", least, default.request);
    let settle = time(&table.settle_seconds, "settle_seconds", least, default.settle);
    let look_at_files =
        time(&table.import_look_seconds, "import_look_seconds", least, default.look_at_files);
    Some(Times {
        request: request?,
        settle: settle?,
        barrier: barrier?,
        drain_settles: drain_settles?,
        look_at_files: look_at_files?,
    })
}

fn imported(check: &mut Check, imports: &BTreeMap<Text, file::Import>) -> Checked<Vec<Files>> {
    let most = limits::MAX_IMPORTS;
    if let Some((name, _)) = imports.iter().nth(most) {
        check.refuse(
            Problem::new(format!("more than {most} certificates are imported"))
                .at(name.span(), "one too many")
                .help("their files are looked at one after the other, all at once"),
        );
        return None;
    }
    let checked: Vec<_> = imports.iter().map(|(name, it)| import(check, name, it)).collect();
    checked.into_iter().collect()
}

fn import(check: &mut Check, name: &Text, import: &file::Import) -> Checked<Files> {
    let chain = check.path(&import.certificate, "certificate");
    let key = check.path(&import.key, "key");
    let id = name.get_ref();
    // A DNS name is what it is called most often.
    if !is_plain_name(&id.replace('.', "-")) {
        check.refuse(
            Problem::new(format!("a certificate cannot be called `{id}`"))
                .at(name.span(), "this name")
                .help("letters, digits, `.`, `-` and `_`, as in [imports.\"shop.example.com\"]"),
        );
        return None;
    }
    Some(Files { id: id.clone(), chain: chain?, key: key? })
}
