//! What is logged, and how: the `[log]` table of both programs, and the subscriber it asks for.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::check::{Check, Checked, Text};

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct LogTable {
    format: Option<Text>,
    level: Option<Text>,
}

/// What is logged, and how. It goes to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// One line of text or of JSON for each event.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: Level,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

impl LogTable {
    /// What the table says, or the defaults: text, and what is of interest at 3 a.m.
    pub fn check(&self, check: &mut Check) -> Checked<Log> {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let levels = [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ];
        let format = check.word(&self.format, "format", &formats, LogFormat::Text);
        let level = check.word(&self.level, "level", &levels, Level::INFO);
        Some(Log { format: format?, level: level? })
    }
}

impl Log {
    /// Sends events to standard error, and panics with them. `ours` are the crates that log at the
    /// level asked for.
    ///
    /// # Panics
    /// Where a subscriber is there already.
    pub fn begin(self, ours: &[&str]) {
        let base = fmt::layer().with_writer(std::io::stderr).with_target(false);
        let layer = match self.format {
            LogFormat::Text => base.with_ansi(std::io::stderr().is_terminal()).boxed(),
            LogFormat::Json => base.json().flatten_event(true).with_current_span(false).boxed(),
        };
        // Libraries say at their info what is our debug.
        let levels = Targets::new().with_default(self.level.min(Level::WARN));
        let levels = levels.with_targets(ours.iter().map(|name| (*name, self.level)));
        tracing_subscriber::registry().with(layer.with_filter(levels)).init();
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            let reason = panic.payload_as_str().unwrap_or("no reason given");
            let backtrace = std::backtrace::Backtrace::capture();
            tracing::error!(thread, place, %backtrace, "panic: {reason}");
        }));
    }
}
