//! Two network namespaces joined by a veth pair: `near`, where the edge would run, and `far`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use edge_user::config::{
    Admin, AdmissionConfig, Config, Listen, Liveness, Log, LogFormat, NodeConfig, QuicConfig,
    SteeringConfig, SteeringMode, TlsConfig, TlsFiles, UnknownNames,
};
use edge_user::netlink::{self, XdpProgram};
use fleet_wire::secrets::Secrets;
use tests::credentials;
use tests::fleet::namespace::{BedName, Namespace, ip_batch, mount_bpffs, remove_namespaces};

pub(crate) const NEAR_IPV4: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
pub(crate) const FAR_IPV4: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
pub(crate) const NEAR_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const FAR_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// The config of connection IDs that mints, in clear.
pub(crate) const CONFIG_ID: u8 = 1;

/// The namespaces, gone when it is dropped.
pub(crate) struct Pair {
    name: BedName,
    near: Namespace,
    far: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        mount_bpffs().expect("mounted");
        let name = BedName::unique();
        let (near, far) = (name.namespace("near"), name.namespace("far"));
        [&near, &far].into_iter().for_each(|namespace| namespace.add().expect("made"));
        let pair = Self { name, near, far };
        pair.add_devices();
        pair
    }

    pub(super) fn add_devices(&self) {
        let [near, far] = [self.near.name(), self.far.name()];
        ip(&format!("link add near netns {near} type veth peer name far netns {far}"));
        let sides =
            [(&self.near, "near", NEAR_IPV4, NEAR_IPV6), (&self.far, "far", FAR_IPV4, FAR_IPV6)];
        for (namespace, device, ipv4, ipv6) in sides {
            let lines = format!(
                "addr add {ipv4}/24 dev {device}\naddr add {ipv6}/64 dev {device} nodad\n\
                 link set lo up\nlink set {device} up\n"
            );
            namespace.ip(&lines).expect("configured");
        }
    }

    /// New devices under the old names, as a driver makes them that is loaded again.
    pub(crate) fn replace_devices(&self) {
        self.near(|| ip("link del near"));
        self.add_devices();
    }

    /// The name of the far namespace.
    pub(crate) fn far_name(&self) -> &str {
        self.far.name()
    }

    pub(crate) fn near<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.near.enter(work)
    }

    pub(crate) fn far<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.far.enter(work)
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.name.pin_directory("near")
    }

    /// Node 1 is near, node 2 is far.
    pub(crate) fn config(&self) -> Config {
        let node = |id, name: &str, ipv4, ipv6| NodeConfig {
            id,
            name: name.into(),
            site: "here".into(),
            ipv4: Some(ipv4),
            ipv6: Some(ipv6),
            liveness: Liveness::Live,
        };
        Config {
            file: "edge.toml".into(),
            node: 1,
            site: "here".into(),
            nodes: vec![node(1, "near", NEAR_IPV4, NEAR_IPV6), node(2, "far", FAR_IPV4, FAR_IPV6)],
            controller: None,
            access_log: None,
            listen: Listen {
                anycast: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
                port: 443,
                tcp: false,
                http_port: None,
                interfaces: vec!["near".into()],
                workers: 2,
            },
            steering: SteeringConfig {
                mode: SteeringMode::Native,
                pin_directory: self.pins(),
                encapsulation_port: 7842,
            },
            tls: TlsConfig {
                default: Some(TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into() }),
                more: Vec::new(),
                unknown_names: UnknownNames::Default,
            },
            fleet_file: Some("fleet.toml".into()),
            state_directory: "state".into(),
            admin: Admin { listen: (Ipv4Addr::LOCALHOST, 0).into(), socket: "socket".into() },
            drain: Duration::from_secs(1),
            log: Log { format: LogFormat::Text, level: tracing::Level::INFO },
            quic: QuicConfig {
                max_connections: 100,
                retry_threshold: 10,
                idle_timeout: Duration::from_secs(30),
                connection_id_lifetime: Duration::from_secs(3600),
            },
            admission: AdmissionConfig::default(),
            distributions: Vec::new(),
            origins: Vec::new(),
            coalescing: Default::default(),
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.pins()); // where anything was pinned
        remove_namespaces(&[self.near.clone(), self.far.clone()]);
    }
}

/// Two configs of connection IDs, of which [`CONFIG_ID`] mints.
pub(crate) fn secrets() -> Secrets {
    credentials::secrets(CONFIG_ID)
}

/// Runs a line of `ip` in the namespace of the calling thread.
pub(crate) fn ip(line: &str) {
    ip_batch(line).unwrap_or_else(|error| panic!("{error:#}"));
}

/// The XDP program on a device of the calling thread's namespace.
pub(crate) fn xdp(interface: &str) -> Option<XdpProgram> {
    let links = netlink::ask(async |handle| netlink::links(&handle).await).expect("netlink");
    links.into_iter().find(|link| link.name == interface)?.xdp
}

/// Waits until `holds`, for at most ten seconds.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    tests::fleet::eventually(what, Duration::from_secs(10), holds)
        .unwrap_or_else(|error| panic!("{error:#}"));
}
