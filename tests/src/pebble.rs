//! A certificate authority that speaks ACME (RFC 8555) and that nobody of this project wrote: Let's
//! Encrypt's pebble, and its DNS server, which points every name where a test wants it.
//!
//! | module | job |
//! |---|---|
//! | [`options`] | where it runs, and how it behaves |
//! | [`unruly`] | stands in front of it and does what pebble never does: errors, silence, ARI |
//! | [`endpoint`] | what of ACME a path of pebble's is |
//! | [`account`] | signed requests, for tests of the authority itself |
//! | [`message`] | one HTTP/1 message, read and written |
//! | [`tls`] | TLS of those who ask it, and of those who stand in front of it |
//! | [`dns`] | a question to a DNS server, and the addresses in its answer |
//! | [`place`] | on the loopback, or in a network namespace |

pub mod account;
pub mod dns;
pub mod endpoint;
mod message;
pub mod options;
pub mod place;
mod tls;
pub mod unruly;

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

pub use endpoint::Endpoint;
pub use message::Response;
pub use options::PebbleOptions;
pub use place::Place;
pub use unruly::{Deed, Unruly};

use crate::fleet::namespace::BedName;
use message::Request;
use tls::Credentials;

/// Both make a key or two and listen; a machine that is busy takes a while.
const STARTED_WITHIN: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Ports that were free a moment ago can be taken: so often others are tried.
const ATTEMPTS: u32 = 5;

/// An authority that runs. Dropping it ends its processes and removes its files.
#[derive(Debug)]
pub struct Pebble {
    options: PebbleOptions,
    ports: Ports,
    credentials: Credentials,
    directory: PathBuf,
    trust: PathBuf,
    _processes: [Process; 2],
}

/// A process that ends with its owner.
#[derive(Debug)]
struct Process(Child);

/// Where the two programs listen.
#[derive(Clone, Copy, Debug)]
struct Ports {
    acme: u16,
    management: u16,
    dns: u16,
    dns_management: u16,
}

impl Pebble {
    /// Starts it, and waits until both programs answer.
    ///
    /// # Errors
    /// Where they are not installed, or end at once; with what they said.
    pub fn start(options: PebbleOptions) -> Result<Self> {
        let directory = fresh_directory()?;
        let credentials = Credentials::make(options.place.address())?;
        let trust = credentials.write(&directory)?;
        for attempt in 1.. {
            let ports = Ports::free(&options.place)?;
            match start_programs(&options, ports, &credentials, &directory) {
                Ok(processes) => {
                    let _processes = processes;
                    return Ok(Self { options, ports, credentials, directory, trust, _processes });
                }
                Err(error) if attempt < ATTEMPTS && is_about_a_port(&error) => {}
                Err(error) => {
                    let _ = fs::remove_dir_all(&directory); // the error is what is wanted
                    return Err(error);
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Where an ACME client begins (RFC 8555 section 7.1.1).
    #[must_use]
    pub fn directory_url(&self) -> String {
        directory_url(self.acme())
    }

    /// GETs what is there, as somebody who trusts [`Self::trust`]: for most it takes a POST.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn get(&self, endpoint: Endpoint) -> Result<Response> {
        get(&self.options.place, self.acme(), &self.credentials, endpoint.path())
    }

    /// What a client of its API trusts, PEM. This is not the root of what it issues.
    #[must_use]
    pub fn trust(&self) -> &Path {
        &self.trust
    }

    /// The root of what it issues, PEM. Pebble makes a new one at each start.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn root_pem(&self) -> Result<String> {
        self.managed("/roots/0")
    }

    /// The root of another chain to the same certificates, from 1 up to
    /// [`PebbleOptions::alternate_roots`], PEM.
    ///
    /// # Errors
    /// Where there is none of this number.
    pub fn alternate_root_pem(&self, number: u8) -> Result<String> {
        self.managed(&format!("/roots/{number}"))
    }

    /// What it knows of a certificate that it issued, by its serial number in hexadecimal: `Status` is
    /// "Valid" or "Revoked", and then there is a `Reason` (RFC 5280 section 5.3.1).
    ///
    /// # Errors
    /// Where it does not know it.
    pub fn certificate_status(&self, serial: &str) -> Result<Value> {
        let answer = self.managed(&format!("/cert-status-by-serial/{serial}"))?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Where the DNS server listens, over UDP and TCP.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.at(self.ports.dns)
    }

    /// Where the DNS server is told what to answer, by `POST /set-txt` and the like: what a hook
    /// for DNS-01 talks to.
    #[must_use]
    pub fn dns_management(&self) -> SocketAddr {
        self.at(self.ports.dns_management)
    }

    /// From now on `name` points here, and not where the others do.
    ///
    /// # Errors
    /// Where the DNS server refuses.
    pub fn point(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let body = json!({ "host": name, "addresses": [address] });
        let request = Request::post("/add-a", "application/json", body.to_string());
        let answer = self.options.place.run(|| message::ask(self.dns_management(), &request))?;
        ensure!(answer.status == 200, "add-a: {}", answer.status);
        Ok(())
    }

    /// What pebble said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("pebble.log")).unwrap_or_default()
    }

    /// Where it runs.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.options.place
    }

    /// Where ACME is spoken.
    fn acme(&self) -> SocketAddr {
        self.at(self.ports.acme)
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.options.place.address(), port).into()
    }

    fn managed(&self, path: &str) -> Result<String> {
        let answer =
            get(&self.options.place, self.at(self.ports.management), &self.credentials, path)?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(String::from_utf8(answer.body)?)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("-- log of pebble, the end of it:\n{last}");
        }
        let _ = fs::remove_dir_all(&self.directory); // what remains is in the way of nobody
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

impl Ports {
    /// Four that nobody listens on now.
    fn free(place: &Place) -> Result<Self> {
        let address = place.address();
        place.run(|| {
            let tcp = [(); 3].map(|()| TcpListener::bind((address, 0)));
            let [acme, management, dns_management] = tcp;
            let port = |socket: &std::io::Result<TcpListener>| match socket {
                Ok(socket) => Ok(socket.local_addr()?.port()),
                Err(error) => bail!("no free port: {error}"),
            };
            Ok(Self {
                acme: port(&acme)?,
                management: port(&management)?,
                dns_management: port(&dns_management)?,
                dns: free_for_both(address)?,
            })
        })
    }
}

/// A port that is free for TCP and UDP: a DNS server takes both.
fn free_for_both(address: IpAddr) -> Result<u16> {
    for _ in 0..ATTEMPTS {
        let tcp = TcpListener::bind((address, 0))?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind((address, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free for TCP and UDP")
}

fn start_programs(
    options: &PebbleOptions,
    ports: Ports,
    credentials: &Credentials,
    directory: &Path,
) -> Result<[Process; 2]> {
    let at = |port| SocketAddr::from((options.place.address(), port)).to_string();
    let mut dns = Command::new("pebble-challtestsrv");
    dns.args(["-dns01", &at(ports.dns), "-management", &at(ports.dns_management)]);
    for (option, address) in options.default_addresses() {
        dns.arg(option).arg(address);
    }
    // No challenges of its own: our nodes answer them.
    dns.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
    let mut dns = Process(spawn(options, &mut dns, &directory.join("dns.log"))?);

    let config_file = directory.join("pebble.json");
    let config = options.config(&at(ports.acme), &at(ports.management), directory);
    fs::write(&config_file, config.to_string())?;
    let mut pebble = Command::new("pebble");
    pebble.args(["-strict", "-dnsserver", &at(ports.dns), "-config"]).arg(&config_file);
    pebble.envs(options.environment());
    let mut pebble = Process(spawn(options, &mut pebble, &directory.join("pebble.log"))?);

    let place = &options.place;
    let (acme, name_server) = ((place.address(), ports.acme).into(), (place.address(), ports.dns));
    wait(&mut pebble.0, &directory.join("pebble.log"), || {
        get(place, acme, credentials, "/dir").is_ok_and(|answer| answer.status == 200)
    })?;
    wait(&mut dns.0, &directory.join("dns.log"), || {
        place.run(|| dns::addresses_of("any.test", name_server.into())).is_ok()
    })?;
    Ok([pebble, dns])
}

fn spawn(options: &PebbleOptions, command: &mut Command, log: &Path) -> Result<Child> {
    let file = File::create(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let name = command.get_program().to_string_lossy().into_owned();
    let hint = || format!("start {name} (Debian's package pebble; `cargo xtask test` installs it)");
    options.place.run(|| command.spawn().with_context(hint))
}

/// Waits until it answers.
fn wait(process: &mut Child, log: &Path, answers: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + STARTED_WITHIN;
    while !answers() {
        let said = || fs::read_to_string(log).unwrap_or_default();
        if let Some(status) = process.try_wait()? {
            bail!("it ended with {status}:\n{}", said());
        }
        ensure!(Instant::now() < deadline, "no answer within {STARTED_WITHIN:?}:\n{}", said());
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Whether somebody was faster to take a port.
fn is_about_a_port(error: &anyhow::Error) -> bool {
    error.to_string().contains("address already in use")
}

/// GETs by HTTPS from inside `place`.
fn get(place: &Place, at: SocketAddr, credentials: &Credentials, path: &str) -> Result<Response> {
    let client = credentials.client()?;
    place.run(|| tls::ask(&Arc::new(client), at, &Request::get(path)))
}

fn directory_url(acme: SocketAddr) -> String {
    format!("https://{acme}{}", Endpoint::Directory.path())
}

/// Named as a bed is, so that it is swept with beds where this process is killed.
fn fresh_directory() -> Result<PathBuf> {
    let directory = BedName::unique().directory();
    fs::create_dir(&directory).with_context(|| format!("make {}", directory.display()))?;
    Ok(directory)
}
