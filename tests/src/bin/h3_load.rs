//! The load of `cargo xtask bench h3`, told by its standard input.
//!
//! `h3_load SERVER CERTIFICATE CONNECTIONS STREAMS BODY_BYTES [renew]` connects, says `ready`, and
//! waits for lines. `run MILLISECONDS` asks for so long and prints how many answers came. At the
//! end of its input it closes the connections.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::load::{Load, Plan, client_config};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let plan = plan(std::env::args().skip(1).collect())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut load = Load::connect(plan).await?;
        println!("ready");
        while let Some(line) = tokio::task::spawn_blocking(read_line).await?? {
            let milliseconds = line.strip_prefix("run ").context("run MILLISECONDS")?;
            let answers = load.run(Duration::from_millis(milliseconds.parse()?)).await?;
            println!("{answers}");
        }
        load.close().await
    })
}

fn plan(arguments: Vec<String>) -> Result<Plan> {
    let [server, certificate, connections, streams, body_bytes, rest @ ..] = &arguments[..] else {
        anyhow::bail!("SERVER CERTIFICATE CONNECTIONS STREAMS BODY_BYTES [renew]");
    };
    Ok(Plan {
        server: server.parse()?,
        config: client_config(&PathBuf::from(certificate))?,
        connections: connections.parse()?,
        streams: streams.parse()?,
        body_bytes: body_bytes.parse()?,
        renew: rest.first().is_some_and(|word| word == "renew"),
    })
}

fn read_line() -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let length = std::io::stdin().lock().read_line(&mut line)?;
    Ok((length > 0).then(|| line.trim_end().to_owned()))
}
