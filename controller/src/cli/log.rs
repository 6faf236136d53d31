//! Where log lines go, and in what form.

use std::io::IsTerminal;

use controller::config::{Log, LogFormat};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Sends events to standard error, and panics with them.
pub(super) fn init(log: Log) {
    let base = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match log.format {
        LogFormat::Text => base.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => base.json().flatten_event(true).with_current_span(false).boxed(),
    };
    // Libraries say at their info what is our debug.
    let library = log.level.min(tracing::Level::WARN);
    let levels = Targets::new().with_default(library).with_target("controller", log.level);
    let levels = levels.with_target("landfast_controller", log.level);
    tracing_subscriber::registry().with(layer.with_filter(levels)).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("no reason given");
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, %backtrace, "panic: {reason}");
    }));
}
