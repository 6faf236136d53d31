//! Sampled verdicts of `steer_node`, as it writes them through aya-log.

use std::convert::Infallible;

use aya_log::EbpfLogger;
use edge_wire::Reason;

use crate::limits;

/// Reads sampled verdicts and gives each, as one line of text, to a function.
pub struct Trace {
    logger: EbpfLogger<Verdicts>,
}

impl Trace {
    pub(super) fn new(
        ebpf: &mut aya::Ebpf,
        sink: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, aya_log::Error> {
        let verdicts = Verdicts { sink: Box::new(sink) };
        EbpfLogger::init_with_logger(ebpf, verdicts).map(|logger| Self { logger })
    }

    /// Reads what is there.
    pub fn flush(&mut self) {
        self.logger.flush();
    }

    /// Reads until it is dropped.
    pub async fn follow(mut self) -> Infallible {
        loop {
            self.flush();
            tokio::time::sleep(limits::TRACE_POLL).await;
        }
    }
}

/// What aya-log takes for a logger. The kernel writes `INDEX SOURCE PORT > DESTINATION PORT`.
struct Verdicts {
    sink: Box<dyn Fn(&str) + Send + Sync>,
}

impl log::Log for Verdicts {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        (self.sink)(&readable(&record.args().to_string()));
    }

    fn flush(&self) {}
}

/// With the Reason's name in the place of its index.
fn readable(line: &str) -> String {
    let (index, rest) = line.split_once(' ').unwrap_or((line, ""));
    let reason = index.parse().ok().and_then(Reason::from_index);
    let name = reason.map_or(index, |reason| reason.name());
    format!("{name} {rest}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_shown_by_name() {
        let index = Reason::Forwarded as u32;
        let line = format!("{index} 203.0.113.9 4711 > 192.0.2.1 443");
        assert_eq!(readable(&line), "forwarded 203.0.113.9 4711 > 192.0.2.1 443");
        assert_eq!(readable("0"), "not_ip");
        assert_eq!(readable("9999 x"), "9999 x");
        assert_eq!(readable(""), "");
    }
}
