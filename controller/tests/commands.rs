//! The program as an operator meets it: each command against a controller that serves, in a
//! directory of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A controller's files, gone with this.
struct Place(tempfile::TempDir);

/// A controller that serves, killed with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already is no trouble.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        let root = place.0.path().display();
        let config = format!(
            "names = [\"localhost\"]\nlisten = \"127.0.0.1:0\"\n\
             [store]\npath = \"{root}/state/store.redb\"\nkey_file = \"{root}/key\"\n\
             [admin]\nsocket = \"{root}/run/admin.sock\"\n\
             [nodes]\nlease_milliseconds = 1000\nkeepalive_milliseconds = 300\n"
        );
        fs::write(place.path("controller.toml"), config).expect("written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfast-controller"));
        command.arg("--config").arg(self.path("controller.toml")).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    /// What a command says that is to go well.
    fn ok(&self, words: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.run(words);
        assert!(status.success(), "{words:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("text")
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[words, &["--json"]].concat())).expect("one line of JSON")
    }

    /// Exit code and words of a command that is to fail.
    fn fails(&self, words: &[&str]) -> (i32, String) {
        let Output { status, stderr, .. } = self.run(words);
        (status.code().expect("it ends by itself"), String::from_utf8(stderr).expect("text"))
    }

    /// What is in the folder of the store, but for the certificate of the internal issuer.
    fn stores(&self) -> Vec<String> {
        let folder = fs::read_dir(self.path("state")).expect("there");
        let names =
            folder.map(|file| file.expect("there").file_name().into_string().expect("text"));
        names.filter(|name| name != "internal.pem").collect()
    }

    /// Has the internal issuer make a certificate, and waits until it has.
    fn issue(&self, name: &str) {
        self.ok(&["certificates", "request", name, "--issuer", "internal"]);
        for _ in 0..600 {
            let list = self.json(&["certificates", "list"]);
            let all = list["certificates"].as_array().expect("a list");
            if all.iter().any(|it| it["id"] == name && it["state"] == "served") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("not issued: {}", fs::read_to_string(self.path("log")).expect("a log"));
    }

    fn serve(&self) -> Running {
        let mut command = self.command(&["serve"]);
        let log = fs::File::create(self.path("log")).expect("a log");
        let running = Running(command.stderr(Stdio::from(log)).spawn().expect("it starts"));
        // Ready when it answers; a controller that does not is the test's failure.
        for _ in 0..600 {
            if self.run(&["status"]).status.success() {
                return running;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no answer: {}", fs::read_to_string(self.path("log")).expect("a log"));
    }
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn a_controller_is_made_once_and_says_what_is_missing_before() {
    let place = Place::new();
    let (code, words) = place.fails(&["serve"]);
    assert!(code == 2 && words.contains("`landfast-controller init` makes one"), "{words}");
    assert_eq!(place.fails(&["check-config"]).0, 2);
    let said = place.ok(&["init"]);
    assert!(said.contains("keep a copy apart") && said.contains("made, too"), "{said}");
    fs::remove_file(place.path("state/store.redb")).expect("moved away");
    let made = place.json(&["init"]);
    assert_eq!(made["key_is_new"], false);
    assert_eq!(made["key_file"], place.path("key").to_str().expect("text"));
    assert_eq!(mode(place.path("key")), 0o600);
    assert_eq!(mode(place.path("state/store.redb")), 0o600);
    let key = fs::read(place.path("key")).expect("a key");
    let (code, words) = place.fails(&["init"]);
    assert!(code == 1 && words.contains("there is a store"), "{words}");
    assert_eq!(fs::read(place.path("key")).expect("a key"), key);
    assert!(place.ok(&["check-config"]).contains("is good"));
    let (code, words) = place.fails(&["status"]);
    assert!(code == 1 && words.contains("is one running?"), "{words}");
}

/// The unit has RestartPreventExitStatus=2.
#[test]
fn what_no_restart_cures_has_the_code_that_ends_restarts() {
    let place = Place::new();
    place.ok(&["init"]);
    let key = place.path("key");
    let set_mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode));
    set_mode(0o640).expect("ours");
    let (code, words) = place.fails(&["serve"]);
    assert!(code == 2 && words.contains("chmod 600"), "{words}");
    set_mode(0o600).expect("ours");

    let right = fs::read(&key).expect("a key");
    fs::write(&key, [7; 32]).expect("another key");
    let (code, words) = place.fails(&["serve"]);
    assert!(code == 2 && words.contains("does not open under this sealing key"), "{words}");
    fs::write(&key, right).expect("the right one");

    // What may be over by the next try: its port is another's.
    let config = fs::read_to_string(place.path("controller.toml")).expect("there");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    fs::write(place.path("controller.toml"), config.replace("127.0.0.1:0", &address))
        .expect("written");
    let (code, words) = place.fails(&["serve"]);
    assert!(code == 1 && words.contains("cannot listen"), "{words}");

    let database = redb::Database::open(place.path("state/store.redb")).expect("a database");
    let write = database.begin_write().expect("begun");
    let numbers = redb::TableDefinition::<&str, u64>::new("numbers");
    write.open_table(numbers).expect("there").insert("schema", 99).expect("written");
    write.commit().expect("committed");
    drop(database);
    let (code, words) = place.fails(&["serve"]);
    assert!(code == 2 && words.contains("use a newer landfast-controller"), "{words}");
    let unit = "../docs/examples/landfast-controller.service";
    assert!(fs::read_to_string(unit).expect("a unit").contains("RestartPreventExitStatus=2"));
}

#[test]
fn commands_are_answered_and_mistakes_have_the_code_of_mistakes() {
    let place = Place::new();
    place.ok(&["init"]);
    let _running = place.serve();
    assert_eq!(mode(place.path("run/admin.sock")), 0o600);
    let second = place.fails(&["serve"]);
    assert!(second.0 == 1 && second.1.contains("is in use"), "{second:?}");

    let invite = ["nodes", "invite", "--name", "ams1", "--site", "ams", "--ipv4", "192.0.2.1"];
    let invited = place.json(&invite);
    assert_eq!(invited["id"], 0);
    let token: fleet_wire::invitation::Invitation =
        invited["token"].as_str().expect("text").parse().expect("an invitation");
    assert_ne!(token.secret, [0; 32]);
    assert!(place.fails(&invite).1.contains("has that name or address"));
    assert_eq!(place.json(&["nodes", "list"])["nodes"][0]["standing"], "invited");
    place.ok(&["nodes", "remove", "ams1"]);
    assert!(place.fails(&["nodes", "remove", "ams1"]).1.contains("there is no node"));

    place.ok(&["certificates", "request", "A.example", "--issuer", "internal"]);
    let list = place.json(&["certificates", "list"]);
    assert_eq!(list["certificates"][0]["names"][0], "a.example");
    let wrong = place.fails(&["certificates", "request", "b.example", "--issuer", "none"]);
    assert!(wrong.0 == 2 && wrong.1.contains("one of: internal"), "{wrong:?}");
    assert_eq!(place.fails(&["certificates", "request", "a b", "--issuer", "internal"]).0, 2);
    place.ok(&["certificates", "remove", "a.example"]);

    let wrong = place.fails(&["secrets", "rotate", "horses"]);
    assert!(wrong.0 == 2 && wrong.1.contains("tickets, tokens"), "{wrong:?}");
    place.ok(&["secrets", "rotate", "tickets"]);
    assert!(place.fails(&["secrets", "rotate", "tickets"]).1.contains("in progress"));
}

#[test]
fn a_backup_of_a_running_controller_becomes_a_later_store_under_its_key_alone() {
    let place = Place::new();
    place.ok(&["init"]);
    let running = place.serve();
    place.issue("a.example");
    let backup = place.path("backup");
    let path = backup.to_str().expect("text");
    let written = place.json(&["backup", path]);
    assert_eq!(written["path"], path);
    assert_eq!(written["bytes"].as_u64(), fs::metadata(path).ok().map(|file| file.len()));
    assert_eq!(mode(backup.clone()), 0o600);
    assert_eq!(place.fails(&["backup", path]).0, 1, "nothing is replaced");
    assert_eq!(place.stores(), ["store.redb"], "no copy is left beside the store");
    let before = place.json(&["status"])["epoch"].as_u64().expect("a number");
    drop(running);

    assert!(place.fails(&["restore", path]).1.contains("there is a store"));
    fs::remove_file(place.path("state/store.redb")).expect("moved away");
    fs::rename(place.path("key"), place.path("key.kept")).expect("kept");
    fs::write(place.path("key"), [7; 32]).expect("another key");
    fs::set_permissions(place.path("key"), fs::Permissions::from_mode(0o600)).expect("ours");
    let (_, words) = place.fails(&["restore", path]);
    assert!(words.contains("does not open under this sealing key"), "{words}");
    assert!(place.stores().is_empty(), "nothing is left: {:?}", place.stores());
    fs::rename(place.path("key.kept"), place.path("key")).expect("back");
    let restored = place.json(&["restore", path]);
    assert!(restored["made"].is_u64() && restored["nodes"].is_array(), "{restored}");
    let _running = place.serve();
    assert!(restored["epoch"].as_u64().expect("a number") > before);
    assert_eq!(place.json(&["status"])["epoch"], restored["epoch"]);
    assert_eq!(place.json(&["certificates", "list"])["certificates"][0]["id"], "a.example");
}

/// A key that somebody has read: the fleet stays, and the key opens what comes after no more.
#[test]
fn a_backup_is_restored_under_another_sealing_key() {
    let place = Place::new();
    place.ok(&["init"]);
    let running = place.serve();
    place.issue("a.example");
    let backup = place.path("backup");
    let path = backup.to_str().expect("text");
    place.ok(&["backup", path]);
    drop(running);
    fs::remove_file(place.path("state/store.redb")).expect("moved away");
    let old = place.path("key.old");
    fs::rename(place.path("key"), &old).expect("moved away");
    fs::write(place.path("key.wrong"), [7; 32]).expect("another key");
    fs::set_permissions(place.path("key.wrong"), fs::Permissions::from_mode(0o600)).expect("ours");
    let wrong = place.path("key.wrong");
    let (code, words) =
        place.fails(&["restore", path, "--sealed-by", wrong.to_str().expect("text")]);
    assert!(code == 2 && words.contains("does not open under this sealing key"), "{words}");
    assert!(place.stores().is_empty(), "nothing is left: {:?}", place.stores());

    place.ok(&["restore", path, "--sealed-by", old.to_str().expect("text")]);
    assert_eq!(mode(place.path("key")), 0o600);
    let running = place.serve();
    assert_eq!(place.json(&["certificates", "list"])["certificates"][0]["id"], "a.example");
    drop(running);
    fs::rename(&old, place.path("key")).expect("back");
    let (_, words) = place.fails(&["serve"]);
    assert!(words.contains("does not open under this sealing key"), "{words}");

    // `init` says which key it takes.
    fs::remove_file(place.path("state/store.redb")).expect("moved away");
    assert!(place.ok(&["init"]).contains("the key that was there already"));
}

#[test]
fn certificates_of_ones_own_are_looked_at_before_they_are_served() {
    let place = Place::new();
    place.ok(&["init"]);
    let _running = place.serve();
    let own = rcgen::generate_simple_self_signed(["own.example".to_owned()]).expect("made");
    let other = rcgen::KeyPair::generate().expect("a key");
    let write = |name: &str, text: &str| {
        fs::write(place.path(name), text).expect("written");
        place.path(name).to_str().expect("text").to_owned()
    };
    let certificate = write("own.pem", &own.cert.pem());
    let key = write("own.key", &own.signing_key.serialize_pem());
    let other = write("other.key", &other.serialize_pem());

    let import = |key: &str| {
        place.run(&["certificates", "import", "own", "--certificate", &certificate, "--key", key])
    };
    let refused = String::from_utf8(import(&other).stderr).expect("text");
    assert!(refused.contains("the key is not that of the certificate"), "{refused}");
    let none = place.json(&["certificates", "list"]);
    assert_eq!(none["certificates"].as_array().map(Vec::len), Some(0));

    assert!(import(&key).status.success());
    let entry = place.json(&["certificates", "list"])["certificates"][0].clone();
    assert_eq!([&entry["id"], &entry["source"], &entry["state"]], ["own", "imported", "served"]);
    let (_, words) = place.fails(&["certificates", "renew", "own"]);
    assert!(words.contains("imported certificates are not renewed here"), "{words}");
    place.ok(&["certificates", "remove", "own"]);
    assert!(place.fails(&["certificates", "remove", "own"]).1.contains("there is no certificate"));
}

#[test]
fn accounts_and_revocations_are_asked_for_by_words_that_are_known() {
    let place = Place::new();
    place.ok(&["init"]);
    let _running = place.serve();
    assert_eq!(place.json(&["accounts", "list"])["accounts"].as_array().map(Vec::len), Some(0));
    let (code, words) = place.fails(&["accounts", "rollover", "public"]);
    assert!(code == 1 && words.contains("has no issuer \"public\""), "{words}");
    place.issue("a.example");
    let (code, words) =
        place.fails(&["certificates", "revoke", "a.example", "--reason", "boredom"]);
    assert!(code == 2 && words.contains("key-compromise"), "{words}");
    let (code, words) = place.fails(&["certificates", "revoke", "a.example"]);
    assert!(code == 1 && words.contains("`certificates renew`"), "{words}");
}

#[test]
fn what_the_configuration_says_of_certificates_holds_for_commands_and_files() {
    let place = Place::new();
    let own = rcgen::generate_simple_self_signed(["own.example".to_owned()]).expect("made");
    let root = place.0.path().display();
    let config = fs::read_to_string(place.path("controller.toml")).expect("there");
    let more = format!(
        "[certificates]\ndeny = [\"vault.example\"]\nimport_look_seconds = 1\n\
         [imports.own]\ncertificate = \"{root}/own.pem\"\nkey = \"{root}/own.key\"\n"
    );
    fs::write(place.path("controller.toml"), config + &more).expect("written");
    place.ok(&["init"]);
    let (code, words) = place.fails(&["check-config"]);
    assert!(code == 2 && words.contains("import own: ") && words.contains("own.key"), "{words}");

    let _running = place.serve();
    let key = place.path("own.key");
    fs::write(&key, own.signing_key.serialize_pem()).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::write(place.path("own.pem"), own.cert.pem()).expect("written");
    place.ok(&["check-config"]);
    let mut looks = 0;
    while place.json(&["certificates", "list"])["certificates"][0]["source"] != "imported" {
        looks += 1;
        assert!(looks < 600, "it is not imported");
        std::thread::sleep(Duration::from_millis(50));
    }
    for name in ["vault.example", "*.vault.example", "192.0.2.1"] {
        let (code, words) = place.fails(&["certificates", "request", name, "--issuer", "internal"]);
        assert!(code == 2 && words.contains("[certificates]"), "{name}: {words}");
    }
}

#[test]
fn distributions_are_put_once_they_have_no_mistake_shown_as_they_were_put_and_removed() {
    let place = Place::new();
    place.ok(&["init"]);
    let running = place.serve();
    assert!(place.fails(&["distributions", "show"]).1.contains("`distributions put FILE`"));
    assert!(place.fails(&["distributions", "remove"]).1.contains("there are no distributions"));
    let file = place.path("site.toml");
    let path = file.to_str().expect("text");
    let put = ["distributions", "put", path];
    let good = "# ours\n[[origins]]\nname = \"app\"\nservers = [\"http://192.0.2.7\"]\n\
        [[distributions]]\nnames = [\"www.example\"]\n\
        behaviours = [{ path = \"/\", proxy = { origin = \"app\" } }]\n";
    fs::write(&file, good).expect("written");
    let done = place.json(&put);
    assert_eq!(done["word"], "distribution www.example: added\norigin app: added");
    let serial = place.json(&["status"])["serial"].as_u64();
    assert_eq!(place.json(&put)["word"], "nothing is answered otherwise than before");
    assert_eq!(place.json(&["status"])["serial"].as_u64(), serial, "nodes get nothing anew");

    // A mistake is shown with its place, and leaves what there was.
    fs::write(&file, good.replace("origin = \"app\"", "origin = \"ap\"")).expect("written");
    let (code, words) = place.fails(&put);
    assert_eq!(code, 2, "{words}");
    for expected in ["there is no origin `ap`", "site.toml:7:", "did you mean `app`?"] {
        assert!(words.contains(expected), "no `{expected}` in {words}");
    }
    fs::write(&file, "#".repeat(fleet_wire::MAX_DISTRIBUTIONS_BYTES + 1)).expect("written");
    let (code, words) = place.fails(&put);
    assert!(code == 2 && words.contains("at most 122880 are possible"), "{words}");
    fs::write(&file, "names = []").expect("written");
    assert_eq!(place.fails(&put).0, 2);
    assert_eq!(place.fails(&["distributions", "put", "/nowhere"]).0, 2);
    drop(running);

    // It is in the store, and what is shown can be put.
    let _running = place.serve();
    let shown = place.json(&["distributions", "show"]);
    assert_eq!((shown["text"].as_str(), shown["serial"].as_u64()), (Some(good), serial));
    assert_eq!(shown["nodes_expected"], 0);
    fs::write(&file, place.ok(&["distributions", "show"])).expect("written");
    assert!(place.ok(&put).contains("nothing is answered otherwise"));
    assert_eq!(place.json(&["status"])["distributions"], 1);
    place.ok(&["distributions", "remove"]);
    assert_eq!(place.json(&["status"])["distributions"], 0);
    let log = fs::read_to_string(place.path("log")).expect("a log");
    assert!(!log.contains("192.0.2.7"), "{log}");
}

/// Each quote and each end of a line takes two bytes in the store.
#[test]
fn distributions_of_the_most_bytes_are_stored_whatever_they_are() {
    let place = Place::new();
    place.ok(&["init"]);
    let _running = place.serve();
    let file = place.path("site.toml");
    for text in ["\n".repeat(fleet_wire::MAX_DISTRIBUTIONS_BYTES), {
        let quotes = fleet_wire::MAX_DISTRIBUTIONS_BYTES - 1;
        format!("#{}", "\"".repeat(quotes))
    }] {
        fs::write(&file, text).expect("written");
        place.ok(&["distributions", "put", file.to_str().expect("text")]);
    }
}
