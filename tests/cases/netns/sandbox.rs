//! What a node that serves has given up: capabilities, privileges, files.

use std::fs;
use std::os::unix::fs::symlink;

use edge_wire::Reason;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, Node, Steering};

/// Bits of capabilities(7).
const NET_ADMIN: u64 = 1 << 12;
const BPF: u64 = 1 << 39;

/// A thread's name, and what the kernel says of its privileges.
struct Thread {
    name: String,
    /// Inheritable, permitted, effective, bounding and ambient capabilities.
    capabilities: [u64; 5],
    no_new_privileges: bool,
}

fn threads(node: &Node) -> Vec<Thread> {
    let process = node.process_id().expect("it runs");
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let read = |task: std::io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(task.expect("listed").path().join("status"));
        let status = status.expect("its threads do not end");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
        };
        let set = |name| u64::from_str_radix(&field(name), 16).expect("hexadecimal");
        Thread {
            name: field("Name:"),
            capabilities: ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(set),
            no_new_privileges: field("NoNewPrivs:") == "1",
        }
    };
    tasks.map(read).collect()
}

/// Workers and relay have nothing, the main thread has `kept`, and nobody can have more.
fn has_no_more_than(node: &Node, kept: u64) {
    let threads = threads(node);
    let workers = threads.iter().filter(|thread| thread.name.starts_with("worker-"));
    assert_eq!(workers.count(), 2, "both workers are looked at");
    for Thread {
        name, capabilities: [inheritable, permitted, effective, bounding, ambient], ..
    } in &threads
    {
        let held = if name == "landfast-edge" { kept } else { 0 };
        assert_eq!((*permitted, *effective), (held, held), "{name}");
        assert_eq!((*inheritable, *ambient), (0, 0), "{name}");
        assert_eq!(bounding & !kept, 0, "{name}: {bounding:x}");
    }
    assert!(threads.iter().all(|thread| thread.no_new_privileges));
}

#[test]
fn a_node_keeps_the_capabilities_it_needs_and_no_files_but_its_own() {
    let exceptions = vec![("a2", Steering::UserSpace), ("a3", Steering::Off)];
    let fleet = Fleet::start(&FleetOptions { exceptions, ..FleetOptions::default() });
    let fleet = fleet.expect("a fleet");
    for (name, kept) in [("a1", BPF | NET_ADMIN), ("a2", BPF), ("a3", 0)] {
        has_no_more_than(fleet.node(name), kept);
    }
    // It still does all that it must: forwards, writes maps, and detaches at its end.
    fleet.router().route_to(&["b1"]).expect("routed");
    let mut client = fleet.client().aioquic(ANYCAST[0]).expect("started");
    client.connected().expect("connected");
    fleet.router().route_to(&["a1"]).expect("routed");
    assert_eq!(client.identity().expect("answered").name, "b1");
    let a1 = fleet.node("a1");
    assert!(a1.metrics().expect("metrics").packets("steer_node", Reason::Forwarded) > 0);
    a1.admin(&["unknown", "2"]).expect("written");

    let landlock = |of| a1.metrics().expect("metrics").sum("landfast_landlock", &[of]);
    if landlock("enforced=\"none\"") == 0 {
        // Its own file leads to one that is nothing to it.
        a1.ask(&["blocklist", "reload"]).expect("in its own directory");
        fs::remove_file(a1.blocklist()).expect("there");
        symlink("/etc/passwd", a1.blocklist()).expect("made");
        let error = a1.ask(&["blocklist", "reload"]).expect_err("not read").to_string();
        assert!(error.contains("Permission denied"), "{error}");
    } else {
        assert!(a1.log().contains("no Landlock in this kernel"), "{}", a1.log());
    }

    a1.ask_to_stop().expect("asked");
    assert!(a1.wait_until_ended().expect("ended").success(), "{}", a1.log());
    assert!(!a1.pin_directory().exists(), "{}", a1.log());
    assert!(!a1.log().contains("steering stays attached"), "{}", a1.log());
}
