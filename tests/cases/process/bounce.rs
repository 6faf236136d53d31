//! What two readers could take for different requests is refused before an origin sees any of it, by
//! every version that can say it; a request beside it is answered.
//!
//! Each case has a path of its own, so that the origin's record tells which requests came through.

mod h2_blocks;
mod h2_frames;
mod h2_windows;
mod h3_streams;
mod http11;
mod http2;
mod http3;
mod passes;
mod quic_frames;
mod quic_streams;
mod transport;

use std::collections::BTreeMap;

use tests::origin::Origin;

use super::Edge;

/// An edge in front of an origin that remembers every byte.
struct Room {
    edge: Edge,
    origin: Origin,
    /// How often which reason and rule were to be logged.
    refused: BTreeMap<(&'static str, &'static str), usize>,
    cases: usize,
    /// What was not as it should be: all of it is told at the end.
    wrong: Vec<String>,
}

/// Why a case is refused: the reason in the metrics, and words of its rule in the log.
type Why = (&'static str, &'static str);

impl Room {
    fn new() -> Self {
        // Whatever comes last of a request, it is answered once and kept.
        let origin = Origin::answering(200, "good").expect("a port");
        let mut edge = Edge::new();
        edge.write_config("log = { level = \"debug\" }");
        edge.listen_by_tcp();
        edge.distribute(&super::origins::proxying(&origin, ""));
        edge.start();
        Self { edge, origin, refused: BTreeMap::new(), cases: 0, wrong: Vec::new() }
    }

    /// A path that no other case has.
    fn path(&mut self) -> String {
        self.cases += 1;
        format!("/case-{}-", self.cases)
    }

    fn expects(&mut self, (reason, rule): Why) {
        *self.refused.entry((reason, rule)).or_default() += 1;
    }

    /// Whole requests for this path that reached the origin, each of which is well-formed.
    fn reached(&self, path: &str) -> Vec<Request> {
        let mut all = self.origin.sent().into_iter().flat_map(|sent| requests(&sent));
        let mut found: Vec<_> =
            all.by_ref().filter(|request| request.target.contains(path)).collect();
        found.retain(|request| request.whole);
        found
    }

    /// That so many whole requests for this path reached the origin.
    fn reaches(&mut self, path: &str, count: usize, case: &dyn std::fmt::Debug) {
        let reached = self.reached(path);
        self.same(reached.len(), count, &format_args!("{case:?} reaches the origin: {reached:?}"));
    }

    /// That two things are the same, in this case.
    fn same<T: PartialEq + std::fmt::Debug>(
        &mut self,
        is: T,
        expected: T,
        case: &dyn std::fmt::Debug,
    ) {
        if is != expected {
            self.wrong.push(format!("{is:?}, not {expected:?}: {case:?}"));
        }
    }

    /// The metric and the log tell of each case, and of nothing else.
    fn is_accounted_for(&self, metric: &str) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        let mut reasons = BTreeMap::<_, usize>::new();
        for ((reason, _), count) in &self.refused {
            *reasons.entry(*reason).or_default() += count;
        }
        let counted = || {
            let (_, text) = self.edge.get("/metrics").expect("it answers");
            let mut counted = BTreeMap::<String, usize>::new();
            for (sample, value) in text.lines().filter_map(|line| line.rsplit_once(' ')) {
                let labels = sample.strip_prefix(metric);
                let reason = labels.and_then(|labels| labels.split("reason=\"").nth(1));
                let value: usize = value.parse().unwrap_or(0);
                if let (Some(reason), 1..) = (reason, value) {
                    let (reason, _) = reason.split_once('"').expect("its end");
                    *counted.entry(reason.to_owned()).or_default() += value;
                }
            }
            counted
        };
        let expected: BTreeMap<_, _> =
            reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        super::eventually(
            "all is counted",
            || counted() == expected,
            || format!("{:?}, expected {expected:?}", counted()),
        );
        let log = self.edge.log();
        for ((reason, rule), count) in &self.refused {
            let reason = format!("reason=\"{reason}\"");
            let lines = log.lines().filter(|line| {
                line.contains("refused client=127.0.0.1:")
                    && line.contains(&reason)
                    && line.contains(rule)
            });
            let lines = lines.count();
            // A library's words are its own.
            let told = if rule.is_empty() { lines >= *count } else { lines == *count };
            assert!(told, "{lines} times, not {count}: {reason} {rule}: {log}");
        }
    }
}

/// A request as the origin got it.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    content: String,
    trailers: Vec<(String, String)>,
    /// Whether it has its end.
    whole: bool,
}

impl Request {
    fn field(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().chain(&self.trailers);
        fields.filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Reads what a connection brought, as strictly as can be.
fn requests(mut bytes: &str) -> Vec<Request> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let Some((head, rest)) = bytes.split_once("\r\n\r\n") else { break };
        let (line, lines) = head.split_once("\r\n").expect("a Host at least");
        let [method, target, "HTTP/1.1"] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("no request line: {line:?}")
        };
        let fields = fields(lines);
        let mut request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            fields,
            content: String::new(),
            trailers: Vec::new(),
            whole: true,
        };
        assert_eq!(request.field("host").len(), 1, "{head}");
        let (lengths, codings) =
            (request.field("content-length"), request.field("transfer-encoding"));
        bytes = match (&lengths[..], &codings[..]) {
            ([], []) => rest,
            ([length], []) => {
                let length: usize = length.parse().expect("a number");
                request.whole = rest.len() >= length;
                let (content, rest) = rest.split_at(length.min(rest.len()));
                request.content = content.to_owned();
                rest
            }
            ([], ["chunked"]) => chunks(rest, &mut request),
            _ => panic!("in doubt where it ends: {head}"),
        };
        requests.push(request);
    }
    requests
}

fn fields(lines: &str) -> Vec<(String, String)> {
    let field = |line: &str| {
        let (name, value) = line.split_once(':').expect("a field");
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{line:?}");
        assert!(
            value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f),
            "{line:?}"
        );
        (name.to_lowercase(), value.trim().to_owned())
    };
    lines.split("\r\n").filter(|line| !line.is_empty()).map(field).collect()
}

fn chunks<'a>(mut bytes: &'a str, request: &mut Request) -> &'a str {
    loop {
        let Some((size, rest)) = bytes.split_once("\r\n") else {
            request.whole = false;
            return "";
        };
        let size = usize::from_str_radix(size, 16).expect("a size and no extension");
        if size == 0 {
            let Some((trailers, rest)) = rest
                .strip_prefix("\r\n")
                .map(|rest| ("", rest))
                .or_else(|| rest.split_once("\r\n\r\n"))
            else {
                request.whole = false;
                return "";
            };
            request.trailers = fields(trailers);
            return rest;
        }
        if rest.len() < size + 2 {
            request.whole = false;
            return "";
        }
        request.content.push_str(&rest[..size]);
        bytes = rest[size..].strip_prefix("\r\n").expect("the end of a chunk");
    }
}
