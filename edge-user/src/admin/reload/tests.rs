//! A control whose workers are tasks here, and a fleet file that changes.

use std::fs;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::admin::control::Parts;
use crate::admin::samples::parts;
use crate::config::{Config, ControllerConfig, TlsConfig, UnknownNames};
use crate::relay::RelayHandle;
use crate::steering::tables::samples;
use fleet_wire::secrets::{ConnectionIdConfig, IdMode};

/// Who was told to mint under which config, and to read which, in this order.
type Told = Arc<Mutex<Vec<(&'static str, u8, Vec<u8>)>>>;

struct Edge {
    control: Control,
    told: Told,
    /// Removed when it is dropped.
    _directory: TempDir,
    path: PathBuf,
    secrets: Secrets,
}

impl Edge {
    /// Of workers with these names. `mute` ones do not answer.
    fn new(workers: &[&'static str]) -> Self {
        Self::by(workers, |_| {})
    }

    fn by(workers: &[&'static str], change: impl FnOnce(&mut Config)) -> Self {
        let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
        let told = Told::default();
        let orders = |who: &'static str| relay(who, Arc::clone(&told));
        let directory = tempfile::tempdir().expect("made");
        let path = directory.path().join("fleet.toml");
        let mut config = Config { fleet_file: Some(path.clone()), ..samples::config(1) };
        // Certificates have a test of a whole process.
        config.tls =
            TlsConfig { default: None, more: Vec::new(), unknown_names: UnknownNames::Refuse };
        config.admission.blocklist = Some(path.with_extension("blocklist"));
        fs::write(path.with_extension("blocklist"), "192.0.2.0/24\n").expect("written");
        change(&mut config);
        let control = Control::new(Parts {
            workers: workers.iter().map(|who| worker(who, Arc::clone(&told))).collect(),
            relay: Some(RelayHandle { inbox: mpsc::channel(1).0, orders: orders("relay") }),
            ..parts(config, &secrets)
        });
        fleet_wire::secrets::write(&path, &secrets, true).expect("written");
        Self { control, told, _directory: directory, path, secrets }
    }

    async fn reload(&mut self, change: impl FnOnce(&mut Secrets)) -> Result<Reloaded, String> {
        change(&mut self.secrets);
        fleet_wire::secrets::write(&self.path, &self.secrets, true).expect("written");
        self.control.reload().await.map_err(|error| error.to_string())
    }

    fn told(&self) -> Vec<(&'static str, u8, Vec<u8>)> {
        std::mem::take(&mut self.told.lock().expect("no panic"))
    }
}

fn note(told: &Told, who: &'static str, secrets: &Secrets) {
    let read = secrets.connection_ids.iter().map(|config| config.config_id).collect();
    told.lock().expect("no panic").push((who, secrets.mint, read));
}

fn worker(who: &'static str, told: Told) -> mpsc::Sender<ToWorker> {
    let (inbox, mut orders) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some(order) = orders.recv().await {
            let ToWorker::Secrets(secrets, done) = order else { continue };
            note(&told, who, &secrets);
            match who {
                "mute" => unanswered.push(done),
                _ => done.send(Ok(())).expect("it is waited for"),
            }
        }
    });
    inbox
}

fn relay(who: &'static str, told: Told) -> mpsc::Sender<RelayOrder> {
    let (to_relay, mut orders) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            let RelayOrder::Secrets(secrets, done) = order else { continue };
            note(&told, who, &secrets);
            done.send(()).expect("it is waited for");
        }
    });
    to_relay
}

fn config(config_id: u8, length: usize) -> ConnectionIdConfig {
    ConnectionIdConfig { config_id, length, key: Some([1; 16]), reset_key: [2; 32] }
}

#[tokio::test]
async fn everybody_reads_a_config_before_anybody_mints_under_it() {
    let mut edge = Edge::new(&["first", "second"]);
    let change = |secrets: &mut Secrets| {
        secrets.connection_ids.push(config(3, 17));
        secrets.mint = 3;
    };
    let reloaded = edge.reload(change).await.expect("allowed");
    assert_eq!(reloaded.changes.len(), 2);
    assert!(reloaded.warnings[0].contains("mints at once"), "{reloaded:?}");
    let told = edge.told();
    let step = |mint| {
        let mut step: Vec<_> = told.iter().filter(|(_, minted, _)| *minted == mint).collect();
        step.sort_unstable();
        step
    };
    for mint in [0, 3] {
        let read = vec![0, 3];
        let all = ["first", "relay", "second"].map(|who| (who, mint, read.clone()));
        assert_eq!(step(mint), all.iter().collect::<Vec<_>>());
    }
    assert!(told.is_sorted_by_key(|(_, mint, _)| *mint), "{told:?}");
}

#[tokio::test]
async fn what_is_refused_reaches_nobody_and_says_where() {
    let mut edge = Edge::new(&["only"]);
    let change = |secrets: &mut Secrets| {
        secrets.connection_ids.push(config(3, 12));
        secrets.mint = 3;
    };
    let refused = edge.reload(change).await.expect_err("another length");
    let path = edge.path.display().to_string();
    assert!(refused.contains(&path) && refused.contains("restart it to change the length"));
    let refused = edge.reload(|secrets| secrets.worker_hash = [0; 16]).await.expect_err("the hash");
    assert!(refused.contains("restart the process to change it; nothing is changed"), "{refused}");
    fs::write(&edge.path, "mint = 0\n\nnonsense").expect("written");
    let refused = edge.control.reload().await.expect_err("no fleet file").to_string();
    assert!(refused.contains(&format!("{path}, line 3: ")), "{refused}");
    assert_eq!(edge.told(), []);
}

#[tokio::test]
async fn with_a_worker_that_does_not_hear_nobody_mints_anything_new() {
    let mut edge = Edge::new(&["hears", "mute"]);
    let change = |secrets: &mut Secrets| {
        secrets.connection_ids.push(config(3, 17));
        secrets.mint = 3;
    };
    let refused = edge.reload(change).await.expect_err("a worker is mute");
    assert_eq!(refused, "worker 1 does not answer: reload again when it does");
    assert!(edge.told().iter().all(|(_, mint, _)| *mint == 0));
}

#[tokio::test]
async fn a_file_that_says_what_it_said_changes_nothing() {
    let mut edge = Edge::new(&["same"]);
    assert_eq!(edge.reload(|_| {}).await, Ok(Reloaded::default()));
    assert_eq!(edge.told(), []);
}

/// One that lies about from before there was a controller must not bring old keys back.
#[tokio::test]
async fn with_a_controller_no_fleet_file_is_read() {
    let mut edge = Edge::by(&["joined"], |config| {
        let addresses = vec!["controller.example:4840".parse().expect("an address")];
        config.controller = Some(ControllerConfig { addresses });
        config.fleet_file = None;
    });
    fs::write(edge.path.with_extension("blocklist"), "198.51.100.0/24\n").expect("written");
    let reloaded = edge.reload(|secrets| secrets.connection_ids.push(config(3, 17))).await;
    let changes = reloaded.expect("good").changes;
    assert_eq!(changes, ["blocklist: 1 networks added, 1 removed"], "which is read all the same");
    assert_eq!(edge.told(), []);
}

#[tokio::test]
async fn the_blocklist_is_read_too_and_a_bad_one_leaves_the_keys_as_they_were() {
    let mut edge = Edge::new(&["blocked"]);
    let path = edge.path.with_extension("blocklist");
    fs::write(&path, "198.51.100.0/24\n203.0.113.0/24\n").expect("written");
    let reloaded = edge.reload(|_| {}).await.expect("good");
    assert_eq!(reloaded.changes, ["blocklist: 2 networks added, 1 removed"]);
    fs::write(&path, "not a network\n").expect("written");
    let refused = edge.reload(|secrets| secrets.connection_ids.push(config(3, 17))).await;
    assert!(refused.expect_err("bad").contains("nothing has changed"));
    assert_eq!(edge.told(), []);
    assert_eq!(edge.control.blocklist(), ["198.51.100.0/24", "203.0.113.0/24"]);
}
