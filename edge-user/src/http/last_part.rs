//! The part with which a request has the length that it declares.

use std::task::{Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use super::content::Cut;

/// Keeps that part back until the request has ended, and trailers. Whoever had them would take the
/// request for whole, and what follows might show that it is none (RFC 9113 section 8.1.1, RFC 9114
/// section 4.1.2: what is malformed is not passed on).
pub(in crate::http) struct LastPart {
    /// Bytes before the length is reached; `None` where none was declared.
    left: Option<u64>,
    /// What was read and not given, in this order.
    ahead: Option<Frame<Bytes>>,
    held: Option<Bytes>,
    trailers: Option<Frame<Bytes>>,
    ended: bool,
}

type Part = Option<Result<Frame<Bytes>, Cut>>;

impl LastPart {
    pub(in crate::http) fn new(length: Option<u64>) -> Self {
        Self { left: length, ahead: None, held: None, trailers: None, ended: false }
    }

    /// Whether there is something that was read and not given.
    pub(in crate::http) fn is_holding(&self) -> bool {
        self.ahead.is_some() || self.held.is_some() || self.trailers.is_some()
    }

    /// Takes back what was given last, which comes first then.
    pub(in crate::http) fn put_back(&mut self, part: Frame<Bytes>) {
        self.ahead = Some(part);
    }

    /// The next part of what `read` gives.
    pub(in crate::http) fn poll(&mut self, mut read: impl FnMut() -> Poll<Part>) -> Poll<Part> {
        if let Some(part) = self.ahead.take() {
            return Poll::Ready(Some(Ok(part)));
        }
        while !self.ended {
            match ready!(read()) {
                None => self.ended = true,
                Some(Err(cut)) => {
                    self.ended = true;
                    (self.held, self.trailers) = (None, None);
                    return Poll::Ready(Some(Err(cut)));
                }
                Some(Ok(part)) => match (part.into_data(), &mut self.left) {
                    (Err(trailers), _) => self.trailers = Some(trailers),
                    (Ok(data), None) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    (Ok(data), Some(left)) => {
                        *left = left.saturating_sub(data.len() as u64);
                        if *left > 0 {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        self.held = Some(data);
                    }
                },
            }
        }
        let part = self.held.take().map(Frame::data).or_else(|| self.trailers.take());
        Poll::Ready(part.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http::HeaderMap;

    use super::*;

    fn data(text: &'static str) -> Poll<Part> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }

    /// What is given of these parts, one word for each.
    fn given(length: Option<u64>, parts: impl IntoIterator<Item = Poll<Part>>) -> Vec<String> {
        let mut last = LastPart::new(length);
        let mut parts: VecDeque<_> = parts.into_iter().collect();
        let mut words = Vec::new();
        loop {
            match last.poll(|| parts.pop_front().unwrap_or(Poll::Pending)) {
                Poll::Ready(Some(Ok(part))) => words.push(match part.into_data() {
                    Ok(data) => String::from_utf8_lossy(&data).into_owned(),
                    Err(_) => "trailers".to_owned(),
                }),
                Poll::Ready(Some(Err(_))) => words.push("cut".to_owned()),
                Poll::Ready(None) => return [&words[..], &["end".to_owned()]].concat(),
                Poll::Pending if parts.is_empty() => return words,
                Poll::Pending => {}
            }
        }
    }

    #[test]
    fn the_last_part_is_given_when_the_end_is_seen() {
        let end = || Poll::Ready(None);
        let cut = || Poll::Ready(Some(Err(Cut::Gone)));
        let trailers = || Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))));
        assert_eq!(given(Some(5), [data("abc"), data("de")]), ["abc"]);
        assert_eq!(
            given(Some(5), [data("abc"), data("de"), Poll::Pending, end()]),
            ["abc", "de", "end"]
        );
        assert_eq!(given(Some(5), [data("abc"), data("de"), cut()]), ["abc", "cut", "end"]);
        assert_eq!(
            given(Some(5), [data("abcde"), trailers(), end()]),
            ["abcde", "trailers", "end"]
        );
        assert_eq!(given(None, [data("abc"), data("de")]), ["abc", "de"]);
        assert_eq!(given(Some(0), [end()]), ["end"]);
        assert_eq!(given(None, [data("abc"), trailers()]), ["abc"]);
        assert_eq!(given(None, [data("abc"), trailers(), end()]), ["abc", "trailers", "end"]);
        assert_eq!(given(None, [data("abc"), trailers(), cut()]), ["abc", "cut", "end"]);
    }
}
