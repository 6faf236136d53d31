//! What h2 writes is followed, and what it reads is followed as it does.

use h2::client::SendRequest;
use http::Request;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::INCREMENTAL;
use crate::http::h2::blocks::{Block, Blocks, END_HEADERS, END_STREAM};
use crate::http::h2::meter::{FrameHead, HEADERS};
use crate::http::primitive::{huffman, integer};

/// What h2's client writes: it knows the RFC as well as its server does.
struct Client {
    requests: SendRequest<bytes::Bytes>,
    peer: DuplexStream,
    blocks: Blocks,
}

impl Client {
    async fn new() -> Self {
        let (client, mut peer) = tokio::io::duplex(1 << 20);
        peer.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("there is room");
        let (requests, connection) = h2::client::handshake(client).await.expect("in memory");
        tokio::spawn(connection);
        let mut client = Self { requests, peer, blocks: Blocks::default() };
        let mut preface = [0; 24];
        client.peer.read_exact(&mut preface).await.expect("it comes first");
        client.until(4, 1).await;
        client
    }

    /// Follows blocks, and gives the last one when a frame of this kind with this flag came.
    async fn until(&mut self, kind: u8, flag: u8) -> Option<Block> {
        let mut block = None;
        loop {
            let mut header = [0; 9];
            self.peer.read_exact(&mut header).await.expect("it writes on");
            let [a, b, c, of, flags, stream @ ..] = header;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.peer.read_exact(&mut payload).await.expect("it writes on");
            let head = FrameHead { kind: of, flags, stream: u32::from_be_bytes(stream) };
            if of == HEADERS || of == 9 {
                block = self.blocks.take(head, &payload, true).expect("it is good");
            }
            if of == kind && flags & flag != 0 || kind == HEADERS && block.is_some() {
                return block;
            }
        }
    }

    /// The client's table may be as large as this.
    async fn resize(&mut self, most_bytes: u16) {
        let [a, b] = most_bytes.to_be_bytes();
        self.peer.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, a, b]).await.expect("room");
        self.until(4, 1).await;
    }

    async fn request(&mut self, path: &str, fields: &[(String, String)]) -> Block {
        let mut request = Request::get(format!("https://a.example{path}"));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(()).expect("good");
        let _answer = self.requests.send_request(request, true).expect("it is connected");
        self.until(HEADERS, 0).await.expect("whole")
    }
}

/// Names that recur, as those of real requests, and values of all lengths.
fn any_field() -> impl Strategy<Value = (String, String)> {
    let name =
        prop_oneof!["x-[a-f]", "x-[a-z]{1,40}", Just("cookie".into()), Just("accept".into())];
    let value = prop_oneof!["[a-c]?", "[ -~]{0,90}", "[!-~]{2000,5000}"];
    (name, value.prop_map(|value| value.trim().to_owned()))
}

/// A request's path and fields, and a size of the table that comes before it.
type Asked = (Option<u16>, String, Vec<(String, String)>);

fn any_requests() -> impl Strategy<Value = Vec<Asked>> {
    let fields = prop::collection::vec(any_field(), 0..20);
    prop::collection::vec((prop::option::of(0..=4096_u16), "/[a-b]{0,2}", fields), 1..20)
}

/// A line of a block.
#[derive(Clone, Debug)]
enum Line {
    Indexed(u32),
    /// The bits of its form, the index of its name or the name, and the value.
    Literal(u8, Result<u32, String>, String),
}

impl Line {
    fn put(&self, out: &mut bytes::BytesMut) {
        match self {
            Self::Indexed(index) => integer::put((*index).into(), 0x80, 7, out),
            Self::Literal(form, name, value) => {
                let prefix = if *form == INCREMENTAL { 6 } else { 4 };
                let index = name.as_ref().map_or(0, |index| *index);
                integer::put(index.into(), *form, prefix, out);
                for text in name.as_ref().err().into_iter().chain([value]) {
                    match text.len() % 2 {
                        0 => {
                            integer::put(text.len() as u64, 0, 7, out);
                            out.extend_from_slice(text.as_bytes());
                        }
                        _ => {
                            integer::put(
                                huffman::coded_bytes(text.as_bytes()) as u64,
                                0x80,
                                7,
                                out,
                            );
                            huffman::encode(text.as_bytes(), out);
                        }
                    }
                }
            }
        }
    }
}

/// Fields that h2 takes in any request. Most are in the static table or the first of the other.
fn any_line() -> impl Strategy<Value = Line> {
    // Neither content-length nor transfer-encoding.
    let index =
        || prop_oneof![30 => 15..28_u32, 30 => 29..57_u32, 60 => 58..64_u32, 1 => 58..100_u32];
    let form = prop_oneof![Just(INCREMENTAL), Just(INCREMENTAL), Just(0), Just(0x10)];
    let name = prop_oneof![index().prop_map(Ok), "x-[a-z]{1,30}".prop_map(Err)];
    let value = prop_oneof!["[a-c]{0,3}", "[!-~]{0,300}", "[!-~]{1000,4200}"];
    prop_oneof![
        index().prop_map(Line::Indexed),
        (form, name, value).prop_map(|(form, name, value)| Line::Literal(form, name, value)),
    ]
}

/// What h2's server makes of a block behind the usual pseudo-header fields: the size of the others,
/// or an error.
async fn by_h2(
    connection: &mut h2::server::Connection<DuplexStream, bytes::Bytes>,
) -> Option<usize> {
    let (request, _) = connection.accept().await?.ok()?;
    let fields = request.headers().iter();
    Some(fields.map(|(name, value)| name.as_str().len() + value.len() + 32).sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Evictions and changes of the table's size are among it. A table that is not in step gives
    /// entries of other sizes, or none.
    #[test]
    fn what_h2_encodes_is_followed(requests in any_requests()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut client = Client::new().await;
            for (size, path, fields) in requests {
                if let Some(size) = size {
                    client.resize(size).await;
                }
                let own = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example")];
                let own = own.into_iter().chain([(":path", &path[..])]);
                let others = fields.iter().map(|(name, value)| (&name[..], &value[..]));
                let size = own.chain(others).map(|(name, value)| name.len() + value.len() + 32);
                let expected: usize = size.sum();
                let block = client.request(&path, &fields).await;
                prop_assert_eq!(block.list_bytes as usize, expected);
                prop_assert!(block.has_pseudo && !block.has_fragment && block.ends_stream);
            }
            Ok(())
        })?;
    }

    /// Blocks with changes of the table's size before them, until one is wrong.
    #[test]
    fn what_h2_decodes_is_followed_and_what_it_does_not_is_told(
        all in prop::collection::vec(
            (prop::collection::vec(0..4200_u64, 0..3), prop::collection::vec(any_line(), 0..12)),
            1..20,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]];
            client.write_all(&preface.concat()).await.expect("there is room");
            let mut connection = h2::server::handshake(server).await.expect("a preface");
            let mut blocks = Blocks::default();
            for (turn, (sizes, lines)) in all.into_iter().enumerate() {
                let mut block = bytes::BytesMut::new();
                for size in sizes {
                    integer::put(size, 0x20, 5, &mut block);
                }
                // GET, https, /, and the host.
                block.extend_from_slice(&[0x82, 0x87, 0x84, 0x01, 1, b'a']);
                lines.iter().for_each(|line| line.put(&mut block));
                let stream = 2 * turn as u32 + 1;
                let parts: Vec<_> = block.chunks(1 << 14).collect();
                let mut followed = Ok(None);
                for (number, part) in parts.iter().enumerate() {
                    let kind = if number == 0 { HEADERS } else { 9 };
                    let end = if number + 1 == parts.len() { END_HEADERS } else { 0 };
                    let flags = if number == 0 { END_STREAM | end } else { end };
                    followed = followed.and_then(|_| {
                        blocks.take(FrameHead { kind, flags, stream }, part, true)
                    });
                    let length = (part.len() as u32).to_be_bytes();
                    let header = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
                    client.write_all(&[&header[..], part].concat()).await.expect("room");
                }
                let own = 42 + 44 + 38 + 43;
                let size = followed.ok().map(|block| block.expect("whole").list_bytes as usize - own);
                prop_assert_eq!(size, by_h2(&mut connection).await);
                if size.is_none() {
                    break;
                }
            }
            Ok(())
        })?;
    }
}
