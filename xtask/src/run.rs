//! `cargo xtask run`: a working edge on this machine, in one command.

mod files;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{process, setup};
use files::{Place, Wanted};

/// A working edge on this machine: own key and certificate, XDP where root allows.
///
/// Installs what it needs and says so first. Prints the URL, the URL of the metrics and a client
/// command, then serves until Ctrl-C.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// UDP port of HTTP/3.
    #[arg(long, default_value_t = 4433)]
    port: u16,
    /// TCP port of metrics and health, on 127.0.0.1.
    #[arg(long, default_value_t = 9443)]
    metrics_port: u16,
    /// The interface whose addresses are served.
    #[arg(long, default_value = "lo")]
    iface: String,
    /// Make one request, print the answer and stop.
    #[arg(long)]
    once: bool,
}

/// How long the edge may take to be ready. It loads two eBPF programs: a second on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often that is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// # Errors
/// Where the edge does not build or start; with `--once`, where it does not answer or does not
/// stop cleanly.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = process::is_root();
    let needs = setup::Needs { clients: true, bpf_file_system: root, ..setup::Needs::default() };
    match setup::satisfy(needs) {
        Err(error) if options.once => return Err(error),
        // An edge without a client at hand is still an edge.
        Err(error) => eprintln!("no client is installed: {error:#}"),
        Ok(()) => {}
    }
    let edge = process::build("edge-user", "landfast-edge", true)?;
    let wanted = Wanted {
        interface: &options.iface,
        port: options.port,
        metrics_port: options.metrics_port,
        steering: if root { "generic" } else { "user-space" },
    };
    let place = Place::prepare(&edge, &wanted)?;
    explain(options, &place, root);

    let mut serve = process::command(&edge);
    serve.arg("serve").arg("--config").arg(&place.config);
    if options.once {
        return once(options, &place, &mut serve);
    }
    println!("to stop      Ctrl-C\n");
    // The edge takes our place, so that Ctrl-C is its own and the terminal comes back when it ends.
    Err(serve.exec()).with_context(|| format!("cannot start {}", edge.display()))
}

fn explain(options: &Options, place: &Place, root: bool) {
    let steering = match root {
        true => "by XDP, generic mode (native mode needs a driver; loopback has none)",
        false => "in user space (XDP needs root)",
    };
    let client = get(options, place);
    println!("serves       {}", url(options, place));
    println!("metrics      http://{}/metrics", metrics(options));
    println!("steering     {steering}");
    println!("client       {}", process::shown(&client));
    println!("files        {}", relative(&place.config).display());
}

fn url(options: &Options, place: &Place) -> String {
    format!("https://{}:{}/", place.host, options.port)
}

fn metrics(options: &Options) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, options.metrics_port).into()
}

/// The client that the README shows: aioquic.
fn get(options: &Options, place: &Place) -> Command {
    let mut python = process::command(relative(&setup::python()));
    python.args(["tests/clients/get.py", &url(options, place), "--ca"]);
    python.arg(relative(&place.certificate));
    python
}

/// Shorter to read and to type; commands start in the root of the repository.
fn relative(path: &Path) -> &Path {
    path.strip_prefix(process::root()).unwrap_or(path)
}

fn once(options: &Options, place: &Place, serve: &mut Command) -> Result<()> {
    let mut edge = serve.spawn().context("cannot start the edge")?;
    let answer =
        ready(&mut edge, metrics(options)).and_then(|()| process::output(&mut get(options, place)));
    // Stopped first, whatever became of the request.
    let stopped = stop(&mut edge);
    println!("answer       {}", answer?.trim_end());
    stopped
}

fn ready(edge: &mut Child, metrics: SocketAddr) -> Result<()> {
    let end = Instant::now() + READY_WITHIN;
    while Instant::now() < end {
        if let Some(status) = edge.try_wait()? {
            bail!("the edge ended before it was ready: {status}");
        }
        if is_ready(metrics).unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(ASK_EVERY);
    }
    bail!("the edge is not ready after {} s", READY_WITHIN.as_secs())
}

fn is_ready(metrics: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&metrics, ASK_EVERY)?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    // A status line is enough; the bound is for a stranger on the port.
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1) == Some("200"))
}

fn stop(edge: &mut Child) -> Result<()> {
    if edge.try_wait()?.is_none() {
        kill(Pid::from_raw(edge.id().try_into()?), Signal::SIGTERM)?;
    }
    let status = edge.wait()?;
    ensure!(status.success(), "the edge ended with {status}");
    Ok(())
}
