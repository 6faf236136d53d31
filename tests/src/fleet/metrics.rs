//! What a node counts, read from `/metrics` as a monitoring system would.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edge_wire::Reason;

/// Every series of a scrape, by name and labels as they were printed.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    series: BTreeMap<String, f64>,
}

impl Metrics {
    /// Reads the text format.
    ///
    /// # Errors
    /// Where a line is neither a comment nor a series with a number.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a series has a value")?;
            let value = value.parse().with_context(|| format!("the value of {line}"))?;
            Ok((name.to_owned(), value))
        });
        Ok(Self { series: series.collect::<Result<_>>()? })
    }

    /// Packets that ended for `reason` in `program`: `steer_node`, `steer_worker`, `edge` or
    /// `relay`.
    #[must_use]
    pub fn packets(&self, program: &str, reason: Reason) -> u64 {
        let program = format!("program=\"{program}\"");
        let reason = format!("reason=\"{}\"", reason.name());
        self.sum("landfast_packets_total", &[&program, &reason])
    }

    /// Every count of packets, as `program reason`.
    pub fn all_packets(&self) -> impl Iterator<Item = (String, u64)> {
        self.series.iter().filter_map(|(series, value)| {
            let labels = series.strip_prefix("landfast_packets_total{")?;
            let words: Vec<_> = labels.split('"').skip(1).step_by(2).collect();
            Some((words.join(" "), *value as u64)) // below 2^53, as below
        })
    }

    /// The sum of the series `name` that have all these labels, each written `key="value"`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let matching = self.series.iter().filter(|(series, _)| {
            let (family, rest) = series.split_once('{').unwrap_or((series, ""));
            family == name && labels.iter().all(|label| rest.contains(label))
        });
        // Counters here stay far below 2^53.
        matching.map(|(_, value)| *value as u64).sum()
    }
}

/// An HTTP/1.1 GET from inside the calling thread's namespace: status and body.
///
/// # Errors
/// Where nobody answers, or not in HTTP.
pub(crate) fn http_get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let timeout = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no head")?;
    let status = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
    ensure!(!head.contains("chunked"), "the answer is chunked, which is not read here");
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_label() {
        let text = "# TYPE landfast_packets_total counter\n\
            landfast_packets_total{program=\"edge\",reason=\"local\"} 3\n\
            landfast_packets_total{program=\"steer_node\",reason=\"local\"} 4\n\
            landfast_requests_total{worker=\"0\"} 5\n\
            landfast_requests_total{worker=\"1\"} 6\n";
        let metrics = Metrics::parse(text).expect("text format");
        assert_eq!(metrics.packets("edge", Reason::Local), 3);
        assert_eq!(metrics.packets("edge", Reason::Stripped), 0);
        let all = [("edge local".to_owned(), 3), ("steer_node local".to_owned(), 4)];
        assert_eq!(metrics.all_packets().collect::<Vec<_>>(), all);
        assert_eq!(metrics.sum("landfast_requests_total", &[]), 11);
    }
}
