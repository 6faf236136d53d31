//! What is logged: the lines that an operator would read.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Hears what this thread logs, until it is dropped.
pub struct Heard {
    lines: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

thread_local! {
    static HERE: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

impl Heard {
    /// From now on. Tasks of a runtime of one thread log on that thread.
    #[must_use]
    pub fn here() -> Self {
        // One for the whole process that asks each thread: of those that a thread sets for itself
        // tracing forgets one when another thread logs from the same place before.
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing::subscriber::set_global_default(Everywhere).expect("nobody else listens");
        });
        let lines = Lines::default();
        HERE.set(Some(Arc::clone(&lines)));
        Self { lines }
    }

    /// The lines that say this, with their fields behind them.
    #[must_use]
    pub fn of(&self, what: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(what)).cloned().collect()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

struct Everywhere;

impl Subscriber for Everywhere {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1) // nobody asks which
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(lines) = HERE.with_borrow(Clone::clone) else { return };
        let mut line = Line::default();
        event.record(&mut line);
        let line = format!("{} {}{}", event.metadata().level(), line.message, line.fields);
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_level_its_words_and_its_fields() {
        let heard = Heard::here();
        tracing::warn!(node = 7, "it is {}", "late");
        tracing::debug!("it is not heard");
        assert_eq!(heard.of("it is"), ["WARN it is late node=7"]);
    }
}
