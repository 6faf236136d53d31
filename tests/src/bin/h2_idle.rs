//! Idle connections of HTTP/2 for `cargo xtask bench http`.
//!
//! `h2_idle SERVER CERTIFICATE CONNECTIONS PATH` makes the connections, asks for PATH once on each,
//! says `ready`, and closes them at the end of its input. It fails where the server ended one before.

use std::path::PathBuf;

use anyhow::Result;
use tests::idle_h2::{connect, ended};

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
        let mut held = connect(server, &certificate, connections.parse()?, path).await?;
        println!("ready");
        let input = tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop));
        input.await?;
        let lost = ended(&mut held).await;
        anyhow::ensure!(lost == 0, "{lost} connections were ended meanwhile");
        Ok(())
    })
}
