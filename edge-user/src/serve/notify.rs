//! What the service manager is told (sd_notify(3)). Without one, nothing.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::limits;

/// Connections are taken.
pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The start waits for something, and goes on waiting: the service manager's patience begins anew.
pub(super) fn waiting(status: &str) {
    let patience = limits::FIRST_TOLD_EVERY * 3;
    let patience = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    // A line break would begin another variable, and a part of the words is the controller's.
    let status = status.replace(char::is_control, " ");
    send(&[NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(patience)]);
}

/// Files are read again. [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // systemd wants both in one message (sd_notify(3)).
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager cannot be told"),
    }
}

/// The stop has begun, and takes up to `patience`.
pub(super) fn stopping(patience: Duration) {
    let patience = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    send(&[
        NotifyState::Stopping,
        NotifyState::Status("draining"),
        NotifyState::ExtendTimeoutUsec(patience),
    ]);
}

/// Every worker answers.
pub(super) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is expected: twice as often as the service manager asks for.
pub(super) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|timeout| timeout / 2)
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
