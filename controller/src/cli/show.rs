//! Answers for people.

use std::time::{SystemTime, UNIX_EPOCH};

use controller::init::{Made, Restored};
use controller::operator::message::{
    Account, AccountList, Certificate, CertificateList, Distributions, Invited, Node, NodeList,
    Secret, SecretList, Status,
};

pub(super) fn status(status: &Status) -> String {
    let Status { version, uptime_seconds, epoch, term, serial, .. } = status;
    let mut lines = vec![
        format!("up {}, version {version}", span(*uptime_seconds)),
        format!("epoch {epoch}, term {term}, serial {serial}"),
        format!("{} nodes, {} of them live", status.nodes, status.nodes_live),
        format!(
            "{} certificates, {} still to be issued, {} orders in progress",
            status.certificates, status.certificates_missing, status.orders
        ),
    ];
    if status.distributions > 0 {
        lines.push(format!("{} distributions for every node", status.distributions));
    }
    lines.extend(status.troubles.iter().map(|trouble| format!("look at: {trouble}")));
    lines.join("\n")
}

pub(super) fn made(made: &Made) -> String {
    let (store, key) = (made.store.display(), made.key_file.display());
    let whose = if made.key_is_new { "made, too," } else { "the key that was there already," };
    format!(
        "{store} made\n{key}, {whose} seals it: keep a copy apart from all backups, without it they cannot be opened"
    )
}

/// What came back with a backup, and what somebody has to do about it.
pub(super) fn restored(restored: &Restored) -> String {
    let Restored { made, nodes, invited, .. } = restored;
    let mut lines = Vec::new();
    match made {
        Some(made) => lines.push(format!("as it was {} ago; what changed since is lost", ago(*made))),
        None => lines.push(
            "it does not say when it was made, as a plain copy: nodes that renewed their identity since (each does after 16 h) must be invited anew".to_owned(),
        ),
    }
    if !nodes.is_empty() {
        lines.push(format!(
            "nodes in it: {}; one that was removed since is back: `nodes remove` it again",
            nodes.join(", ")
        ));
    }
    if !invited.is_empty() {
        lines.push(format!(
            "invitations in it: {}; one that was used or removed since is good again: `nodes remove` it, and invite anew who is missing",
            invited.join(", ")
        ));
    }
    lines.push("secrets and account keys that were changed because somebody may have read them: change them again".to_owned());
    lines.join("\n")
}

pub(super) fn invited(invited: &Invited) -> String {
    let Invited { id, name, token, expires } = invited;
    format!(
        "node {id} ({name}) may join within {}, with this token, once:\n{token}",
        until(*expires)
    )
}

pub(super) fn nodes(list: &NodeList) -> String {
    let row = |node: &Node| {
        let serial = node.serial.map_or("-".to_owned(), |serial| serial.to_string());
        let live = if node.live { "live" } else { "-" };
        let mut row = vec![
            node.id.to_string(),
            node.name.clone(),
            node.site.clone(),
            node.standing.clone(),
            live.to_owned(),
            serial,
            node.addresses.join(" "),
        ];
        if !node.refused.is_empty() {
            let keys: Vec<_> = node.refused.iter().map(|refusal| refusal.key.as_str()).collect();
            row.push(format!("refuses {}", keys.join(", ")));
        }
        row
    };
    let rows = list.nodes.iter().map(row);
    table(&["ID", "NAME", "SITE", "STANDING", "LEASE", "SERIAL", "ADDRESSES"], rows)
}

pub(super) fn certificates(list: &CertificateList) -> String {
    let row = |it: &Certificate| {
        let ends = if it.not_after == 0 { "-".to_owned() } else { until(it.not_after) };
        let mut row = vec![
            it.id.clone(),
            it.state.clone(),
            ends,
            format!("{}/{}", it.nodes_serving, it.nodes_expected),
            if it.is_ordered() { it.order.clone() } else { "-".to_owned() },
            it.source.clone(),
            it.names.join(" "),
        ];
        if !it.failure.is_empty() {
            row.push(format!("fails: {}", it.failure));
        }
        row
    };
    let rows = list.certificates.iter().map(row);
    table(&["NAME", "STATE", "ENDS IN", "NODES", "ORDER", "ISSUER", "NAMES"], rows)
}

/// A file that can be put again: what is not of it is in comments.
pub(super) fn distributions(shown: &Distributions) -> String {
    let Distributions { text, serial, nodes_serving, nodes_expected, refused } = shown;
    let mut lines = vec![format!(
        "# since serial {serial}; in force at {nodes_serving} of {nodes_expected} live nodes"
    )];
    let refused = refused.iter();
    lines.extend(refused.map(|it| format!("# node {} refuses them: {}", it.node, it.reason)));
    lines.push(text.trim_end().to_owned());
    lines.join("\n")
}

pub(super) fn accounts(list: &AccountList) -> String {
    let row = |account: &Account| {
        let answers = if account.stateless { "any token" } else { "known tokens" };
        let key = if account.is_rolling { "is being changed" } else { "-" };
        let row = [account.issuer.as_str(), answers, key, &account.url];
        row.map(str::to_owned).to_vec()
    };
    table(&["ISSUER", "NODES ANSWER", "KEY", "URL"], list.accounts.iter().map(row))
}

pub(super) fn secrets(list: &SecretList) -> String {
    let row = |secret: &Secret| {
        let next = secret.next.map_or("by command".to_owned(), until);
        let waits = match (secret.previous_until, &secret.waits_for[..]) {
            (Some(end), _) => format!("the old key goes in {}", until(end)),
            (None, []) => "-".to_owned(),
            (None, nodes) => {
                let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
                format!("nodes {}", nodes.join(", "))
            }
        };
        vec![secret.kind.clone(), secret.stage.clone(), ago(secret.since), next, waits]
    };
    let rows = list.secrets.iter().map(row);
    table(&["KIND", "STAGE", "IN USE SINCE", "NEXT IN", "WAITS FOR"], rows)
}

/// Columns as wide as what they hold; the last may end where it likes.
fn table(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|word| (*word).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn until(time: u64) -> String {
    match time.checked_sub(now()) {
        Some(0) | None => "now".to_owned(),
        Some(seconds) => span(seconds),
    }
}

fn ago(time: u64) -> String {
    span(now().saturating_sub(time))
}

/// Seconds in the largest unit that says enough.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
