//! From what the file says to what may be relied on. Every mistake is noted, none ends the check.

mod addresses;
mod admission;
mod certificates;
mod coalescing;
mod controller;
mod nodes;

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use ::distributions::Served;
use settings::problem::suggestion;
use settings::{Checked, Problem, Text};

use self::controller::{Fleet, TcpDefaults};
use super::file::{self, File};
use super::{
    AccessLogConfig, Admin, Config, Host, Listen, LogFormat, QuicConfig, SteeringConfig,
    SteeringMode,
};
use crate::limits;

/// The mistakes found so far: what any file's values have to be, and beside it what ours have to.
#[derive(Default)]
struct Check(settings::Check);

impl Deref for Check {
    type Target = settings::Check;

    fn deref(&self) -> &settings::Check {
        &self.0
    }
}

impl DerefMut for Check {
    fn deref_mut(&mut self) -> &mut settings::Check {
        &mut self.0
    }
}

/// Checks `file` against `host`.
pub(super) fn check(file: &File, host: &Host) -> Result<Config, Vec<Problem>> {
    let mut check = Check::default();
    let controller = file.controller.as_ref().map(|table| check.controller(table));
    let steering = check.steering(&file.steering);
    let listen = check.listen(&file.listen, TcpDefaults::of(file), steering.as_ref(), host);
    let fleet = check.fleet(file);
    let tls = check.tls(file);
    let admin = check.admin(&file.admin);
    let log = file.log.check(&mut check);
    let access_log = file.access_log.as_ref().map(|table| check.access_log(table));
    let quic = check.quic(&file.quic);
    let admission = check.admission(&file.admission);
    let (distributions, origins) = (file.distributions.as_ref(), file.origins.as_ref());
    let served = ::distributions::check(&mut check, distributions, origins);
    // A controller has distributions of its own, which are not here.
    let known = served.as_ref().filter(|_| file.controller.is_none());
    let known = known.map(|served| &served.distributions[..]);
    let coalescing = check.coalescing(&file.coalescing, known);
    let drain = check.seconds(
        &file.drain_seconds,
        "drain_seconds",
        Duration::ZERO..=limits::MAX_DRAIN,
        limits::DEFAULT_DRAIN,
    );
    let state_directory =
        check.path_or(&file.state_directory, "state_directory", &host.state_directory);
    check.ports(&file.listen, listen.as_ref(), &file.steering, steering.as_ref());
    let whole = move || {
        let Fleet { node, site, nodes, fleet_file } = fleet?;
        let Served { distributions, origins } = served?;
        Some(Config {
            file: PathBuf::new(), // known to whoever read it
            node,
            site,
            nodes,
            controller: match controller {
                None => None,
                Some(controller) => Some(controller?),
            },
            listen: listen?,
            steering: steering?,
            tls: tls?,
            fleet_file,
            state_directory: state_directory?,
            admin: admin?,
            drain: drain?,
            log: log?,
            access_log: match access_log {
                None => None,
                Some(access_log) => Some(access_log?),
            },
            quic: quic?,
            admission: admission?,
            distributions,
            origins,
            coalescing: coalescing?,
        })
    };
    check.0.finish(whole())
}

impl Check {
    fn listen(
        &mut self,
        listen: &file::Listen,
        unless_said: TcpDefaults,
        steering: Option<&SteeringConfig>,
        host: &Host,
    ) -> Checked<Listen> {
        let anycast = self.anycast(&listen.anycast);
        let port = self.number_or(&listen.port, "port", 1..=u16::MAX, limits::DEFAULT_PORT);
        let workers = self.number_or(&listen.workers, "workers", 0..=limits::MAX_WORKERS, 0);
        let interfaces = self.interfaces(listen, steering, host);
        let workers = workers.map(|workers| if workers == 0 { host.cores } else { workers });
        let tcp = listen.tcp.unwrap_or(unless_said.tcp);
        let http_port = self.http_port(listen, unless_said, port.filter(|_| tcp));
        Some(Listen {
            anycast: anycast?,
            port: port?,
            tcp,
            http_port: http_port?,
            interfaces: interfaces?,
            workers: workers?,
        })
    }

    fn interfaces(
        &mut self,
        listen: &file::Listen,
        steering: Option<&SteeringConfig>,
        host: &Host,
    ) -> Checked<Vec<String>> {
        let names = listen.interfaces.as_ref().map_or(&[][..], |names| names.get_ref());
        let span = listen.interfaces.as_ref().map_or(listen.anycast.span(), toml::Spanned::span);
        let attaches = |steering: &SteeringConfig| {
            matches!(steering.mode, SteeringMode::Native | SteeringMode::Generic)
        };
        if names.is_empty() && steering.is_some_and(attaches) {
            self.refuse(
                Problem::new("steering with XDP needs an interface to attach to")
                    .at(span, "no `interfaces` in [listen]")
                    .help("name the uplinks, as in interfaces = [\"eth0\"], or set steering.mode = \"user-space\""),
            );
            return None;
        }
        if names.len() > limits::MAX_INTERFACES {
            let most = limits::MAX_INTERFACES;
            self.refuse(
                Problem::new(format!("{} interfaces: at most {most} are possible", names.len()))
                    .at(span, "too many"),
            );
            return None;
        }
        let checked: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(place, name)| self.interface(name, &names[..place], host))
            .collect();
        checked.into_iter().collect()
    }

    fn interface(&mut self, name: &Text, earlier: &[Text], host: &Host) -> Checked<String> {
        let (span, name) = (name.span(), name.get_ref());
        if name.is_empty() || name.len() > limits::MAX_INTERFACE_NAME_BYTES {
            self.refuse(
                Problem::new("an interface has a name of 1 to 15 bytes").at(span, "not a name"),
            );
            return None;
        }
        if let Some(first) = earlier.iter().find(|other| other.get_ref() == name) {
            self.refuse(
                Problem::new(format!("the interface {name} is named twice"))
                    .at(first.span(), "here")
                    .at(span, "and here")
                    .help("remove one"),
            );
            return None;
        }
        if let Some(known) = &host.interfaces
            && !known.contains(name)
        {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            self.refuse(
                Problem::new(format!("there is no interface {name} on this host"))
                    .at(span, "unknown interface")
                    .help(format!("{}; `ip link` lists them", suggestion(name, &known))),
            );
            return None;
        }
        Some(name.clone())
    }

    fn steering(&mut self, steering: &file::Steering) -> Checked<SteeringConfig> {
        let modes = [
            ("native", SteeringMode::Native),
            ("generic", SteeringMode::Generic),
            ("user-space", SteeringMode::UserSpace),
            ("off", SteeringMode::Off),
        ];
        let mode = self.word(&steering.mode, "mode", &modes, SteeringMode::Native);
        let directory = "/sys/fs/bpf/landfast".as_ref();
        let pin_directory = self.path_or(&steering.pin_directory, "pin_directory", directory);
        let encapsulation_port = self.number_or(
            &steering.encapsulation_port,
            "encapsulation_port",
            1..=u16::MAX,
            limits::DEFAULT_ENCAPSULATION_PORT,
        );
        Some(SteeringConfig {
            mode: mode?,
            pin_directory: pin_directory?,
            encapsulation_port: encapsulation_port?,
        })
    }

    /// The port of the encapsulation and that of QUIC are told apart by number alone.
    fn ports(
        &mut self,
        listen: &file::Listen,
        checked_listen: Option<&Listen>,
        steering: &file::Steering,
        checked_steering: Option<&SteeringConfig>,
    ) {
        let (Some(quic), Some(encapsulation)) = (checked_listen, checked_steering) else { return };
        if quic.port != encapsulation.encapsulation_port {
            return;
        }
        let places = [
            (&steering.encapsulation_port, "packets of nodes"),
            (&listen.port, "packets of clients"),
        ];
        let problem = Problem::new(format!(
            "port {} is both encapsulation_port and the port of QUIC",
            quic.port
        ));
        let problem = places.into_iter().fold(problem, |problem, (port, label)| match port {
            Some(port) => problem.at(port.span(), label),
            None => problem,
        });
        self.refuse(problem.help("give encapsulation_port another number, on every node the same"));
    }

    fn admin(&mut self, admin: &file::Admin) -> Checked<Admin> {
        let listen = match &admin.listen {
            None => Some(SocketAddr::from(([127, 0, 0, 1], 9443))),
            Some(text) => self.socket_address(text),
        };
        let socket = self.path_or(&admin.socket, "socket", "/run/landfast/admin.sock".as_ref());
        Some(Admin { listen: listen?, socket: socket? })
    }

    fn socket_address(&mut self, text: &Text) -> Checked<SocketAddr> {
        match text.get_ref().parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => return Some(address),
            Ok(_) => self
                .refuse(Problem::new("port 0 is no port to listen on").at(text.span(), "port 0")),
            Err(_) => self.refuse(
                Problem::new(format!("`{}` is not an address with a port", text.get_ref()))
                    .at(text.span(), "not an address")
                    .help("as in \"127.0.0.1:9443\" or \"[::1]:9443\""),
            ),
        }
        None
    }

    fn access_log(&mut self, log: &file::AccessLog) -> Checked<AccessLogConfig> {
        let words = [("json", LogFormat::Json), ("text", LogFormat::Text)];
        let format = self.word(&log.format, "format", &words, LogFormat::Json);
        Some(AccessLogConfig { path: self.path(&log.path, "path")?, format: format? })
    }

    fn quic(&mut self, quic: &file::Quic) -> Checked<QuicConfig> {
        let max_connections = self.number_or(
            &quic.max_connections,
            "max_connections",
            1..=limits::MAX_CONNECTIONS,
            limits::DEFAULT_MAX_CONNECTIONS,
        );
        let retry_threshold = self.number_or(
            &quic.retry_threshold,
            "retry_threshold",
            0..=limits::MAX_CONNECTIONS,
            limits::DEFAULT_RETRY_THRESHOLD,
        );
        let idle_timeout = self.seconds(
            &quic.idle_timeout_seconds,
            "idle_timeout_seconds",
            Duration::from_secs(1)..=limits::MAX_IDLE_TIMEOUT,
            limits::DEFAULT_IDLE_TIMEOUT,
        );
        let connection_id_lifetime = self.seconds(
            &quic.connection_id_lifetime_seconds,
            "connection_id_lifetime_seconds",
            Duration::from_secs(1)..=limits::CONNECTION_ID_ROTATION,
            limits::DEFAULT_CONNECTION_ID_LIFETIME,
        );
        Some(QuicConfig {
            max_connections: max_connections?,
            retry_threshold: retry_threshold?,
            idle_timeout: idle_timeout?,
            connection_id_lifetime: connection_id_lifetime?,
        })
    }
}
