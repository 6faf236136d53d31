//! What commands and metrics say of the controller.

use std::time::SystemTime;

use fleet_wire::message::Standing;
use prometheus::Registry;

use super::metrics::{Result, counter, gauge};
use super::protocol::{ControllerStatus, PositionStatus, RefusedItem};
use crate::follow::view::View;

/// For `status`, at `now`.
pub(super) fn status(view: View, now: SystemTime) -> ControllerStatus {
    let position = view.position.map(|position| PositionStatus {
        epoch: position.epoch,
        term: position.term,
        serial: position.serial,
    });
    let refused = view.refused.into_iter();
    ControllerStatus {
        addresses: view.addresses,
        followed_seconds: view.connected.map(|since| since.elapsed().as_secs()),
        last_error: view.last_error,
        standing: word(view.standing).to_owned(),
        position,
        refused: refused.map(|item| RefusedItem { item: item.key, reason: item.reason }).collect(),
        identity_ends_in_seconds: seconds_to(view.identity_ends, now),
    }
}

/// For the scrape, at `now`.
pub(super) fn metrics(registry: &Registry, view: &View, now: SystemTime) -> Result<()> {
    let set = |name: &str, help: &str, value: i64| -> Result<()> {
        let gauge = gauge(registry, name, help, &[])?;
        gauge.with_label_values::<&str>(&[]).set(value);
        Ok(())
    };
    let count = |name: &str, help: &str, value: u64| -> Result<()> {
        let counter = counter(registry, name, help, &[])?;
        counter.with_label_values::<&str>(&[]).inc_by(value);
        Ok(())
    };
    set(
        "landfast_follow_connected",
        "Whether the controller is followed by an open stream: 1 or 0",
        view.connected.is_some().into(),
    )?;
    if let Some(position) = view.position {
        let help = "The serial of the controller's state that is in force here";
        set("landfast_follow_serial", help, position.serial.cast_signed())?;
    }
    set(
        "landfast_follow_refused_items",
        "Items of the controller's state that this node cannot take",
        view.refused.len() as i64,
    )?;
    count(
        "landfast_follow_bundles_total",
        "Bundles of the controller that were put in force",
        view.bundles,
    )?;
    count(
        "landfast_follow_failures_total",
        "Streams to the controller that ended, and connections to it that could not be made",
        view.failures,
    )?;
    set(
        "landfast_follow_identity_ends_seconds",
        "Seconds until this node's identity ends; below 0 since then",
        seconds_to(view.identity_ends, now),
    )?;
    let help = "1 for what this node does with new traffic, by the controller's last word";
    let standing = gauge(registry, "landfast_follow_standing", help, &["standing"])?;
    standing.with_label_values(&[word(view.standing)]).set(1);
    Ok(())
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Joining => "joining",
        Standing::Serving => "serving",
        Standing::Drained => "drained",
        Standing::Unspecified => "unknown",
    }
}

fn seconds_to(then: SystemTime, now: SystemTime) -> i64 {
    let seconds = |time: std::time::Duration| time.as_secs().cast_signed();
    match then.duration_since(now) {
        Ok(left) => seconds(left),
        Err(error) => -seconds(error.duration()),
    }
}
