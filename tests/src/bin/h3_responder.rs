//! What `cargo xtask bench h3` measures the edge against: quinn and h3-quinn on tokio's
//! current-thread runtime, as their examples put them together, with the edge's allocator.
//!
//! `h3_responder LISTEN CERTIFICATE KEY` answers `/bytes/N` with the edge's fields and N bytes.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h3::server::RequestResolver;
use http::{HeaderValue, Response, header};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What bodies are made of.
static BLOCK: [u8; 64 << 10] = [b'.'; 64 << 10];

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [listen, certificate, key] = &arguments[..] else {
        anyhow::bail!("LISTEN CERTIFICATE KEY");
    };
    let config = server_config(certificate, key)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let endpoint = quinn::Endpoint::server(config, listen.parse()?)?;
        println!("{}", endpoint.local_addr()?);
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                // How a client ends is its own affair.
                let _ = serve(incoming).await;
            });
        }
        Ok(())
    })
}

fn server_config(certificate: &str, key: &str) -> Result<quinn::ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    let tls = QuicServerConfig::try_from(tls)?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(tls)))
}

async fn serve(incoming: quinn::Incoming) -> Result<()> {
    let connection = h3_quinn::Connection::new(incoming.await?);
    let mut connection =
        h3::server::builder().send_grease(false).build::<_, Bytes>(connection).await?;
    while let Some(resolver) = connection.accept().await? {
        tokio::spawn(async move {
            let _ = answer(resolver).await; // as above
        });
    }
    Ok(())
}

async fn answer(resolver: RequestResolver<h3_quinn::Connection, Bytes>) -> Result<()> {
    let (request, mut stream) = resolver.resolve_request().await?;
    let count = request.uri().path().strip_prefix("/bytes/").context("/bytes/N only")?;
    let mut left: usize = count.parse()?;
    let mut head = Response::new(());
    let fields = head.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    fields.insert(header::CONTENT_LENGTH, left.into());
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    stream.send_response(head).await?;
    while left > 0 {
        let length = left.min(BLOCK.len());
        stream.send_data(Bytes::from_static(&BLOCK[..length])).await?;
        left -= length;
    }
    stream.finish().await?;
    Ok(())
}
