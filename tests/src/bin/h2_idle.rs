//! Idle connections of HTTP/2 for `cargo xtask bench http`.
//!
//! `h2_idle SERVER CERTIFICATE CONNECTIONS PATH` makes the connections, asks for PATH once on each,
//! says `ready`, and closes them at the end of its input.

use std::path::PathBuf;

use anyhow::Result;
use tests::idle_h2::connect;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [server, certificate, connections, path] = &arguments[..] else {
        anyhow::bail!("SERVER CERTIFICATE CONNECTIONS PATH");
    };
    let (server, certificate) = (server.parse()?, PathBuf::from(certificate));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let held = connect(server, &certificate, connections.parse()?, path).await?;
        println!("ready");
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop));
        ended.await?;
        drop(held);
        Ok(())
    })
}
