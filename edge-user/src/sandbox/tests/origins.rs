//! Origins that a confined process asks, and those that it cannot.

use std::net::IpAddr;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::config::origins::{HostSent, OriginTls, Protocol, Server, ServerHost, Timeouts};

fn origin(host: &str, port: u16, tls: Option<OriginTls>) -> Origin {
    let host = match host.parse::<IpAddr>() {
        Ok(address) => ServerHost::Address(address),
        Err(_) => ServerHost::Name(host.into()),
    };
    let minute = Duration::from_secs(60);
    Origin {
        name: "app".into(),
        servers: vec![Server { host, port }],
        protocol: Protocol::Auto,
        host: HostSent::Kept,
        tls,
        timeouts: Timeouts { connect: minute, response: minute, idle: minute, total: None },
        max_connections: 1,
        keep_alive: minute,
        health: None,
        max_failures: 0,
        eject: minute,
    }
}

fn tls(ca: Option<PathBuf>) -> Option<OriginTls> {
    Some(OriginTls { server_name: None, ca, verify: true })
}

fn confined_with(origins: Vec<Origin>, work: impl FnOnce() + Send + 'static) {
    confined_by(|config| config.origins = origins, work);
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

#[test]
fn tcp_leads_to_the_ports_of_origins_and_a_reload_adds_none() {
    let ((_server, port), (_other, elsewhere)) = (listen(), listen());
    let asked = origin("127.0.0.1", port, None);
    confined_with(vec![asked.clone()], move || {
        TcpStream::connect(("127.0.0.1", port)).expect("the origin");
        let error = TcpStream::connect(("127.0.0.1", elsewhere)).expect_err("somebody else");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(check_reach(std::slice::from_ref(&asked)), Ok(()));
        // Landlock knows no addresses.
        assert_eq!(check_reach(&[origin("2001:db8::7", port, None)]), Ok(()));
        let other = origin("127.0.0.1", elsewhere, None);
        let refused = check_reach(&[asked, other]).expect_err("not since the start");
        assert_eq!(refused, OutOfReach::Port("app".into(), elsewhere));
        assert!(refused.to_string().contains("restart it"), "{refused}");
    });
}

#[test]
fn a_process_that_is_not_confined_reaches_every_origin() {
    on_a_thread(|| {
        let named = origin("app.internal.example", 65_535, tls(None));
        assert_eq!(check_reach(&[named, origin("192.0.2.7", 1, None)]), Ok(()));
    });
}

#[test]
fn the_name_of_an_origin_is_looked_up_where_there_was_one_at_the_start() {
    let (_server, port) = listen();
    confined_with(vec![origin("localhost", port, None)], move || {
        TcpStream::connect(("localhost", port)).expect("by its name");
        // A long answer of a resolver comes by TCP. There is none here, or it takes us.
        let by_tcp = TcpStream::connect(("127.0.0.1", 53)).map_err(|error| error.kind());
        assert_ne!(by_tcp.err(), Some(ErrorKind::PermissionDenied));
        assert_eq!(check_reach(&[origin("other.example", port, None)]), Ok(()));
    });
    confined_with(vec![origin("127.0.0.1", port, None)], move || {
        let refused = check_reach(&[origin("other.example", port, None)]).expect_err("no names");
        assert_eq!(refused, OutOfReach::Name("app".into(), "other.example".into()));
        let by_tcp = TcpStream::connect(("127.0.0.1", 53)).expect_err("no resolver either");
        assert_eq!(by_tcp.kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn authorities_of_an_origin_are_read_again_from_the_directory_of_the_start() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let (ca, renewed, elsewhere) = (path("etc/ca.pem"), path("etc/new"), path("elsewhere/ca.pem"));
    fs::write(&ca, "old").expect("written");
    fs::write(&elsewhere, "other").expect("written");
    // Whoever renews it is not confined.
    let (due, told) = mpsc::channel();
    let (done, heard) = mpsc::channel();
    let place = ca.clone();
    let renewal = std::thread::spawn(move || {
        if told.recv().is_ok() {
            fs::write(&renewed, "new").expect("written");
            fs::rename(&renewed, &place).expect("renamed");
            done.send(()).expect("waited for");
        }
    });
    let asked = origin("127.0.0.1", 443, tls(Some(ca.clone())));
    confined_with(vec![asked.clone()], move || {
        assert_eq!(fs::read(&ca).expect("readable"), b"old");
        fs::write(&ca, "x").expect_err("not to be written");
        due.send(()).expect("heard");
        heard.recv().expect("renewed");
        assert_eq!(fs::read(&ca).expect("readable"), b"new");
        assert_eq!(check_reach(&[asked]), Ok(()));
        let other = origin("127.0.0.1", 443, tls(Some(elsewhere.clone())));
        let refused = check_reach(&[other]).expect_err("another directory");
        assert_eq!(refused, OutOfReach::Ca("app".into(), elsewhere));
    });
    renewal.join().expect("no panic");
}

#[test]
fn the_systems_authorities_are_read_where_an_origin_was_believed_by_them_at_the_start() {
    if !reach::of_the_system().iter().any(|path| path.exists()) {
        eprintln!("this system has no authorities: nothing to show");
        return;
    }
    let directory = directory();
    let ca = directory.path().join("etc/ca.pem");
    fs::write(&ca, "ours").expect("written");
    let ours = origin("127.0.0.1", 443, tls(Some(ca)));
    let by_system = origin("127.0.0.1", 443, tls(None));
    let also = by_system.clone();
    confined_with(vec![by_system], move || assert_eq!(check_reach(&[also]), Ok(())));
    confined_with(vec![ours], || {
        let by_system = origin("127.0.0.1", 443, tls(None));
        let refused = check_reach(&[by_system]).expect_err("never read");
        assert_eq!(refused, OutOfReach::Authorities("app".into()));
    });
}
