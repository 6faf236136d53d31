//! The listener of `/metrics`, `/healthz` and `/readyz`: HTTP/1.1, one request a connection.

use std::convert::Infallible;
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

use super::Metrics;
use crate::ledger::Ledger;
use crate::limits;
use crate::nodes::Nodes;

/// What Prometheus reads.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Answers on `listener` for as long as the runtime runs.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
    nodes: Arc<Nodes>,
) -> Infallible {
    let room = Arc::new(Semaphore::new(limits::MAX_METRICS_CONNECTIONS));
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: the next would fail at once.
                tracing::warn!(%error, "a metrics connection cannot be taken");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let asked = (Arc::clone(&metrics), Arc::clone(&ledger), Arc::clone(&nodes));
        tokio::spawn(async move {
            // What a scraper does wrong or leaves unfinished is its own affair.
            let _ = timeout(limits::METRICS_CONNECTION_TIME, connection(stream, &asked)).await;
            drop(place);
        });
    }
}

type Asked = (Arc<Metrics>, Arc<Ledger>, Arc<Nodes>);

async fn connection(stream: TcpStream, asked: &Asked) -> hyper::Result<()> {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request, asked)));
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits::METRICS_CONNECTION_TIME)
        .max_buf_size(limits::METRICS_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(request: &Request<Incoming>, (metrics, ledger, nodes): &Asked) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
        refusal.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => match metrics.render(ledger, nodes) {
            Ok(body) => typed(StatusCode::OK, CONTENT_TYPE, body),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
            }
        },
        "/healthz" => text(StatusCode::OK, "healthy\n"),
        // It listens only once the store is open and this controller leads.
        "/readyz" => text(
            StatusCode::OK,
            "ready
",
        ),
        _ => text(StatusCode::NOT_FOUND, "here are /metrics, /healthz and /readyz\n"),
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
