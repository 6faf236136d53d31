//! What a service manager is told (sd_notify(3)), from the start to the stop.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;

use super::{Edge, WITHIN};

/// The next message, as variables, that is not a sign of life; and how many of these came before.
pub(super) fn next(manager: &UnixDatagram) -> (BTreeMap<String, String>, usize) {
    let mut signs_of_life = 0;
    loop {
        let mut message = [0; 1024];
        let length = manager.recv(&mut message).expect("a message in time");
        let text = std::str::from_utf8(&message[..length]).expect("text");
        let variable = |line: &str| {
            let (name, value) = line.split_once('=').expect("a variable a line");
            (name.to_owned(), value.to_owned())
        };
        let message: BTreeMap<_, _> = text.lines().map(variable).collect();
        if message.contains_key("WATCHDOG") {
            signs_of_life += 1;
        } else {
            return (message, signs_of_life);
        }
    }
}

/// What the message says under `names`.
pub(super) fn said<'a>(message: &'a BTreeMap<String, String>, names: &[&str]) -> Vec<&'a str> {
    names.iter().filter_map(|name| message.get(*name)).map(String::as_str).collect()
}

#[test]
fn the_service_manager_is_told_of_each_step_and_that_the_workers_live() {
    let mut edge = Edge::new();
    let path = edge.path("notify");
    let manager = UnixDatagram::bind(&path).expect("bound");
    manager.set_read_timeout(Some(WITHIN)).expect("not zero");
    edge.start_with(&[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "100000")]);
    let (ready, _) = next(&manager);
    assert_eq!(said(&ready, &["READY", "STATUS"]), ["1", "serving"], "{}", edge.log());

    // Once it was alive, it is asked to reload.
    let sign = manager.recv(&mut [0; 64]).expect("a sign of life");
    assert_eq!(sign, "WATCHDOG=1\n".len());
    edge.signal(Signal::SIGHUP);
    let (reloading, _) = next(&manager);
    assert_eq!(said(&reloading, &["RELOADING"]), ["1"]);
    let since = said(&reloading, &["MONOTONIC_USEC"])[0].parse::<u64>();
    assert!(since.is_ok_and(|microseconds| microseconds > 0));
    let (ready, _) = next(&manager);
    assert_eq!(said(&ready, &["READY", "STATUS"]), ["1", "serving"]);

    edge.signal(Signal::SIGTERM);
    let (stopping, _) = next(&manager);
    assert_eq!(said(&stopping, &["STOPPING", "STATUS"]), ["1", "draining"]);
    let patience = said(&stopping, &["EXTEND_TIMEOUT_USEC"])[0].parse::<u64>().expect("a number");
    assert!(patience > 20_000_000, "longer than the drain: {patience}");
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
}
