//! Two network namespaces joined by a veth pair: `near`, where the edge would run, and `far`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use edge_user::config::{
    Admin, AdmissionConfig, Config, Listen, Liveness, Log, LogFormat, NodeConfig, QuicConfig,
    SteeringConfig, SteeringMode, TlsFiles,
};
use edge_user::fleet::{EncapsulationSecret, Rotating, Secrets};
use edge_user::netlink::{self, XdpProgram};
use edge_wire::cid::DEFAULT_LEN;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use tests::credentials::id_config;

pub(super) const NEAR_IPV4: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
pub(super) const FAR_IPV4: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
pub(super) const NEAR_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub(super) const FAR_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

const BPF: &str = "/sys/fs/bpf";

/// The namespaces, gone when it is dropped.
pub(super) struct Pair {
    name: String,
}

impl Pair {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pair = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lfh-{}-{pair}", std::process::id());
        if statfs(BPF).is_ok_and(|found| found.filesystem_type() != BPF_FS_MAGIC) {
            mount(Some("bpf"), BPF, Some("bpf"), MsFlags::empty(), None::<&str>).expect("mounted");
        }
        let pair = Self { name };
        for side in ["near", "far"] {
            ip(&format!("netns add {}-{side}", pair.name));
        }
        pair.add_devices();
        pair
    }

    fn add_devices(&self) {
        let Self { name } = self;
        ip(&format!("link add near netns {name}-near type veth peer name far netns {name}-far"));
        for (side, ipv4, ipv6) in [("near", NEAR_IPV4, NEAR_IPV6), ("far", FAR_IPV4, FAR_IPV6)] {
            self.inside(side, || {
                ip(&format!("addr add {ipv4}/24 dev {side}"));
                ip(&format!("addr add {ipv6}/64 dev {side} nodad"));
                ip("link set lo up");
                ip(&format!("link set {side} up"));
            });
        }
    }

    /// New devices under the old names, as a driver makes them that is loaded again.
    pub(super) fn replace_devices(&self) {
        self.near(|| ip("link del near"));
        self.add_devices();
    }

    pub(super) fn near<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.inside("near", work)
    }

    pub(super) fn far<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.inside("far", work)
    }

    /// Runs `work` on a thread in the namespace. (`ip netns exec` would hide the BPF file system.)
    fn inside<T: Send>(&self, side: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = Path::new("/run/netns").join(format!("{}-{side}", self.name));
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let namespace = File::open(namespace).expect("made above");
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("entered");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(super) fn pins(&self) -> PathBuf {
        Path::new(BPF).join(&self.name)
    }

    /// Node 1 is near, node 2 is far.
    pub(super) fn config(&self) -> Config {
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
            listen: Listen {
                anycast: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
                port: 443,
                interfaces: vec!["near".into()],
                workers: 2,
            },
            steering: SteeringConfig {
                mode: SteeringMode::Native,
                pin_directory: self.pins(),
                encapsulation_port: 7842,
            },
            tls: TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into() },
            fleet_file: "fleet.toml".into(),
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
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.pins()); // where anything was pinned
        for side in ["near", "far"] {
            let namespace = format!("{}-{side}", self.name);
            let _ = Command::new("ip").args(["netns", "del", &namespace]).status(); // best effort
        }
    }
}

/// One config of connection IDs, 2, in clear.
pub(super) fn secrets() -> Secrets {
    let rotating = Rotating { current: [1; 32], previous: None, next: None };
    Secrets {
        connection_ids: vec![id_config(2, DEFAULT_LEN, None)],
        mint: 2,
        encapsulation_keys: vec![EncapsulationSecret { key_id: 0, key: [5; 16] }],
        encapsulate_with: 0,
        tickets: rotating.clone(),
        tokens: rotating,
        worker_hash: [6; 16],
    }
}

/// Runs `ip` in the namespace of the calling thread.
pub(super) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The XDP program on a device of the calling thread's namespace.
pub(super) fn xdp(interface: &str) -> Option<XdpProgram> {
    let links = netlink::ask(async |handle| netlink::links(&handle).await).expect("netlink");
    links.into_iter().find(|link| link.name == interface)?.xdp
}

/// Waits until `holds`, for at most ten seconds.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
