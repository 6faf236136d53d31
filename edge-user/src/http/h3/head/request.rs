//! The head of a request (RFC 9114 section 4.3.1), CONNECT (section 4.4) and extended CONNECT
//! (RFC 9220, RFC 8441 section 4) among them.

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, header};

use super::super::qpack::encoder::RequestLine;
use super::super::qpack::static_table::Pseudo;
use super::super::refusal::{Malformed, Refusal};
use super::{Framing, Head, Part, is_token, once, read, target};

/// The head of a request, checked.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// What it is for.
    pub target: Target,
    /// The fields; Host as it was sent, if it was. The crumbs of a cookie are joined.
    pub fields: HeaderMap,
    /// The length of the content, where it was declared.
    pub length: Option<u64>,
}

/// What a request is for.
#[derive(Clone, Debug)]
pub enum Target {
    /// A resource.
    Resource(Resource),
    /// A tunnel to a host and port: CONNECT.
    Tunnel(Authority),
    /// A stream of another protocol at a resource: extended CONNECT. Whether that was offered is for
    /// the caller to know.
    Protocol(Resource, HeaderValue),
}

/// A URI in its parts.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// From `:authority`, or from Host where there is none.
    pub authority: Authority,
    /// In origin form, or `*`.
    pub path: PathAndQuery,
}

impl RequestHead {
    /// The path without its query; empty for a tunnel.
    #[must_use]
    pub fn path(&self) -> &str {
        match &self.target {
            Target::Resource(resource) | Target::Protocol(resource, _) => resource.path.path(),
            Target::Tunnel(_) => "",
        }
    }

    /// Its pseudo-header fields, to be written.
    #[must_use]
    pub fn line(&self) -> RequestLine<'_> {
        let (resource, protocol) = match &self.target {
            Target::Resource(resource) => (resource, None),
            Target::Protocol(resource, protocol) => {
                (resource, Some(protocol.to_str().expect("a token")))
            }
            Target::Tunnel(authority) => {
                return RequestLine {
                    method: &self.method,
                    scheme: None,
                    authority: Some(authority.as_str()),
                    path: None,
                    protocol: None,
                };
            }
        };
        RequestLine {
            method: &self.method,
            scheme: Some(resource.scheme.as_str()),
            authority: Some(resource.authority.as_str()),
            path: Some(resource.path.as_str()),
            protocol,
        }
    }
}

/// Pseudo-header fields as they came.
#[derive(Default)]
struct Pseudos {
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    protocol: Option<Bytes>,
}

impl Head for RequestHead {
    type Context = ();

    fn read(section: Bytes, (): &()) -> Result<Self, Refusal> {
        let mut pseudos = Pseudos::default();
        let fields = read(section, Part::Request, |kind, value| match kind {
            Pseudo::Method => once(&mut pseudos.method, value),
            Pseudo::Scheme => once(&mut pseudos.scheme, value),
            Pseudo::Authority => once(&mut pseudos.authority, value),
            Pseudo::Path => once(&mut pseudos.path, value),
            Pseudo::Protocol => once(&mut pseudos.protocol, value),
            Pseudo::Status => Err(Malformed::MisplacedPseudo),
        })?;
        let method = pseudos.method.take().ok_or(Malformed::MissingPseudo)?;
        let method = Method::from_bytes(&method).map_err(|_| Malformed::Method)?;
        let target = pseudos.target(&method, &fields.map)?;
        let is_connect = matches!(target, Target::Tunnel(_) | Target::Protocol(..));
        if is_connect && fields.length.is_some() {
            // What follows is a tunnel; a length would end it for some readers (RFC 9110 section
            // 9.3.6).
            return Err(Malformed::Connect.into());
        }
        Ok(Self { method, target, fields: fields.map, length: fields.length })
    }

    fn framing(&self, (): &()) -> Framing {
        match self.target {
            Target::Resource(_) => Framing::Content(self.length),
            Target::Tunnel(_) | Target::Protocol(..) => Framing::Tunnel,
        }
    }

    fn missing(_: bool) -> Refusal {
        Refusal::Incomplete
    }
}

impl Pseudos {
    fn target(self, method: &Method, fields: &HeaderMap) -> Result<Target, Malformed> {
        let host = fields.get(header::HOST);
        if let (Some(authority), Some(host)) = (&self.authority, host)
            && host.as_bytes() != authority
        {
            return Err(Malformed::HostDiffers);
        }
        if *method == Method::CONNECT && self.protocol.is_none() {
            return self.tunnel();
        }
        let protocol = self.protocol.map(|text| protocol(text, method)).transpose()?;
        let (scheme, path) = self.scheme.zip(self.path).ok_or(Malformed::MissingPseudo)?;
        let scheme = match &scheme[..] {
            b"https" => Scheme::HTTPS,
            b"http" => Scheme::HTTP,
            _ => return Err(Malformed::Scheme),
        };
        let authority = self.authority.or_else(|| host.map(of_value));
        let authority = target::authority(authority.ok_or(Malformed::NoAuthority)?)?;
        let path = target::path(path, method)?;
        let resource = Resource { scheme, authority, path };
        Ok(match protocol {
            None => Target::Resource(resource),
            Some(protocol) => Target::Protocol(resource, protocol),
        })
    }

    /// RFC 9114 section 4.4: an authority with a port, and nothing else.
    fn tunnel(self) -> Result<Target, Malformed> {
        if self.scheme.is_some() || self.path.is_some() {
            return Err(Malformed::Connect);
        }
        let authority = target::authority(self.authority.ok_or(Malformed::NoAuthority)?)?;
        // RFC 9110 section 9.3.6: there is no default port.
        if authority.port().is_none() {
            return Err(Malformed::Authority);
        }
        Ok(Target::Tunnel(authority))
    }
}

fn of_value(value: &HeaderValue) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

/// RFC 8441 section 4.
fn protocol(text: Bytes, method: &Method) -> Result<HeaderValue, Malformed> {
    if *method != Method::CONNECT || !is_token(&text) {
        return Err(Malformed::Protocol);
    }
    HeaderValue::from_maybe_shared(text).map_err(|_| Malformed::Protocol)
}
