//! Origins that nobody of this project wrote, and others, all with the same site: see
//! `tests/clients/features.py`.

mod libraries;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tests::credentials::{Certificates, Files, SERVER_NAME};
use tests::fleet::programs;

use super::super::eventually;
use super::bed::url;

const LARGE_BYTES: usize = 20_000_000;

/// Folders and certificates of sites.
pub(super) struct Sites {
    folder: TempDir,
    files: Files,
}

/// One of them.
pub(super) struct Site {
    pub(super) name: &'static str,
    /// In which the edge asks it.
    pub(super) version: &'static str,
    pub(super) url: String,
    /// Of the origin in the edge's configuration.
    pub(super) settings: String,
    /// What it has not, whoever asks.
    pub(super) lacks: &'static [&'static str],
    /// Ends with it.
    _process: Option<Process>,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// One on a thread of ours.
    pub(super) fn of(
        name: &'static str,
        version: &'static str,
        url: String,
        settings: &str,
        lacks: &'static [&'static str],
    ) -> Self {
        Self { name, version, url, settings: settings.to_owned(), lacks, _process: None }
    }
}

impl Sites {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a fresh directory");
        let files = Certificates::make().and_then(|made| made.write(folder.path()));
        let www = folder.path().join("www");
        fs::create_dir(&www).expect("made");
        for name in ["small", "trailers"] {
            fs::write(www.join(name), "hello\n").expect("written");
        }
        fs::write(www.join("large"), vec![b'x'; LARGE_BYTES]).expect("written");
        Self { folder, files: files.expect("written") }
    }

    pub(super) fn all(&self) -> Vec<Site> {
        let [nginx, nginx_by_tls] = self.nginx("");
        let [caddy, caddy_by_tls] = self.caddy();
        vec![
            nginx,
            nginx_by_tls,
            caddy,
            caddy_by_tls,
            self.python(),
            libraries::hyper(),
            libraries::h2(),
        ]
    }

    /// Python's own server.
    pub(super) fn python(&self) -> Site {
        self.of_script("Python (http.server)", "origin_features.py")
    }

    /// A library for WebSockets, for Python.
    pub(super) fn websockets(&self) -> Site {
        self.of_script("websockets", "origin_websockets.py")
    }

    /// A server of Python's, in HTTP/2 with prior knowledge.
    pub(super) fn hypercorn(&self) -> Site {
        let settings = "protocol = \"h2\"".to_owned();
        let lacks = &["ws_fragments", "ws_ping"];
        let site = self.of_script("hypercorn", "origin_hypercorn.py");
        Site { version: "HTTP/2 in clear", settings, lacks, ..site }
    }

    fn of_script(&self, name: &'static str, script: &str) -> Site {
        let address = free_address();
        let mut command = Command::new(programs::python());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/").to_owned() + script);
        command.arg(address.port().to_string());
        let process = Some(self.start(script, command, address));
        Site { _process: process, ..Site::of(name, "HTTP/1.1", url(address), "", &[]) }
    }

    /// `app`, of which nginx asks for WebSockets. It speaks HTTP/2 by TLS, and takes none by that.
    pub(super) fn behind_nginx(&self, app: &Site, name: &'static str) -> Site {
        let [clear, tls] = self.nginx(&format!(
            "location = /socket {{ proxy_pass {}; proxy_http_version 1.1;\n\
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}\n",
            app.url
        ));
        Site { name, version: "HTTP/1.1 over TLS", _process: clear._process, ..tls }
    }

    /// With more locations.
    fn nginx(&self, more: &str) -> [Site; 2] {
        let (clear, tls) = (free_address(), free_address());
        let folder = self.folder.path().display();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n\
             events {{ }}\nhttp {{\naccess_log off;\nabsolute_redirect off;\nclient_max_body_size 0;\n\
             client_body_temp_path {folder}/client;\nproxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
             scgi_temp_path {folder}/scgi;\ndefault_type text/plain;\n\
             server {{\nlisten {clear};\nlisten {tls} ssl http2;\nserver_name {SERVER_NAME};\n\
             ssl_certificate {};\nssl_certificate_key {};\nroot {folder}/www;\n\
             location = /moved {{ return 302 /small; }}\n\
             location = /trailers {{ add_trailer x-sum 17; }}\n\
             location = /upload {{ dav_methods PUT; }}\n{more}}}\n}}\n",
            self.files.certificate.display(),
            self.files.key.display(),
        );
        let file = self.folder.path().join("nginx.conf");
        fs::write(&file, config).expect("written");
        let mut command = Command::new(programs::nginx());
        command.arg("-p").arg(self.folder.path()).arg("-c").arg(file);
        command.arg("-e").arg(self.folder.path().join("nginx.log"));
        let process = self.start("nginx", command, tls);
        self.both("nginx", [clear, tls], process, &["post", "hints", "websocket"])
    }

    fn caddy(&self) -> [Site; 2] {
        let (clear, tls) = (free_address(), free_address());
        let folder = self.folder.path().display();
        let site =
            format!("bind 127.0.0.1\nroot * {folder}/www\nredir /moved /small 302\nfile_server");
        let config = format!(
            "{{\nadmin off\nauto_https off\nstorage file_system {folder}/caddy\n}}\n\
             http://:{} {{\n{site}\n}}\nhttps://{SERVER_NAME}:{} {{\ntls {} {}\n{site}\n}}\n",
            clear.port(),
            tls.port(),
            self.files.certificate.display(),
            self.files.key.display(),
        );
        let file = self.folder.path().join("Caddyfile");
        fs::write(&file, config).expect("written");
        let mut command = Command::new(programs::caddy());
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command.env("HOME", self.folder.path());
        let process = self.start("caddy", command, tls);
        let lacks = &["post", "upload", "trailers", "hints", "websocket"];
        self.both("Caddy", [clear, tls], process, lacks)
    }

    fn both(
        &self,
        name: &'static str,
        [clear, tls]: [SocketAddr; 2],
        process: Process,
        lacks: &'static [&'static str],
    ) -> [Site; 2] {
        let authority = self.files.authority.display();
        let trusted = format!("server_name = \"{SERVER_NAME}\"\nca = \"{authority}\"");
        let site = |version, url, settings, process| Site {
            name,
            version,
            url,
            settings,
            lacks,
            _process: process,
        };
        [
            site("HTTP/1.1", url(clear), String::new(), Some(process)),
            site("HTTP/2 over TLS", format!("https://{tls}"), trusted, None),
        ]
    }

    fn start(&self, name: &str, mut command: Command, at: SocketAddr) -> Process {
        let log = self.folder.path().join(format!("{name}.out"));
        let out = fs::File::create(&log).expect("a file");
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("a file")).stderr(out);
        let process = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let process = Process(process);
        let said = || read(&log) + &read(&self.folder.path().join(format!("{name}.log")));
        eventually(&format!("{name} listens"), || TcpStream::connect(at).is_ok(), said);
        process
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// One that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound")
}
