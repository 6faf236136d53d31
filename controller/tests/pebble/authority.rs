//! Pebble and its DNS server, on ports of the loopback that were free a moment ago.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// How it differs from one that is quick and never refuses.
pub(crate) struct Options {
    pub(crate) nonce_rejections_percent: u8,
    pub(crate) validity_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { nonce_rejections_percent: 0, validity_seconds: 90 * 86_400 }
    }
}

/// An authority that runs; dropping it ends its processes.
pub(crate) struct Authority {
    processes: Vec<Child>,
    directory: TempDir,
    port: u16,
}

impl Authority {
    pub(crate) async fn start(options: &Options, http_port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [port, management, dns, dns_management] = free_ports();
        credentials(&directory);
        let path = |name: &str| directory.path().join(name);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("certificate.pem"),
            "privateKey": path("key.pem"),
            "httpPort": http_port,
            "tlsPort": 1,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": options.validity_seconds,
            "domainBlocklist": ["blocked-domain.example"],
        }});
        fs::write(path("pebble.json"), config.to_string()).unwrap();
        let log = fs::File::create(path("pebble.log")).unwrap();
        let mut dns_server = Command::new("pebble-challtestsrv");
        dns_server.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", ""]);
        dns_server.args(["-https01", "", "-tlsalpn01", ""]);
        dns_server.args(["-dns01", &format!("127.0.0.1:{dns}")]);
        dns_server.args(["-management", &format!("127.0.0.1:{dns_management}")]);
        let dns_server = dns_server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pebble = Command::new("pebble")
            .args(["-strict", "-dnsserver", &format!("127.0.0.1:{dns}"), "-config"])
            .arg(path("pebble.json"))
            .env("PEBBLE_WFE_NONCEREJECT", options.nonce_rejections_percent.to_string())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("Debian's package pebble is installed");
        let this = Self { processes: vec![dns_server, pebble], directory, port };
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return this;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("pebble does not listen: {}", this.log());
    }

    pub(crate) fn directory_url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// How many orders it has made.
    pub(crate) fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("pebble.log")).unwrap_or_default()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// What pebble shows to those who ask it, and what signs that.
fn credentials(directory: &TempDir) {
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(root, root_key);
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    for (name, text) in
        [("root.pem", root_pem), ("certificate.pem", leaf.pem()), ("key.pem", key.serialize_pem())]
    {
        fs::write(directory.path().join(name), text).unwrap();
    }
}
