//! What a machine needs beside Rust: how it is seen to be there, and how it is installed.
//!
//! Nothing is installed that is there already, so a second call is silent, quick and needs no
//! network. All that is missing is said before the first of it is installed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{debian, process};

/// A package of Debian's, and the sign that it is there.
pub(crate) struct Package {
    name: &'static str,
    why: &'static str,
    present: fn() -> bool,
}

/// A package of Debian's of which one program is wanted. It is unpacked below `target/`, because
/// to install it would start a service.
pub(crate) struct Unpacked {
    name: &'static str,
    program: &'static str,
    why: &'static str,
}

/// Network namespaces, virtual links and routes.
pub(crate) const IPROUTE: Package = Package {
    name: "iproute2",
    why: "network namespaces and routes",
    present: || process::find("ip").is_some(),
};
/// Offloads of virtual links.
pub(crate) const ETHTOOL: Package = Package {
    name: "ethtool",
    why: "offloads of virtual links",
    present: || process::find("ethtool").is_some(),
};
/// An HTTP/3 client that nobody of this project wrote.
pub(crate) const GTLSCLIENT: Package = Package {
    name: "ngtcp2-client",
    why: "the HTTP/3 client gtlsclient",
    present: || process::find("gtlsclient").is_some(),
};
/// A routing daemon that nobody of this project wrote.
pub(crate) const BIRD: Package = Package {
    name: "bird2",
    why: "a router that speaks BGP (Debian starts it as a service too, which is not needed)",
    present: || process::find("bird").is_some(),
};
/// A client of HTTP/1.1 and HTTP/2, in clear and by TLS, that nobody of this project wrote.
pub(crate) const CURL: Package = Package {
    name: "curl",
    why: "a client of HTTP/1.1 and HTTP/2",
    present: || process::find("curl").is_some(),
};
/// Another one, with many connections and streams.
pub(crate) const NGHTTP2: Package = Package {
    name: "nghttp2-client",
    why: "the HTTP/2 clients nghttp and h2load",
    present: || process::find("h2load").is_some(),
};
/// A browser that goes by ORIGIN frames over HTTP/2.
pub(crate) const FIREFOX: Package = Package {
    name: "firefox-esr",
    why: "a browser that takes one connection for several names over HTTP/2",
    present: || process::find("firefox-esr").is_some(),
};
/// A browser that goes by ORIGIN frames over HTTP/3.
pub(crate) const CHROMIUM: Package = Package {
    name: "chromium",
    why: "a browser that takes one connection for several names over HTTP/3",
    present: || process::find("chromium").is_some(),
};
/// Writes the file in which Firefox keeps the authorities that it trusts.
pub(crate) const NSS_TOOLS: Package = Package {
    name: "libnss3-tools",
    why: "certutil, which has Firefox trust a certificate authority of tests",
    present: || process::find("certutil").is_some(),
};
/// A certificate authority for tests that nobody of this project wrote.
pub(crate) const PEBBLE: Package = Package {
    name: "pebble",
    why: "a certificate authority that speaks ACME",
    present: || process::find("pebble").is_some(),
};
/// Reads rules of alerts as Prometheus does.
pub(crate) const PROMTOOL: Unpacked =
    Unpacked { name: "prometheus", program: "promtool", why: "the check of alerts by promtool" };
/// A server of HTTP/2, and a proxy, that is well known.
pub(crate) const NGINX: Unpacked =
    Unpacked { name: "nginx", program: "nginx", why: "the server and proxy that many have" };
/// A server of HTTP/3 that is well known.
pub(crate) const CADDY: Package = Package {
    name: "caddy",
    why: "the server that most will compare with (its package starts a service of its own)",
    present: || process::find("caddy").is_some(),
};
/// The same, where no service is to start.
pub(crate) const CADDY_ALONE: Unpacked =
    Unpacked { name: "caddy", program: "caddy", why: "an origin that many have" };
/// A client of HTTP/1.1, with many connections.
pub(crate) const WRK: Package = Package {
    name: "wrk",
    why: "a client of HTTP/1.1 with many connections",
    present: || process::find("wrk").is_some(),
};
/// A machine for kernels that this host does not run.
pub(crate) const QEMU: Package = Package {
    name: "qemu-system-x86",
    why: "a virtual machine for Debian's kernels",
    present: || process::find("qemu-system-x86_64").is_some(),
};
/// The shell and `mount` of that machine, in one file without libraries.
pub(crate) const BUSYBOX: Package = Package {
    name: "busybox-static",
    why: "the shell in that machine",
    present: || process::find("busybox").is_some(),
};
/// Finds the modules that a module needs, and loads them.
pub(crate) const KMOD: Package = Package {
    name: "kmod",
    why: "the modules of Debian's kernels",
    present: || process::find("depmod").is_some(),
};
/// Packs a machine's first file system, as initramfs-tools does for every kernel of Debian's.
pub(crate) const CPIO: Package = Package {
    name: "cpio",
    why: "the file system of that machine",
    present: || process::find("cpio").is_some(),
};
/// Python's own environments: Debian splits them off.
const PYTHON_VENV: Package = Package {
    name: "python3-venv",
    why: "an environment for the HTTP/3 clients from PyPI",
    present: || {
        process::succeeds(process::command("python3").args(["-c", "import ensurepip, venv"]))
    },
};

/// What a verb needs.
#[derive(Default)]
pub(crate) struct Needs {
    /// Packages of Debian's.
    pub(crate) packages: Vec<Package>,
    /// Packages of Debian's that are not installed.
    pub(crate) unpacked: Vec<Unpacked>,
    /// The clients of `tests/clients/requirements.txt`, in `.venv`.
    pub(crate) clients: bool,
    /// A bpf file system, where programs and maps are pinned.
    pub(crate) bpf_file_system: bool,
}

/// Installs what is missing of `needs`, and says so first.
///
/// # Errors
/// Where root is needed and we are not root: with the command to type. Where installing fails.
pub(crate) fn satisfy(mut needs: Needs) -> Result<()> {
    needs.clients &= !clients_current();
    needs.bpf_file_system &= !bpf_file_system_mounted();
    if needs.clients {
        needs.packages.push(PYTHON_VENV);
    }
    needs.packages.retain(|package| !(package.present)());
    needs.unpacked.retain(|package| package.find().is_none());

    announce(&needs);
    if !needs.packages.is_empty() {
        install_packages(&needs.packages)?;
    }
    for package in &needs.unpacked {
        debian::unpack(package.name, &package.tree(), |_| Ok(()))?;
    }
    if needs.clients {
        install_clients()?;
    }
    if needs.bpf_file_system {
        mount_bpf_file_system()?;
    }
    Ok(())
}

impl Unpacked {
    /// The program: one that is installed, or that of the unpacked package.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let unpacked = ["usr/bin", "usr/sbin"].map(|bin| self.tree().join(bin).join(self.program));
        process::find(self.program).or_else(|| unpacked.into_iter().find(|file| file.is_file()))
    }

    fn tree(&self) -> PathBuf {
        process::root().join(UNPACKED).join(self.name)
    }
}

const UNPACKED: &str = "target/debian";

/// Python with the clients of `tests/clients/requirements.txt`.
pub(crate) fn python() -> PathBuf {
    environment().join("bin/python")
}

fn announce(needs: &Needs) {
    for package in &needs.packages {
        eprintln!("to install: Debian's {}, for {}", package.name, package.why);
    }
    for package in &needs.unpacked {
        let Unpacked { name, why, .. } = package;
        eprintln!("to unpack, not to install: Debian's {name} into {UNPACKED}/{name}, for {why}");
    }
    if needs.clients {
        eprintln!("to install: {REQUIREMENTS} from PyPI into .venv, for clients and origins");
    }
    if needs.bpf_file_system {
        eprintln!("to mount: a bpf file system on {BPF_FILE_SYSTEM}, for pinned programs");
    }
}

fn install_packages(packages: &[Package]) -> Result<()> {
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    install(&names)
}

/// Installs packages of Debian's. The caller has said so.
///
/// # Errors
/// Without root: with the command to type. Where installing fails.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    let line = format!("apt-get install --no-install-recommends {}", names.join(" "));
    ensure!(process::is_root(), "packages are missing; as root: {line}");
    let apt = || {
        let mut apt = process::command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    process::complete(apt().args(["update", "-qq"]))?;
    process::complete(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(names))
        .with_context(|| format!("not installed; by hand: {line}"))
}

const REQUIREMENTS: &str = "tests/clients/requirements.txt";

fn environment() -> PathBuf {
    process::root().join(".venv")
}

/// The requirements as they were installed; beside the environment's own files, so that an
/// environment which somebody removes takes its mark with it.
fn mark() -> PathBuf {
    environment().join("installed-requirements.txt")
}

fn clients_current() -> bool {
    let wanted = fs::read(process::root().join(REQUIREMENTS));
    matches!((wanted, fs::read(mark())), (Ok(wanted), Ok(installed)) if wanted == installed)
}

fn install_clients() -> Result<()> {
    process::complete(process::command("python3").args(["-m", "venv", "--clear", ".venv"]))?;
    let mut pip = process::command(python());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    process::complete(pip.args(["--only-binary", ":all:", "--requirement", REQUIREMENTS]))?;
    fs::copy(process::root().join(REQUIREMENTS), mark()).context("cannot mark .venv as whole")?;
    Ok(())
}

const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";

fn bpf_file_system_mounted() -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(BPF_FILE_SYSTEM))
}

fn mount_bpf_file_system() -> Result<()> {
    let line = format!("mount -t bpf bpf {BPF_FILE_SYSTEM}");
    ensure!(process::is_root(), "no bpf file system; as root: {line}");
    process::complete(process::command("mount").args(["-t", "bpf", "bpf", BPF_FILE_SYSTEM]))
}
