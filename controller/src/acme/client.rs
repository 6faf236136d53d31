//! How an authority is asked: over TLS, with a bound on time and size, and with what its answer
//! says beside the problem document, which the ACME library does not look at.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http::header::RETRY_AFTER;
use http::response::Parts;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;

use crate::limits;

/// What answers said beside their content.
#[derive(Clone, Default)]
pub(super) struct Said(Arc<Mutex<Waits>>);

#[derive(Clone, Copy, Default)]
struct Waits {
    after_error: Option<Duration>,
    after_answer: Option<Duration>,
}

impl Said {
    /// For how long the authority wants not to be asked again, by its last error.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.waits().after_error
    }

    /// When to look again at what takes its time (RFC 8555 section 7.5.1), by its last answer that
    /// was no error.
    pub(super) fn look_after(&self) -> Option<Duration> {
        self.waits().after_answer
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of one order's.
#[derive(Clone)]
pub(super) struct Client {
    https: HyperClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    said: Said,
    timeout: Duration,
}

impl Client {
    /// One that trusts what is in the file `root`, or what this host trusts.
    pub(super) fn new(root: Option<&Path>, timeout: Duration) -> Result<Self, Error> {
        let builder = HttpsConnectorBuilder::new();
        let builder = match root {
            Some(path) => builder.with_tls_config(trusting(path)?),
            None => builder
                .try_with_platform_verifier()
                .map_err(|error| Error::Other(Box::new(error)))?,
        };
        let connector = builder.https_only().enable_http1().build();
        let https = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { https, said: Said::default(), timeout })
    }

    pub(super) fn said(&self) -> Said {
        self.said.clone()
    }

    /// What is there, in JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, Error> {
        let request = Request::get(url).body(BodyWrapper::default()).map_err(Error::Http)?;
        let (parts, body) = self.exchange(request).await?;
        read(&parts, &body)
    }

    /// A request and the whole answer. One that is an error, and no problem document, is an error.
    pub(super) async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<(Parts, Bytes), Error> {
        let answer = async {
            let response = self.https.request(request).await;
            let response = response.map_err(|error| Error::Other(Box::new(error)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, limits::MAX_ACME_ANSWER_BYTES)
                .collect()
                .await
                .map_err(Error::Other)?;
            Ok::<_, Error>((parts, body.to_bytes()))
        };
        let (mut parts, body) = tokio::time::timeout(self.timeout, answer)
            .await
            .map_err(|_| other(format!("no answer within {} s", self.timeout.as_secs())))??;
        let after = retry_after(&parts.headers);
        // The ACME library adds it to the time of day whatever it is.
        parts.headers.remove(RETRY_AFTER);
        if parts.status.is_client_error() || parts.status.is_server_error() {
            self.said.waits().after_error = after;
            if serde_json::from_slice::<Problem>(&body).is_err() {
                return Err(other(format!("it answered {}", parts.status)));
            }
        } else {
            self.said.waits().after_answer = after;
        }
        Ok((parts, body))
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = self.exchange(request).await?;
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

/// An answer in JSON, or the problem that stands in its place.
pub(super) fn read<T: DeserializeOwned>(parts: &Parts, body: &Bytes) -> Result<T, Error> {
    if parts.status.is_success() {
        return Ok(serde_json::from_slice(body)?);
    }
    Err(match serde_json::from_slice(body) {
        Ok(problem) => Error::Api(problem),
        Err(_) => other(format!("it answered {}", parts.status)),
    })
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}

fn other(text: String) -> Error {
    Error::Other(text.into())
}

fn trusting(path: &Path) -> Result<ClientConfig, Error> {
    let named = |what: &dyn std::fmt::Display| other(format!("{}: {what}", path.display()));
    let pem = fs::read(path).map_err(|error| named(&error))?;
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(&pem) {
        let der = der.map_err(|error| named(&error))?;
        roots.add(der).map_err(|error| named(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| named(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// RFC 9110 section 10.2.3: seconds or a date. No more than [`limits::LONGEST_RETRY_AFTER`].
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    said_wait(headers).map(|wait| wait.min(limits::LONGEST_RETRY_AFTER))
}

fn said_wait(headers: &http::HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = time::PrimitiveDateTime::parse(value, &format).ok()?.assume_utc();
    SystemTime::from(date).duration_since(SystemTime::now()).ok()
}
