//! `cargo xtask run`: a working edge with its controller on this machine, in one command.

mod controller;
mod files;
mod signals;

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
use controller::Controller;
use files::{Place, Wanted};
pub(crate) use signals::{Awaited, Signals};

/// A working edge with its controller on this machine: a certificate of the controller's own
/// issuer, XDP where root allows.
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
    /// TCP port where the edge meets its controller, on 127.0.0.1.
    #[arg(long, default_value_t = 4840)]
    controller_port: u16,
    /// The interface whose addresses are served.
    #[arg(long, default_value = "lo")]
    iface: String,
    /// Make one request, print the answer and stop.
    #[arg(long)]
    once: bool,
}

/// How long a program may take to be ready: the edge loads two eBPF programs, and waits until it is
/// let in. A few seconds on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often that is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// # Errors
/// Where a program does not build or start; with `--once`, where the edge does not answer or one
/// of them does not stop cleanly.
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
    let controller = process::build("controller", "landfast-controller", true)?;
    let wanted = Wanted {
        interface: &options.iface,
        port: options.port,
        metrics_port: options.metrics_port,
        controller_port: options.controller_port,
        steering: if root { "generic" } else { "user-space" },
    };
    let place = Place::prepare(&wanted)?;
    explain(options, &place, &controller, root);
    // From here on Ctrl-C is told to us, and we tell it to both.
    let mut signals = Signals::catch()?;
    let controller = Controller::start(controller, &place)?;
    let served = enrol(&controller, &edge, &place)
        .and_then(|()| serve(options, &edge, &place, &controller, &mut signals));
    let stopped = controller.stop();
    served.and(stopped)
}

/// Makes the edge a node of the controller, anew each time: an identity ends after a day.
fn enrol(controller: &Controller, edge: &Path, place: &Place) -> Result<()> {
    let token = controller.invite()?;
    let mut enrol = process::command(edge);
    enrol.args(["enrol", "--force", "--invitation-file", "-", "--config"]).arg(&place.edge);
    process::feed(&mut enrol, &token)
}

fn serve(
    options: &Options,
    edge: &Path,
    place: &Place,
    controller: &Controller,
    signals: &mut Signals,
) -> Result<()> {
    let mut serve = process::command(edge);
    serve.arg("serve").arg("--config").arg(&place.edge);
    let mut edge = start(&mut serve)?;
    let ready = ready(&mut edge, metrics(options)).and_then(|()| controller.certify(place));
    let done = match ready {
        Err(error) => Err(error),
        Ok(()) if options.once => process::output(&mut get(options, place)).map(|answer| {
            println!("answer       {}", answer.trim_end());
        }),
        Ok(()) => {
            println!("ready        now; to stop: Ctrl-C\n");
            wait(signals, &mut edge, controller)
        }
    };
    // Stopped first, whatever became of the request.
    let stopped = stop(&mut edge, "the edge");
    done.and(stopped)
}

/// Waits until somebody wants an end, or one of both has ended by itself.
fn wait(signals: &mut Signals, edge: &mut Child, controller: &Controller) -> Result<()> {
    loop {
        match signals.wait() {
            Awaited::Stop => return Ok(()),
            // It may have been a command that is long done.
            Awaited::Child => {
                let ended = edge.try_wait()?;
                ensure!(ended.is_none(), "the edge ended by itself, see above");
                ensure!(!controller.has_ended()?, "the controller ended by itself, see above");
            }
        }
    }
}

/// In a process group of its own, so that Ctrl-C comes to us alone and the order is ours.
fn start(command: &mut Command) -> Result<Child> {
    let line = process::shown(command);
    command.process_group(0).spawn().with_context(|| format!("cannot start {line}"))
}

fn explain(options: &Options, place: &Place, controller: &Path, root: bool) {
    let steering = match root {
        true => "by XDP, generic mode (native mode needs a driver; loopback has none)",
        false => "in user space (XDP needs root)",
    };
    let client = get(options, place);
    println!("serves       {}", url(options, place));
    println!("metrics      http://{}/metrics", metrics(options));
    println!("steering     {steering}");
    println!("client       {}", process::shown(&client));
    let (controller, config) = (relative(controller), relative(&place.controller));
    println!("controller   {} --config {} status", controller.display(), config.display());
    println!("files        {}", relative(&place.edge).display());
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
    python.arg(relative(&place.authority));
    python
}

/// Shorter to read and to type; commands start in the root of the repository.
fn relative(path: &Path) -> &Path {
    path.strip_prefix(process::root()).unwrap_or(path)
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

fn stop(program: &mut Child, name: &str) -> Result<()> {
    if program.try_wait()?.is_none() {
        kill(Pid::from_raw(program.id().try_into()?), Signal::SIGTERM)?;
    }
    let status = program.wait()?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}
