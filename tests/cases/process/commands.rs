//! The commands of an operator, their exit codes and what they say.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Edge, stderr};

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let edge = Edge::new();
    let config = edge.path("edge.toml");
    for arguments in [
        &["check-config", "--config", &config][..],
        &["check-config", "--no-host", "--config", &config],
    ] {
        let output = edge.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("is good: node 1 (here) of 1"));
    }
}

#[test]
fn the_check_says_what_the_host_lacks_in_words_and_for_machines() {
    let edge = Edge::new();
    edge.make_fleet(); // of addresses that this host does not have
    let config = edge.path("edge.toml");
    let words = edge.run(&["check-config", "--config", &config]);
    let missing = "192.0.2.1 is not an address of this host: packets to it are not taken, and go \
                   round between nodes where this host forwards IP";
    assert!(stderr(&words).contains(missing), "{}", stderr(&words));

    let json = |arguments: &[&str]| -> (Option<i32>, serde_json::Value) {
        let output =
            edge.run(&[&["check-config", "--json", "--config", &config], arguments].concat());
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
        (output.status.code(), serde_json::from_slice(&output.stdout).expect("one line of JSON"))
    };
    let (code, report) = json(&[]);
    assert_eq!((code, &report["good"]), (Some(0), &true.into()), "warnings are no errors");
    let findings = report["findings"].as_array().expect("a list");
    let finding = findings.iter().find(|found| found["what"] == missing).expect("found");
    assert_eq!(finding["severity"], "warning");
    assert_eq!(finding["change"], "ip addr add 192.0.2.1/32 dev lo");
    let (code, elsewhere) = json(&["--no-host"]);
    assert_eq!((code, &elsewhere["findings"]), (Some(0), &serde_json::json!([])));

    // In user space the node's own address must be there.
    let text = fs::read_to_string(&config).expect("written");
    fs::write(&config, text.replace("mode = \"off\"", "mode = \"user-space\"")).expect("written");
    let (code, report) = json(&[]);
    assert_eq!((code, &report["good"]), (Some(1), &false.into()));
    assert_eq!(report["findings"][0]["severity"], "error", "errors come first");
    let words = edge.run(&["check-config", "--config", &config]);
    assert_eq!((words.status.code(), words.stdout.is_empty()), (Some(1), true));
    assert!(stderr(&words).contains("this host is not fit for steering"), "{}", stderr(&words));

    edge.write_config("noed = 1");
    let (code, report) = json(&[]);
    assert_eq!(code, Some(2));
    assert_eq!(report["problems"], serde_json::json!(["there is no setting `noed` here"]));
}

#[test]
fn a_bad_configuration_ends_with_2_and_shows_the_place() {
    let edge = Edge::new();
    edge.write_config("fleet_flie = \"/x\"");
    for command in ["check-config", "serve"] {
        let output = edge.run(&[command, "--config", &edge.path("edge.toml")]);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        for words in
            ["there is no setting `fleet_flie`", "edge.toml:1:1", "did you mean `fleet_file`?"]
        {
            assert!(said.contains(words), "no `{words}` in {said}");
        }
    }
    assert_eq!(edge.run(&["srve"]).status.code(), Some(2));
}

#[test]
fn a_file_that_the_configuration_names_is_checked_too() {
    let edge = Edge::new();
    let (config, fleet) = (edge.path("edge.toml"), edge.path("fleet.toml"));
    fs::set_permissions(&fleet, fs::Permissions::from_mode(0o644)).expect("ours");
    for command in ["check-config", "serve"] {
        let output = edge.run(&[command, "--config", &config]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(&format!("chmod 600 {fleet}")), "{}", stderr(&output));
    }
    assert!(edge.run(&["check-config", "--no-host", "--config", &config]).status.success());
}

#[test]
fn a_key_that_every_user_may_read_is_warned_of() {
    let edge = Edge::new();
    let config = edge.path("edge.toml");
    for (mode, warned) in [(0o600, false), (0o644, true)] {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&edge.credentials.key, permissions).expect("ours");
        let output = edge.run(&["check-config", "--config", &config]);
        assert!(output.status.success(), "{}", stderr(&output));
        let warning = "warning: the key ";
        assert_eq!(stderr(&output).contains(warning), warned, "{}", stderr(&output));
    }
}

#[test]
fn a_blocklist_with_a_mistake_is_refused_with_its_line() {
    let edge = Edge::new();
    let list = edge.path("blocklist");
    edge.write_config(&format!("admission = {{ blocklist = \"{list}\" }}"));
    fs::write(&list, "# nobody\n\n192.0.2.0/240\n").expect("written");
    for command in ["check-config", "serve"] {
        let output = edge.run(&[command, "--config", &edge.path("edge.toml")]);
        assert_eq!(output.status.code(), Some(2));
        let words = format!("the blocklist {list}:3: `192.0.2.0/240` has a prefix length beyond");
        assert!(stderr(&output).contains(&words), "{}", stderr(&output));
    }
    fs::write(&list, "192.0.2.0/24\n").expect("written");
    assert!(edge.run(&["check-config", "--config", &edge.path("edge.toml")]).status.success());
}

#[test]
fn fleet_init_writes_once() {
    let edge = Edge::new();
    let fleet = edge.path("fleet.toml");
    let before = fs::read(&fleet).expect("written");
    let output = edge.run(&["fleet", "init", &fleet]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
    assert_eq!(fs::read(&fleet).expect("there"), before);
    assert!(edge.run(&["fleet", "init", "--force", "--length", "12", &fleet]).status.success());
    assert!(fs::read_to_string(&fleet).expect("there").contains("\nlength = 12\n"));
    assert_eq!(edge.run(&["fleet", "init", "--length", "8", &fleet]).status.code(), Some(2));
    assert_ne!(fs::read(&fleet).expect("there"), before);
}

#[test]
fn a_running_edge_is_asked_and_drained_by_its_socket() {
    let mut edge = Edge::new();
    edge.make_fleet();
    let (config, socket) = (edge.path("edge.toml"), edge.path("admin.sock"));
    let output = edge.run(&["status", "--socket", &socket]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no edge answers at"), "{}", stderr(&output));

    edge.start();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = edge.run(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("one line of JSON")
    };
    let status = json(&["status", "--json", "--socket", &socket]);
    assert_eq!((&status["phase"], &status["node"]), (&"serving".into(), &1.into()));
    assert_eq!(status["workers"].as_array().expect("a list").len(), 2);
    assert!(edge.run(&["node", "dead", "2", "--config", &config]).status.success());
    let nodes = json(&["node", "list", "--json", "--config", &config]);
    assert_eq!((&nodes[0]["liveness"], &nodes[1]["liveness"]), (&"live".into(), &"dead".into()));
    let (_, metrics) = edge.get("/metrics").expect("answered");
    assert!(metrics.contains("landfast_node_live{node=\"2\"} 0\n"), "{metrics}");
    let output = edge.run(&["node", "live", "7", "--socket", &socket]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no node of the fleet has the ID 7"));

    let second = edge.run(&["serve", "--config", &config]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another landfast-edge uses"), "{}", stderr(&second));

    assert!(edge.run(&["drain", "--socket", &socket]).status.success());
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
}

#[test]
fn a_fleet_file_without_a_folder_is_written_where_we_are() {
    let edge = Edge::new();
    let output = edge.run(&["fleet", "init", "bare.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(edge.directory.path().join("bare.toml").exists());
}
