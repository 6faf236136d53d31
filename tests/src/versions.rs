//! Clients of every version of HTTP, spoken to in the same way: a request piece by piece, and each
//! piece of what comes back.

mod http11;
mod http2;
mod http3;
mod tunnel;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use crate::credentials::SERVER_NAME;

/// No single step of a test takes longer on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Each request on a connection of its own.
    Http11,
    /// All on one.
    Http2,
    /// All on one.
    Http3,
}

/// All of them.
pub const VERSIONS: [Version; 3] = [Version::Http11, Version::Http2, Version::Http3];

/// Asks one server.
pub struct Client(Kind);

enum Kind {
    Http11(http11::Client),
    Http2(http2::Client),
    Http3(http3::Client),
}

/// A request under way.
pub struct Exchange {
    /// What goes to the server.
    pub sender: Sender,
    /// What comes from it.
    pub receiver: Receiver,
}

/// What follows the head of a request.
pub struct Sender(SenderKind);

enum SenderKind {
    Http11(http11::Sender),
    Http2(http2::Sender),
    Http3(Box<http3::Sender>),
    /// Over HTTP/3, too.
    Tunnel(quinn::SendStream),
}

/// What comes back.
pub struct Receiver(ReceiverKind);

enum ReceiverKind {
    Http11(Box<http11::Receiver>),
    Http2(Box<http2::Receiver>),
    Http3(Box<http3::Receiver>),
    /// Over HTTP/3, too.
    Tunnel(Box<tunnel::Http3>),
}

/// A response, as far as it came.
pub struct Answer {
    /// Interim ones before it.
    pub interim: Vec<Response<()>>,
    /// Its head.
    pub head: Response<()>,
    /// Its content.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: HeaderMap,
    /// Why that is not all of it.
    pub cut: Option<String>,
}

impl Client {
    /// Connects to an edge that has a certificate of this authority's. Needs tokio.
    ///
    /// # Errors
    /// Where the handshake fails.
    pub async fn connect(
        version: Version,
        address: SocketAddr,
        authority: &CertificateDer<'static>,
    ) -> Result<Self> {
        let kind = async {
            Ok(match version {
                Version::Http11 => Kind::Http11(http11::Client::new(address, authority)?),
                Version::Http2 => Kind::Http2(http2::Client::connect(address, authority).await?),
                Version::Http3 => Kind::Http3(http3::Client::connect(address, authority).await?),
            })
        };
        soon(kind).await.map(Self)
    }

    /// Sends the head of a request. It has content, or ends with the head. Without `Content-Length`
    /// the content of HTTP/1.1 goes in chunks.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn begin(&self, head: Request<()>, has_content: bool) -> Result<Exchange> {
        let begun = async {
            Ok(match &self.0 {
                Kind::Http11(client) => {
                    let (sender, receiver) = client.begin(&head, has_content).await?;
                    (SenderKind::Http11(sender), ReceiverKind::Http11(Box::new(receiver)))
                }
                Kind::Http2(client) => {
                    let (sender, receiver) = client.begin(head, has_content).await?;
                    (SenderKind::Http2(sender), ReceiverKind::Http2(Box::new(receiver)))
                }
                Kind::Http3(client) => {
                    let (sender, receiver) = client.begin(head, has_content).await?;
                    (SenderKind::Http3(Box::new(sender)), ReceiverKind::Http3(Box::new(receiver)))
                }
            })
        };
        let (sender, receiver) = soon(begun).await?;
        Ok(Exchange { sender: Sender(sender), receiver: Receiver(receiver) })
    }

    /// Asks without content.
    ///
    /// # Errors
    /// Where there is no head of a response.
    pub async fn ask(&self, head: Request<()>) -> Result<Answer> {
        let Exchange { sender, receiver } = self.begin(head, false).await?;
        let answer = receiver.answer().await;
        drop(sender);
        answer
    }

    /// GETs a path.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(request("GET", path, &[])).await
    }

    /// POSTs this to a path, with its length.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn post(&self, path: &str, content: &[u8]) -> Result<Answer> {
        let length = content.len().to_string();
        let head = request("POST", path, &[("content-length", &length)]);
        let Exchange { mut sender, receiver } = self.begin(head, true).await?;
        // A server that has its answer may take no more.
        let _ = sender.send(Bytes::copy_from_slice(content)).await;
        let _ = sender.finish(None).await;
        receiver.answer().await
    }
}

/// A request for a path of [`SERVER_NAME`], with these fields.
///
/// # Panics
/// Where they are none.
#[must_use]
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("https://{SERVER_NAME}{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

impl Sender {
    /// Sends some content, as the server has room for it.
    ///
    /// # Errors
    /// Where the server takes no more.
    pub async fn send(&mut self, content: Bytes) -> Result<()> {
        match &mut self.0 {
            SenderKind::Http11(sender) => soon(sender.send(&content)).await,
            SenderKind::Http2(sender) => soon(sender.send(content)).await,
            SenderKind::Http3(sender) => soon(sender.send(content)).await,
            SenderKind::Tunnel(sender) => soon(tunnel::send(sender, &content)).await,
        }
    }

    /// Ends the content, with trailers where there are some.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<()> {
        match &mut self.0 {
            SenderKind::Http11(sender) => soon(sender.finish(trailers)).await,
            SenderKind::Http2(sender) => sender.finish(trailers),
            SenderKind::Http3(sender) => soon(sender.finish(trailers)).await,
            SenderKind::Tunnel(sender) => Ok(sender.finish()?),
        }
    }
}

impl Receiver {
    /// The next head: an interim response, or the final one.
    ///
    /// # Errors
    /// Where none comes any more.
    pub async fn head(&mut self) -> Result<Response<()>> {
        match &mut self.0 {
            ReceiverKind::Http11(receiver) => soon(receiver.head()).await,
            ReceiverKind::Http2(receiver) => soon(receiver.head()).await,
            ReceiverKind::Http3(receiver) => soon(receiver.head()).await,
            ReceiverKind::Tunnel(receiver) => soon(receiver.head()).await,
        }
    }

    /// Some content, behind the final head; nothing at its end.
    ///
    /// # Errors
    /// Where it ends before, or nothing comes.
    pub async fn part(&mut self) -> Result<Option<Bytes>> {
        soon(self.part_at_leisure()).await
    }

    /// As [`Self::part`], however long that takes.
    ///
    /// # Errors
    /// Where it ends before.
    pub async fn part_at_leisure(&mut self) -> Result<Option<Bytes>> {
        match &mut self.0 {
            ReceiverKind::Http11(receiver) => receiver.part().await,
            ReceiverKind::Http2(receiver) => receiver.part().await,
            ReceiverKind::Http3(receiver) => receiver.part().await,
            ReceiverKind::Tunnel(receiver) => receiver.part().await,
        }
    }

    /// Trailers, behind the content.
    ///
    /// # Errors
    /// Where the response ends before.
    pub async fn trailers(&mut self) -> Result<HeaderMap> {
        match &mut self.0 {
            ReceiverKind::Http11(receiver) => Ok(receiver.trailers()),
            ReceiverKind::Http2(receiver) => soon(receiver.trailers()).await,
            ReceiverKind::Http3(receiver) => soon(receiver.trailers()).await,
            ReceiverKind::Tunnel(_) => Ok(HeaderMap::new()),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// Where there is no final head.
    pub async fn answer(mut self) -> Result<Answer> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.head().await?;
            if !head.status().is_informational() {
                break head;
            }
            interim.push(head);
        };
        let (mut body, mut cut) = (Vec::new(), None);
        loop {
            match self.part().await {
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) => break,
                Err(error) => {
                    cut = Some(format!("{error:#}"));
                    break;
                }
            }
        }
        let trailers = match cut {
            None => self.trailers().await,
            Some(_) => Ok(HeaderMap::new()),
        };
        let trailers = trailers.unwrap_or_else(|error| {
            cut = Some(format!("{error:#}"));
            HeaderMap::new()
        });
        Ok(Answer { interim, head, body, trailers, cut })
    }
}

impl Exchange {
    /// Gives it up, as a browser does whose user leaves.
    pub fn cancel(self) {
        match (self.sender.0, self.receiver.0) {
            (SenderKind::Http3(sender), ReceiverKind::Http3(receiver)) => {
                http3::cancel(*sender, *receiver);
            }
            (SenderKind::Tunnel(sender), ReceiverKind::Tunnel(receiver)) => {
                tunnel::cancel(sender, *receiver);
            }
            // Of the others dropping it is that.
            _ => {}
        }
    }
}

impl Answer {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a field of the head; nothing where there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.head.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.body[..self.body.len().min(200)];
        f.debug_struct("Answer")
            .field("head", &self.head)
            .field("length", &self.body.len())
            .field("body", &String::from_utf8_lossy(start))
            .field("trailers", &self.trailers)
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

async fn soon<T>(step: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, step).await.context("nothing happens")?
}
