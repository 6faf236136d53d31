//! The program itself, as a service manager and operators meet it: one node on loopback.

mod access_log;
mod bounce;
mod certificates;
mod commands;
mod counts;
mod distributions;
mod files;
mod floods;
mod follow;
mod https;
mod origin_frames;
mod origins;
mod reach;
mod reload;
mod serve_and_stop;
mod service_manager;
mod tcp;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tests::credentials::{Certificates, Files};
use tests::fleet::programs;
use tests::http3::{self, Http3};
use tests::memory::Memory;

/// A loaded machine loads the kernel program in a second or two.
const WITHIN: Duration = Duration::from_secs(30);

/// A node with files and ports of its own. What runs of it ends with it.
struct Edge {
    directory: TempDir,
    credentials: Files,
    port: u16,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Edge {
    /// Writes the files; nothing runs yet.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a fresh directory");
        let credentials = Certificates::make().and_then(|made| made.write(directory.path()));
        let credentials = credentials.expect("written");
        let admin = (Ipv4Addr::LOCALHOST, free_port()).into();
        let edge = Self { directory, credentials, port: free_port(), admin, child: None };
        edge.write_config("");
        assert!(edge.run(&["fleet", "init", &edge.path("fleet.toml")]).status.success());
        edge
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes the configuration, with `more` in front.
    fn write_config(&self, more: &str) {
        static NODE: AtomicU32 = AtomicU32::new(0);
        let own = Ipv4Addr::from(0x7f4c_0001 + NODE.fetch_add(1, Ordering::Relaxed));
        let config = format!(
            r#"{more}
node = 1
fleet_file = "{fleet}"
state_directory = "{state}"
drain_seconds = 20
listen = {{ anycast = ["127.0.0.1", "::1"], port = {port}, workers = 2 }}
tls = {{ certificate = "{certificate}", key = "{key}" }}
steering = {{ mode = "user-space", encapsulation_port = {encapsulation} }}
admin = {{ listen = "{admin}", socket = "{socket}" }}
nodes = [{{ id = 1, name = "here", site = "lab", ipv4 = "{own}" }}]
"#,
            fleet = self.path("fleet.toml"),
            state = self.path("state"),
            port = self.port,
            certificate = self.credentials.certificate.display(),
            key = self.credentials.key.display(),
            encapsulation = free_port(),
            admin = self.admin,
            socket = self.path("admin.sock"),
        );
        fs::write(self.path("edge.toml"), config).expect("written");
    }

    /// Makes it one of two nodes. Their addresses are not this host's, so nothing is forwarded.
    fn make_fleet(&self) {
        let config = fs::read_to_string(self.path("edge.toml")).expect("written");
        let (config, _) = config.split_once("steering = ").expect("in the file");
        let rest = format!(
            r#"
steering = {{ mode = "off" }}
admin = {{ listen = "{}", socket = "{}" }}
nodes = [
    {{ id = 1, name = "here", site = "lab", ipv4 = "198.51.100.1" }},
    {{ id = 2, name = "there", site = "lab", ipv4 = "198.51.100.2" }},
]
"#,
            self.admin,
            self.path("admin.sock"),
        );
        let config = config.replace(r#""127.0.0.1", "::1""#, r#""192.0.2.1""#);
        fs::write(self.path("edge.toml"), config + &rest).expect("written");
    }

    /// Runs the program to its end, in the directory.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(programs::edge())
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("it can be started")
    }

    fn start(&mut self) {
        self.start_with(&[]);
        let ready = || matches!(self.get("/readyz"), Some((200, _)));
        eventually("it is ready", ready, || self.log());
    }

    /// Starts it with these variables in its environment, and does not wait.
    fn start_with(&mut self, environment: &[(&str, &str)]) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::create(self.path("log")).expect("a log file");
        let mut command = Command::new(programs::edge());
        command.args(["serve", "--config", &self.path("edge.toml")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(environment.iter().copied());
        self.child = Some(command.spawn().expect("it can be started"));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it runs");
    }

    fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(status) = child.try_wait().expect("it is ours") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("it does not end:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it holds in memory from now on.
    fn memory(&self) -> Memory {
        Memory::of(self.child.as_ref().expect("it runs").id()).expect("it runs")
    }

    /// GET on the admin listener: status and body, or nothing where nobody listens.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(WITHIN)).expect("not zero");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: edge\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// A client of quinn, connected by HTTP/3.
    async fn connect(&self) -> Http3 {
        let config = http3::client_config(&self.credentials.authority_der).expect("trusted");
        let endpoint = http3::endpoint(Ipv4Addr::LOCALHOST.into(), config).expect("a socket");
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        Http3::connect_to(&endpoint, address).await.expect("a connection")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The configuration takes no port 0: one that was free a moment ago.
/// A port that nobody has, in TCP and in UDP, and that is promised to nobody: below those that the
/// kernel gives to whoever asks for any, so that no client and no listener of another test has it by
/// the time when it is bound.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(211);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < 10_000, "every port is in use");
        let port = 20_000 + (start.wrapping_add(next) % 10_000) as u16;
        if TcpListener::bind(("::", port)).is_ok() && UdpSocket::bind(("::", port)).is_ok() {
            return port;
        }
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool, explain: impl Fn() -> String) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {WITHIN:?}\n{}", explain());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
