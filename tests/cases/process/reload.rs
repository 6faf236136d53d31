//! Keys change under a process that serves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fleet_wire::secrets::{self, ConnectionIdConfig, Secrets};
use nix::sys::signal::Signal;

use super::{Edge, eventually, stderr};

impl Edge {
    /// Changes the fleet file, as an operator's tool does: a whole new file in its place.
    fn change_fleet(&self, change: impl FnOnce(&mut Secrets)) {
        let path = self.directory.path().join("fleet.toml");
        let mut secrets = Secrets::load(&path).expect("a fleet file");
        change(&mut secrets);
        secrets::write(&path, &secrets, true).expect("written");
    }

    /// What `landfast-edge reload` says: exit code, standard output, standard error.
    pub(super) fn reload(&self) -> (Option<i32>, String, String) {
        let output = self.run(&["reload", "--socket", &self.path("admin.sock")]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said, stderr(&output))
    }
}

fn add(secrets: &mut Secrets, config_id: u8, length: usize) {
    let key = Some([config_id; 16]);
    let reset_key = [config_id; 32];
    secrets.connection_ids.push(ConnectionIdConfig { config_id, length, key, reset_key });
}

#[tokio::test]
async fn a_connection_lives_through_a_rotation_of_every_key() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let owner = client.identity().await.expect("an answer").owner;

    edge.change_fleet(|secrets| {
        add(secrets, 1, 17);
        secrets.tickets.next = Some([3; 32]);
    });
    let (code, said, warned) = edge.reload();
    assert_eq!((code, warned.as_str()), (Some(0), ""), "{said}");
    assert_eq!(said, "IDs of config 1 are read, 17 bytes long\ntickets: next changed\n");
    edge.change_fleet(|secrets| {
        secrets.mint = 1;
        secrets.tickets.previous = Some(secrets.tickets.current);
        secrets.tickets.current = secrets.tickets.next.take().expect("set above");
    });
    edge.signal(Signal::SIGHUP);
    let minted = "reloaded: IDs are minted under config 1, no more under 0";
    eventually("the signal is heard", || edge.log().contains(minted), || edge.log());
    assert_eq!(client.identity().await.expect("an answer").owner, owner);
    let second = edge.connect().await;
    second.identity().await.expect("an answer under the new config");

    let (code, said, _) = edge.reload();
    assert_eq!((code, said.as_str()), (Some(0), "nothing has changed\n"));
    assert_eq!(client.identity().await.expect("an answer").owner, owner);
    let log = edge.log();
    assert!(log.contains("reloaded: tickets: current, previous, next changed"), "{log}");
    let file = fs::read_to_string(edge.path("fleet.toml")).expect("there");
    for key in file.split('"').filter(|word| word.len() >= 32) {
        assert!(!log.contains(&key[..8]), "a key is in the log");
    }
}

#[tokio::test]
async fn a_bad_fleet_file_is_refused_with_its_line_and_changes_nothing() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let path = edge.path("fleet.toml");
    let good = fs::read_to_string(&path).expect("there");
    fs::write(&path, good.replacen("mint = 0", "mint = 5", 1)).expect("written");
    let (code, _, said) = edge.reload();
    let line = 1 + good.lines().position(|line| line == "mint = 0").expect("there");
    let reason = format!("{path}, line {line}: `mint` is no `config_id` of connection_ids");
    assert!(code == Some(1) && said.contains(&reason), "{said}");
    assert!(edge.log().contains(&format!("not reloaded: the fleet file {reason}")));

    fs::write(&path, &good).expect("written");
    edge.change_fleet(|secrets| {
        add(secrets, 2, 12);
        secrets.mint = 2;
    });
    let (code, _, said) = edge.reload();
    assert!(code == Some(1) && said.contains("restart it to change the length"), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    let (code, _, said) = edge.reload();
    assert!(code == Some(1) && said.contains(&format!("chmod 600 {path}")), "{said}");

    client.identity().await.expect("an answer");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::write(&path, &good).expect("written");
    assert_eq!(edge.reload().1, "nothing has changed\n");
}

/// Seven configs at a time, and an eighth that takes the place of the first.
#[tokio::test]
async fn configs_go_round() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let expect = |words: &str| {
        let (code, said, _) = edge.reload();
        assert!(code == Some(0) && said.contains(words), "{said}");
    };
    for config_id in 1..7 {
        edge.change_fleet(|secrets| add(secrets, config_id, 9 + usize::from(config_id)));
        expect(&format!("IDs of config {config_id} are read, {} bytes long", 9 + config_id));
    }
    client.identity().await.expect("an answer");
    edge.change_fleet(|secrets| secrets.connection_ids.retain(|config| config.config_id != 6));
    expect("IDs of config 6 are read no more");
    edge.change_fleet(|secrets| add(secrets, 6, 17));
    expect("IDs of config 6 are read, 17 bytes long");
    edge.change_fleet(|secrets| secrets.mint = 6);
    expect("IDs are minted under config 6, no more under 0");
    edge.connect().await.identity().await.expect("an answer under config 6");
    client.identity().await.expect("an answer");
}
