//! `cargo xtask load`: the XDP program on an interface, its counters live, and gone without a trace.

use std::net::UdpSocket;
use std::process::{Child, Command, Output, Stdio};

use edge_wire::Reason;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::fleet::programs;

use super::steering_lifecycle::pair::{self, Pair, eventually, xdp};

/// Starts it in the near namespace.
fn start(pair: &Pair, arguments: &[&str]) -> Child {
    pair.near(|| {
        Command::new(programs::load())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    })
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// The one line that it printed, where it ended well and left nothing on the interface.
fn summary(pair: &Pair, output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let summary: Value = serde_json::from_str(printed).expect("JSON");
    assert_eq!((&summary["interface"], &summary["mode"]), (&"near".into(), &"native".into()));
    let packets = summary["packets"].as_object().expect("counters");
    assert_eq!(packets.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert!(packets[reason.name()].is_u64(), "{reason:?}");
    }
    assert!(text(&output.stderr).starts_with("steer_node runs on near; Ctrl-C ends it\n"));
    assert_eq!(pair.near(|| xdp("near")), None);
    summary
}

#[test]
fn it_ends_by_itself_after_as_many_seconds_as_it_was_told() {
    let pair = Pair::new();
    let loaded = start(&pair, &["--iface", "near", "--seconds", "1", "--json"]);
    let output = loaded.wait_with_output().expect("ended");
    let seconds = summary(&pair, &output)["seconds"].as_f64().expect("a number");
    assert!(seconds >= 1.0, "{seconds}");
}

#[test]
fn it_counts_what_comes_and_passes_it_until_it_is_interrupted() {
    let pair = Pair::new();
    let loaded = start(&pair, &["--iface", "near", "--json"]);
    pair.near(|| {
        eventually("it is attached", || xdp("near").is_some_and(|program| program.is_native));
        let receiver = UdpSocket::bind((pair::NEAR_IPV4, 443)).expect("bound");
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("set");
        pair.far(|| {
            let sender = UdpSocket::bind((pair::FAR_IPV4, 4711)).expect("bound");
            sender.send_to(&[0x40; 30], (pair::NEAR_IPV4, 443)).expect("sent");
        });
        receiver.recv(&mut [0; 64]).expect("passed on");
    });
    kill(Pid::from_raw(loaded.id() as i32), Signal::SIGINT).expect("ours");
    let output = loaded.wait_with_output().expect("ended");
    assert_eq!(summary(&pair, &output)["packets"][Reason::NewConnection.name()], 1);
}

#[test]
fn an_interface_that_is_not_there_is_an_error_that_says_where_to_look() {
    let pair = Pair::new();
    let output = start(&pair, &["--iface", "absent", "--seconds", "1", "--json"])
        .wait_with_output()
        .expect("ended");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "error: no interface is named absent: `ip link` lists them\n");
    assert_eq!(text(&output.stdout), "");
}
