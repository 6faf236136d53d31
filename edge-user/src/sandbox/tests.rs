//! Threads that give up what a process gives up.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

use tempfile::TempDir;

use super::*;
use crate::access_log::AccessLog;
use crate::config::{ControllerConfig, LogFormat, TlsFiles};
use crate::identity::file::Place;
use crate::steering::tables::samples;

mod origins;

/// Runs `work` on a thread, which keeps to itself what it gives up.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().expect("no panic")
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("made");
    for below in ["etc", "state", "elsewhere", "run"] {
        fs::create_dir(directory.path().join(below)).expect("writable");
    }
    directory
}

#[test]
fn files_are_read_and_written_only_where_the_configuration_says() {
    let own = directory();
    let directory = own.path();
    let mut config = samples::config(1);
    config.file = directory.join("etc/edge.toml");
    let fleet_file = directory.join("etc/fleet.toml");
    config.fleet_file = Some(fleet_file.clone());
    let certificate = directory.join("etc/certificate.pem");
    let key = directory.join("etc/key.pem");
    config.tls.default = Some(TlsFiles { certificate: certificate.clone(), key });
    config.state_directory = directory.join("state");
    config.admin.socket = directory.join("run/admin.sock");
    fs::write(&fleet_file, "secret").expect("written");
    // The certificate is a link, as renewal makes them.
    fs::write(directory.join("elsewhere/real.pem"), "real").expect("written");
    std::os::unix::fs::symlink("../elsewhere/real.pem", &certificate).expect("made");
    let root = directory.to_owned();
    on_a_thread(move || {
        let landlock = enter(&config, Duties::None).expect("less is always possible");
        if landlock == Landlock::None {
            eprintln!("this kernel has no Landlock: nothing to show");
            return;
        }
        assert_eq!(fs::read(&fleet_file).expect("readable"), b"secret");
        assert_eq!(fs::read(&certificate).expect("readable"), b"real");
        fs::write(root.join("etc/renewed.pem"), "").expect_err("not to be written");
        fs::write(root.join("state/generation"), "1").expect("writable");
        fs::remove_file(root.join("state/generation")).expect("removable");
        for path in [root.join("new"), root.join("elsewhere/real.pem"), "/etc/hosts.x".into()] {
            let error = fs::write(&path, "x").expect_err("nowhere else");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", path.display());
        }
        let error = fs::read("/etc/passwd").expect_err("nothing to read there");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let error = std::process::Command::new("/bin/true").status().expect_err("no programs");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

/// As logrotate does it: the file is moved away, and made anew by the process.
#[test]
fn the_access_log_is_made_and_written_and_its_directory_neither_read_nor_emptied() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let (log, other) = (path("elsewhere/access.log"), path("elsewhere/other"));
    fs::write(&log, "").expect("written");
    fs::write(&other, "x").expect("written");
    let mut config = samples::config(1);
    config.state_directory = path("state");
    let access_log = |path: PathBuf| AccessLogConfig { path, format: LogFormat::Json };
    config.access_log = Some(access_log(log.clone()));
    on_a_thread(move || {
        if enter(&config, Duties::None).expect("less is always possible") == Landlock::None {
            eprintln!("this kernel has no Landlock: nothing to show");
            return;
        }
        let open = |path| AccessLog::open(&access_log(path), 1).map(drop);
        open(log.clone()).expect("written again");
        open(log.with_extension("new")).expect("made anew");
        open(log.join("../../run/access.log")).expect_err("nowhere else");
        fs::read(&other).expect_err("not to be read");
        fs::remove_file(&other).expect_err("not to be removed");
    });
}

/// A path that leads out of a root would still not be read: two locks on one door.
#[test]
fn files_to_be_served_are_read_and_nothing_beside_their_directory() {
    use crate::config::distributions::{Answer, Append, Behaviour, Files, PathPattern};
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let root = path("elsewhere");
    fs::write(root.join("a.css"), "a").expect("written");
    fs::write(path("run/secret"), "s").expect("written");
    let files =
        Files { root: root.clone(), index: None, append: Append::Path, precompressed: Vec::new() };
    let behaviour = Behaviour {
        path: PathPattern::Prefix("/".into()),
        answer: Answer::Files(files),
        request_headers: Default::default(),
        response_headers: Default::default(),
    };
    let mut config = samples::config(1);
    config.state_directory = path("state");
    config.distributions = vec![Distribution {
        names: Vec::new(),
        behaviours: vec![behaviour],
        request_headers: Default::default(),
        response_headers: Default::default(),
        request_id: None,
        server_timing: false,
    }];
    let beside = path("run");
    on_a_thread(move || {
        if enter(&config, Duties::None).expect("less is always possible") == Landlock::None {
            eprintln!("this kernel has no Landlock: nothing to show");
            return;
        }
        assert_eq!(fs::read(root.join("a.css")).expect("readable"), b"a");
        fs::write(root.join("a.css"), "b").expect_err("not to be written");
        fs::read(beside.join("secret")).expect_err("nothing beside it");
        let other = [Distribution {
            behaviours: vec![Behaviour {
                answer: Answer::Files(Files {
                    root: beside,
                    index: None,
                    append: Append::Path,
                    precompressed: Vec::new(),
                }),
                ..config.distributions[0].behaviours[0].clone()
            }],
            ..config.distributions[0].clone()
        }];
        let error = crate::proxy::Distributions::open(&other, &[])
            .expect_err("not since the start")
            .to_string();
        assert!(error.contains("restart it for another one"), "{error}");
    });
}

/// Confines a thread for a controller at these addresses, and has it `work`; not where the kernel
/// has no Landlock for the network (Linux 6.7).
fn confined(addresses: &[&str], work: impl FnOnce() + Send + 'static) {
    let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    confined_by(|config| config.controller = Some(ControllerConfig { addresses }), work);
}

/// Confines a thread by such a config, and has it `work`; not where the kernel has no Landlock for
/// the network.
fn confined_by(change: impl FnOnce(&mut Config), work: impl FnOnce() + Send + 'static) {
    let directory = directory();
    let mut config = samples::config(1);
    config.state_directory = directory.path().join("state");
    change(&mut config);
    on_a_thread(move || match enter(&config, Duties::None).expect("less is possible") {
        Landlock::Full => {
            // What the controller gives is kept.
            Place::take(&config.state_directory, true).expect("writable").give_up();
            work();
        }
        Landlock::Partial | Landlock::None => eprintln!("no such rules in this kernel"),
    });
}

/// Who takes the process over reaches no other TCP service of the host or its neighbours.
#[test]
fn tcp_leads_to_the_controller_only() {
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (controller, other) = (listen(), listen());
    let address = |listener: &TcpListener| listener.local_addr().expect("bound");
    let (to_controller, elsewhere) = (address(&controller), address(&other));
    let unreadable = || {
        let error = fs::read("/etc/nsswitch.conf").expect_err("no name, no look-up");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    };
    confined(&[&to_controller.to_string()], move || {
        TcpStream::connect(to_controller).expect("the controller");
        let error = TcpStream::connect(elsewhere).expect_err("somebody else");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let error = TcpListener::bind("127.0.0.1:0").expect_err("nor a new listener");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        unreadable();
    });
}

#[test]
fn the_name_of_a_controller_is_looked_up_and_nothing_else_is_read() {
    let controller = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = controller.local_addr().expect("bound").port();
    confined(&[&format!("localhost:{port}")], move || {
        for path in ["/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"] {
            fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        TcpStream::connect(("localhost", port)).expect("by its name");
        let error = fs::read("/etc/passwd").expect_err("nothing to read there");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn capabilities_go_and_do_not_come_back() {
    on_a_thread(|| {
        keep(&Duties::Xdp.capabilities()).expect("less is always possible");
        let held = |set| caps::read(None, set).expect("readable");
        let allowed = Duties::Xdp.capabilities();
        for set in [CapSet::Effective, CapSet::Permitted] {
            assert!(held(set).is_subset(&allowed), "{:?}", held(set));
        }
        keep_no_capability();
        for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient] {
            assert!(held(set).is_empty(), "{:?}", held(set));
        }
    });
}
