//! The listener of `/metrics`, `/healthz` and `/readyz`: HTTP/1.1, one request a connection.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::control::{Control, Phase};
use super::metrics;
use crate::limits;
use crate::steering::Attachment;

/// Answers on `listener` for as long as the runtime runs.
pub async fn serve(listener: TcpListener, control: Arc<Control>) {
    let room = Arc::new(Semaphore::new(limits::MAX_ADMIN_CONNECTIONS));
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            // What a scraper does wrong or leaves unfinished is its own affair.
            let _ = timeout(limits::ADMIN_CONNECTION_TIME, connection(stream, control)).await;
            drop(place);
        });
    }
}

/// Out of file descriptors, most likely: the next `accept` would fail at once.
pub(super) async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "an admin connection cannot be taken");
    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
}

async fn connection(stream: TcpStream, control: Arc<Control>) -> hyper::Result<()> {
    let service = service_fn(|request| {
        let control = Arc::clone(&control);
        async move { Ok::<_, Infallible>(answer(&request, &control).await) }
    });
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits::ADMIN_CONNECTION_TIME)
        .max_buf_size(limits::ADMIN_HEAD_BYTES)
        .max_headers(limits::ADMIN_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(request: &Request<Incoming>, control: &Control) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
        refusal.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => scrape(control).await,
        "/healthz" => health(control).await,
        "/readyz" => readiness(control).await,
        _ => text(StatusCode::NOT_FOUND, "here are /metrics, /healthz and /readyz\n"),
    }
}

async fn scrape(control: &Control) -> Response<Full<Bytes>> {
    match metrics::render(&control.snapshot().await) {
        Ok(body) => typed(StatusCode::OK, metrics::CONTENT_TYPE, body),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
        }
    }
}

/// Whether the process should be left alone: every worker's loop turns.
async fn health(control: &Control) -> Response<Full<Bytes>> {
    match stuck(control).await {
        None => text(StatusCode::OK, "healthy\n"),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// Whether this node should be announced.
async fn readiness(control: &Control) -> Response<Full<Bytes>> {
    let reason = match control.phase() {
        Phase::Starting => Some("starting: not everything is attached yet\n".to_owned()),
        Phase::Draining => Some("draining: told to stop\n".to_owned()),
        // By its word alone, which holds while it is away: that a controller is lost is never a
        // reason to withdraw.
        Phase::Serving => match control
            .controller()
            .and_then(|view| view.not_ready())
            .or_else(|| control.lacks_distributions())
        {
            Some(reason) => Some(format!("{reason}\n")),
            None => stuck(control).await,
        },
    };
    match reason {
        None => text(StatusCode::OK, ready(&control.attachments())),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// An interface without XDP is no reason to withdraw the node. Its own connections go on as long as
/// their packets come straight to it; withdrawn, they would come by way of other nodes,
/// encapsulated, and nothing would take them out. Said all the same, for whoever looks.
fn ready(attachments: &[(String, Attachment)]) -> String {
    let lost = attachments.iter().filter(|(_, state)| *state != Attachment::Attached);
    let lost: Vec<_> = lost.map(|(interface, why)| format!("{interface} ({why})")).collect();
    match lost.is_empty() {
        true => "ready\n".into(),
        false => format!("ready, but nothing is steered on {}\n", lost.join(", ")),
    }
}

async fn stuck(control: &Control) -> Option<String> {
    let stuck = control.stuck().await;
    let list: Vec<_> = stuck.iter().map(u8::to_string).collect();
    (!list.is_empty()).then(|| format!("no answer from worker {}\n", list.join(", ")))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
