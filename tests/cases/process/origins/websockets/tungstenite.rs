//! tokio-tungstenite on both sides: an origin over HTTP/1.1, and over HTTP/2 (RFC 8441) on streams of
//! h2; a client over HTTP/1.1, and over HTTP/2 and HTTP/3 on streams of others. What the origin does is
//! said in `tests/clients/features_websocket.py`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use rustls::version::TLS13;
use tests::credentials::SERVER_NAME;
use tests::http2_origin::{Http2Origin, bytes_of};
use tests::versions::{Client, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Message, Role};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use super::super::Edge;
use super::super::bed::url;
use super::super::sites::Site;

const PARTS: [&str; 3] = ["one", "two", "three"];
const PROTOCOL: &str = "chat";
const LARGE_BYTES: usize = 1 << 20;

/// By HTTP/1.1.
#[expect(clippy::result_large_err, reason = "the error of a handshake is the library's")]
pub(super) fn over_http11() -> Site {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let accepted = accept_hdr_async(stream, |asked: &Request<()>, mut answer| {
                        agree(asked.headers(), Response::headers_mut(&mut answer));
                        Ok(answer)
                    });
                    talk(accepted.await?).await
                });
            }
        });
    });
    Site::of("tokio-tungstenite", "HTTP/1.1", url(address), "", &["ws_deflate"])
}

/// By HTTP/2, with prior knowledge.
pub(super) fn over_http2() -> Site {
    let origin = Http2Origin::start(None, answer_by_http2).expect("a port");
    let lacks = &["ws_deflate"];
    let settings = r#"protocol = "h2""#;
    Site::of("tokio-tungstenite on h2", "HTTP/2 in clear", url(origin.address()), settings, lacks)
}

async fn answer_by_http2(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut answer = Response::new(());
    agree(request.headers(), answer.headers_mut());
    let Ok(stream) = respond.send_response(answer, false) else { return };
    let bytes = bytes_of(request.into_body(), stream);
    // Whoever talks to it is gone when it fails.
    let _ = talk(WebSocketStream::from_raw_socket(bytes, Role::Server, None).await).await;
}

/// To its one protocol, where the client offers that.
fn agree(asked: &HeaderMap, answer: &mut HeaderMap) {
    let offered = asked.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|offer| offer.to_str().ok());
    if offered.is_some_and(|offer| offer.split(", ").any(|one| one == PROTOCOL)) {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) -> Result<()> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) if text == "fragments" => send_parts(&mut socket).await?,
            Message::Text(text) if text == "ping" => {
                ping(&mut socket).await?;
                socket.send(Message::text("pong")).await?;
            }
            Message::Text(text) if text == "close" => {
                socket.close(Some(close_frame(4002, "enough"))).await?;
            }
            message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await?,
            // The library answers.
            _ => {}
        }
    }
    Ok(())
}

async fn send_parts<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
) -> Result<()> {
    for (index, part) in PARTS.into_iter().enumerate() {
        let kind = if index == 0 { Data::Text } else { Data::Continue };
        let is_last = index == PARTS.len() - 1;
        socket.send(Message::Frame(Frame::message(part, OpCode::Data(kind), is_last))).await?;
    }
    Ok(())
}

async fn ping<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Result<()> {
    let content = Bytes::from_static(b"are you there");
    socket.send(Message::Ping(content.clone())).await?;
    let answer = socket.next().await.context("the end instead of a PONG")??;
    ensure!(answer == Message::Pong(content), "{answer} instead of a PONG");
    Ok(())
}

fn close_frame(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame { code: code.into(), reason: reason.into() }
}

trait Bytewise: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Bytewise for S {}

/// A client's, whatever it goes over.
type Socket = WebSocketStream<Pin<Box<dyn Bytewise>>>;

/// One that is open.
struct Opened {
    socket: Socket,
    /// By which it was answered.
    fields: HeaderMap,
    /// Whose connection it is, if it is not all that there is of one.
    _client: Option<Client>,
}

async fn open(edge: &Edge, version: Version, protocols: &str) -> Result<Opened> {
    if version == Version::Http11 {
        let stream = TcpStream::connect(edge.address()).await?;
        let tls = TlsConnector::from(Arc::new(edge.client_tls(&TLS13, &[b"http/1.1"])));
        let stream = tls.connect(SERVER_NAME.try_into()?, stream).await?;
        let mut request = format!("wss://{SERVER_NAME}/socket").into_client_request()?;
        if !protocols.is_empty() {
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocols.parse()?);
        }
        let stream: Pin<Box<dyn Bytewise>> = Box::pin(stream);
        let (socket, answer) = client_async(request, stream).await?;
        let fields = answer.into_parts().0.headers;
        return Ok(Opened { socket, fields, _client: None });
    }
    let client = edge.client(version).await;
    let offer = [("sec-websocket-protocol", protocols)];
    let offer = if protocols.is_empty() { &[][..] } else { &offer };
    let mut exchange = client.websocket("/socket", offer).await?;
    let head = exchange.receiver.head().await?;
    ensure!(head.status() == 200, "{head:?}");
    let stream: Pin<Box<dyn Bytewise>> = Box::pin(exchange.into_bytes());
    let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    Ok(Opened { socket, fields: head.into_parts().0.headers, _client: Some(client) })
}

/// What the client can have of the site behind the edge, and what it complains of.
pub(super) async fn seen(edge: &Edge, version: Version) -> (BTreeMap<String, bool>, String) {
    let (mut features, mut complaints) = (BTreeMap::new(), String::new());
    for feature in
        ["ws_text", "ws_binary", "ws_fragments", "ws_ping", "ws_large", "ws_close", "ws_protocol"]
    {
        let had = ask(edge, version, feature).await;
        if let Err(error) = &had {
            writeln!(complaints, "tokio-tungstenite {version:?} {feature}: {error:#}")
                .expect("a String takes any text");
        }
        features.insert(feature.to_owned(), had.is_ok());
    }
    (features, complaints)
}

async fn ask(edge: &Edge, version: Version, feature: &str) -> Result<()> {
    let protocols = if feature == "ws_protocol" { "other, chat" } else { "" };
    let Opened { mut socket, fields, _client } = open(edge, version, protocols).await?;
    let agreed = fields.get(header::SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes);
    match feature {
        "ws_text" => echoed(&mut socket, Message::text("grüße")).await,
        "ws_binary" => echoed(&mut socket, Message::binary((0..=255).collect::<Vec<u8>>())).await,
        "ws_large" => {
            let content = (0..LARGE_BYTES).map(|index| (index % 251) as u8);
            echoed(&mut socket, Message::binary(content.collect::<Vec<_>>())).await
        }
        "ws_fragments" => {
            send_parts(&mut socket).await?;
            answered(&mut socket, Message::text(PARTS.concat())).await?;
            socket.send(Message::text("fragments")).await?;
            answered(&mut socket, Message::text(PARTS.concat())).await
        }
        "ws_ping" => {
            ping(&mut socket).await?;
            socket.send(Message::text("ping")).await?;
            answered(&mut socket, Message::Ping(Bytes::from_static(b"are you there"))).await?;
            answered(&mut socket, Message::text("pong")).await
        }
        "ws_close" => {
            socket.close(Some(close_frame(4001, "done"))).await?;
            let answer = socket.next().await.context("the end")??;
            let Message::Close(Some(frame)) = &answer else { anyhow::bail!("{answer}") };
            ensure!(u16::from(frame.code) == 4001, "{frame}");
            let Opened { mut socket, _client, .. } = open(edge, version, protocols).await?;
            socket.send(Message::text("close")).await?;
            answered(&mut socket, Message::Close(Some(close_frame(4002, "enough")))).await
        }
        _ => {
            ensure!(agreed == Some(PROTOCOL.as_bytes()), "{fields:?}");
            Ok(())
        }
    }
}

async fn echoed(socket: &mut Socket, message: Message) -> Result<()> {
    socket.send(message.clone()).await?;
    answered(socket, message).await
}

async fn answered(socket: &mut Socket, expected: Message) -> Result<()> {
    let answer = socket.next().await.context("the end")??;
    ensure!(answer == expected, "another message: {} bytes", answer.len());
    Ok(())
}
