//! A node whose fleet, secrets and certificates are a controller's.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use controller::ledger::Change;
use controller::records::{Node, NodeStanding, Secrets};
use edge_user::identity::Identity;
use fleet_wire::secrets::{self, IdMode};
use http::Request;
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tests::credentials::SERVER_NAME;
use tests::fleet::topology::Place;
use tests::fleet::{Controller, ControllerOptions};

use super::{Edge, WITHIN, eventually, free_port, service_manager, stderr};
use crate::controller::nodes;

/// What routers announce; no address of this host, so packets come straight to its port.
const ANYCAST: &str = "192.0.2.1";

/// A node and its controller, each a process.
struct Followed {
    edge: Edge,
    controller: Controller,
    directory: tempfile::TempDir,
    token: String,
}

impl Followed {
    /// The controller serves, with a certificate of its own for [`SERVER_NAME`]; the node is
    /// enrolled, and does not run yet.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = ControllerOptions {
            lease: Duration::from_secs(2),
            keepalive: Duration::from_millis(400),
            ..ControllerOptions::default()
        };
        let controller = Controller::create(directory.path(), &options).expect("made");
        controller.start().expect("it serves");
        let request = ["certificates", "request", SERVER_NAME, "--issuer", "internal"];
        controller.run(&request).expect("requested");
        let issued = || controller.internal_authority().exists();
        eventually("it is issued", issued, || controller.log());
        let mut edge = Edge::new();
        let authority = CertificateDer::from_pem_file(controller.internal_authority());
        edge.credentials.authority_der = authority.expect("a certificate");
        edge.write_config_with(controller.address());
        let token = controller.invite(Place::named("a1")).expect("invited");
        edge.enrol(&token, &[]);
        Self { edge, controller, directory, token }
    }

    /// Starts the node, which is let in.
    fn start(&mut self) {
        self.edge.start();
        let serial = self.controller.ask(&["status"]).expect("answered")["serial"].as_u64();
        let holds = || self.edge.controller()["position"]["serial"].as_u64() >= serial;
        eventually("it holds everything", holds, || self.edge.log());
    }

    fn stop_edge(&mut self) {
        self.edge.signal(Signal::SIGTERM);
        assert_eq!(self.edge.ended().code(), Some(0), "{}", self.edge.log());
    }
}

impl Edge {
    /// A configuration in which the controller has the rest.
    fn write_config_with(&mut self, controller: SocketAddr) {
        let (http, tls) = (free_port(), free_port());
        self.port = tls;
        let config = format!(
            r#"
state_directory = "{state}"
drain_seconds = 20
controller = {{ addresses = ["{controller}"] }}
listen = {{ anycast = ["{ANYCAST}"], port = {tls}, http_port = {http}, workers = 2 }}
steering = {{ mode = "off" }}
admin = {{ listen = "{admin}", socket = "{socket}" }}
"#,
            state = self.path("state"),
            admin = self.admin,
            socket = self.path("admin.sock"),
        );
        fs::write(self.path("edge.toml"), config).expect("written");
    }

    fn enrol(&self, token: &str, more: &[&str]) {
        fs::write(self.path("token"), token).expect("written");
        let (config, file) = (self.path("edge.toml"), self.path("token"));
        let enrol = ["enrol", "--config", &config, "--invitation-file", &file];
        let output = self.run(&[&enrol[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// What `status` says of the controller.
    fn controller(&self) -> Value {
        let output = self.run(&["status", "--config", &self.path("edge.toml"), "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["controller"].clone()
    }

    fn metric(&self, name: &str) -> Option<String> {
        let (_, text) = self.get("/metrics")?;
        let mut samples = text.lines().filter_map(|line| line.rsplit_once(' '));
        samples.find(|(sample, _)| *sample == name).map(|(_, value)| value.to_owned())
    }
}

#[tokio::test]
async fn a_node_serves_what_its_controller_gives_and_goes_on_without_it() {
    let mut followed = Followed::new();
    followed.start();
    let Followed { edge, controller, .. } = &mut followed;
    let client = edge.connect().await;
    let identity = client.identity().await.expect("an answer");
    assert_eq!((identity.node, identity.name.as_str(), identity.site.as_str()), (1, "a1", "ams"));
    let status = edge.controller();
    assert_eq!(status["addresses"], serde_json::json!([controller.address().to_string()]));
    assert_eq!((&status["standing"], &status["last_error"]), (&"serving".into(), &Value::Null));
    assert!(status["followed_seconds"].is_u64() && status["refused"] == serde_json::json!([]));
    assert!(status["identity_ends_in_seconds"].as_i64().is_some_and(|seconds| seconds > 3600));
    assert_eq!(edge.metric("landfast_follow_connected").as_deref(), Some("1"));

    controller.kill().expect("it ran");
    let alone = || edge.controller()["last_error"].is_string();
    eventually("it is alone", alone, || edge.log());
    assert_eq!(edge.metric("landfast_follow_connected").as_deref(), Some("0"));
    assert_eq!(edge.get("/readyz"), Some((200, "ready\n".into())));
    client.identity().await.expect("an answer on the connection of before");
    edge.connect().await.identity().await.expect("an answer on a new one");
    drop(client);

    // And starts without it.
    followed.stop_edge();
    followed.edge.start();
    followed.edge.connect().await.identity().await.expect("an answer out of the last good bundle");
    assert_eq!(followed.edge.controller()["standing"], "serving");

    // A controller that comes back is followed by itself.
    followed.controller.start().expect("it serves again");
    let Followed { edge, controller, token, .. } = &followed;
    let follows = || edge.controller()["followed_seconds"].is_u64();
    eventually("it is followed", follows, || edge.log());

    // What both have been given and made is in the log of neither.
    let identity = fs::read(edge.path("state/identity")).expect("kept");
    let identity = String::from_utf8_lossy(&identity);
    let key = identity.lines().skip_while(|line| !line.contains("PRIVATE KEY")).nth(1);
    for secret in [token.as_str(), key.expect("a key"), "PRIVATE KEY"] {
        assert!(!edge.log().contains(secret) && !controller.log().contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_last_good_bundle_that_is_damaged_is_not_used_and_fetched_anew() {
    let mut followed = Followed::new();
    followed.start();
    let bundle = followed.edge.path("state/bundle");
    eventually("it is kept", || fs::exists(&bundle).is_ok_and(|there| there), String::new);
    followed.stop_edge();
    let damage = || {
        let mut bytes = fs::read(&bundle).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&bundle, bytes).expect("written");
    };
    damage();
    followed.start();
    assert!(followed.edge.log().contains("damaged"), "{}", followed.edge.log());
    followed.edge.connect().await.identity().await.expect("an answer");
    followed.stop_edge();

    // Without a controller it waits, with nothing bound, until it is told to stop.
    damage();
    followed.controller.kill().expect("it ran");
    let path = followed.edge.path("notify");
    let manager = UnixDatagram::bind(&path).expect("bound");
    manager.set_read_timeout(Some(WITHIN)).expect("not zero");
    followed.edge.start_with(&[("NOTIFY_SOCKET", &path)]);
    let edge = &followed.edge;
    let (waiting, _) = service_manager::next(&manager);
    let waiting = service_manager::said(&waiting, &["STATUS", "EXTEND_TIMEOUT_USEC"]);
    assert!(waiting.len() == 2 && waiting[0].starts_with("waiting for the contr"), "{waiting:?}");
    let waits = || edge.log().contains("there is no first bundle yet");
    eventually("it says what it waits for", waits, || edge.log());
    assert_eq!(edge.get("/readyz"), None);
    followed.stop_edge();
    assert!(followed.edge.log().contains("told to stop: nothing was begun"));

    // A controller that comes back ends the wait.
    followed.edge.start_with(&[]);
    followed.controller.start().expect("it serves again");
    let edge = &followed.edge;
    let ready = || matches!(edge.get("/readyz"), Some((200, _)));
    eventually("it is ready", ready, || edge.log());
}

#[tokio::test]
async fn one_item_that_cannot_be_taken_is_shown_and_holds_up_nothing() {
    let mut followed = Followed::new();
    followed.start();
    let Followed { edge, controller, directory, .. } = &followed;
    // A node at the address that every node announces: no packet would find it.
    let node = ["--id", "7", "--name", "lost", "--site", "fra", "--ipv4", ANYCAST];
    let invited = controller.ask(&[&["nodes", "invite"], &node[..]].concat()).expect("invited");
    let elsewhere = directory.path().join("lost");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    let token = invited["token"].as_str().expect("a token");
    edge.enrol(token, &["--state-directory", elsewhere]);
    let refuses = || edge.controller()["refused"][0]["item"] == "node/7";
    eventually("it is refused", refuses, || edge.log());
    assert_eq!(edge.metric("landfast_follow_refused_items").as_deref(), Some("1"));
    let refused_there = |list: &Value| list.to_string().contains("node/7");
    controller.until("it is told", WITHIN, &["nodes", "list"], refused_there).expect("told");

    // What comes after it is taken.
    let request = ["certificates", "request", "later.test", "--issuer", "internal"];
    controller.run(&request).expect("requested");
    let serves = || {
        let list = controller.ask(&["certificates", "list"]).unwrap_or_default().to_string();
        let serial = controller.ask(&["status"]).unwrap_or_default()["serial"].as_u64();
        list.contains("later.test")
            && edge.metric("landfast_certificates{state=\"good\"}").as_deref() == Some("2")
            && edge.controller()["position"]["serial"].as_u64() >= serial
    };
    eventually("it is served", serves, || edge.log());
    edge.connect().await.identity().await.expect("an answer");
}

/// What is answered under [`SERVER_NAME`] of files in `root`.
fn files(root: &str) -> String {
    format!(
        "[[distributions]]\nnames = [\"{SERVER_NAME}\"]\n\
         behaviours = [{{ path = \"/\", files = {{ root = \"{root}\" }} }}]\n"
    )
}

impl Followed {
    /// Puts `tables` for every node, and waits until the node has said what it made of them.
    fn put(&self, tables: &str) {
        let file = self.directory.path().join("site.toml");
        fs::write(&file, tables).expect("written");
        let put = ["distributions", "put", file.to_str().expect("UTF-8")];
        self.controller.run(&put).expect("it has no mistake");
        let serial = self.controller.ask(&["status"]).expect("answered")["serial"].as_u64();
        let told = || self.edge.controller()["position"]["serial"].as_u64() >= serial;
        eventually("it has come", told, || self.edge.log());
    }

    /// What is in force of the configuration and of the controller, by `status`, and how many live
    /// nodes have the controller's.
    fn distributions(&self) -> (Value, Value) {
        let output = self.edge.run(&["status", "--config", &self.edge.path("edge.toml"), "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let shown = self.controller.ask(&["distributions", "show"]).unwrap_or_default();
        (status["distributions"].clone(), shown)
    }

    async fn body(&self, path: &str) -> (u16, String) {
        let client = self.edge.connect().await;
        let uri = format!("https://{SERVER_NAME}{path}");
        let request = Request::builder().uri(uri).body(()).expect("good");
        let answer = client.ask(request).await.expect("an answer");
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// Files elsewhere cannot be opened by a process that runs: the next one opens them.
#[tokio::test]
async fn distributions_of_the_controller_are_served_now_or_by_the_next_process() {
    let mut followed = Followed::new();
    for root in ["first", "second"] {
        let root = followed.directory.path().join(root);
        fs::create_dir(&root).expect("made");
        fs::write(root.join("index.html"), root.file_name().expect("one").as_encoded_bytes())
            .expect("written");
    }
    let root = |name: &str| followed.directory.path().join(name).display().to_string();
    let (first, second) = (files(&root("first")), files(&root("second")));
    let fixed = format!(
        "[[distributions]]\nnames = [\"{SERVER_NAME}\"]\n\
         behaviours = [{{ path = \"/\", respond = {{ body = \"fixed\" }} }}]\n"
    );
    followed.start();
    followed.put(&fixed);
    assert_eq!(followed.body("/").await, (200, "fixed".into()));
    assert_eq!(followed.distributions().0, json!({"file": 0, "controller": 1}));

    followed.put(&first);
    let landlock = followed.edge.metric("landfast_landlock{enforced=\"none\"}");
    if landlock.as_deref() == Some("1") {
        return assert_eq!(followed.body("/").await, (200, "first".into()), "nothing is confined");
    }
    assert_eq!(followed.body("/").await, (200, "fixed".into()));
    let (_, shown) = followed.distributions();
    let reason = shown["refused"][0]["reason"].as_str().expect("it is refused").to_owned();
    assert!(reason.contains("restart it for another one"), "{reason}");
    assert_eq!((&shown["nodes_serving"], &shown["nodes_expected"]), (&json!(0), &json!(1)));
    let troubles = followed.controller.ask(&["status"]).expect("answered")["troubles"].to_string();
    assert!(troubles.contains("node 1 refuses distributions: "), "{troubles}");

    followed.stop_edge();
    followed.start();
    assert_eq!(followed.body("/").await, (200, "first".into()));
    let serves = |shown: &Value| shown["nodes_serving"] == 1;
    let show = ["distributions", "show"];
    followed.controller.until("it is told", WITHIN, &show, serves).expect("told");

    // And without a controller; what cannot be had then leaves what can.
    followed.put(&second);
    fs::remove_dir_all(followed.directory.path().join("second")).expect("there");
    followed.controller.kill().expect("it ran");
    followed.stop_edge();
    followed.edge.start();
    assert_eq!(followed.body("/").await, (200, "first".into()));
    assert_eq!(followed.edge.controller()["refused"][0]["item"], "distributions");

    // Where nothing of it can be had, clients would come for hosts that the node does not know.
    fs::remove_dir_all(followed.directory.path().join("first")).expect("there");
    followed.stop_edge();
    followed.edge.start_with(&[]);
    let Followed { edge, controller, .. } = &followed;
    let lacks = "the controller's distributions are not served";
    let is_out = || edge.get("/readyz").is_some_and(|(_, why)| why.starts_with(lacks));
    eventually("it is not to be announced", is_out, || edge.log());
    controller.start().expect("it serves again");
    controller.run(&["distributions", "remove"]).expect("removed");
    let is_ready = || edge.get("/readyz") == Some((200, "ready\n".into()));
    eventually("there is nothing that it lacks", is_ready, || edge.log());
}

#[tokio::test]
async fn a_nodes_own_distributions_stay_whatever_the_controller_puts_or_removes() {
    let mut followed = Followed::new();
    let fixed = |name: &str, body: &str| {
        format!(
            "[[distributions]]\nnames = [\"{name}\"]\n\
             behaviours = [{{ path = \"/\", respond = {{ body = \"{body}\" }} }}]\n"
        )
    };
    followed.edge.distribute(&fixed(SERVER_NAME, "own"));
    followed.start();
    followed.put(&fixed(SERVER_NAME, "the controller's"));
    assert_eq!(followed.body("/").await, (200, "own".into()));
    let refused = followed.edge.controller()["refused"][0].clone();
    assert_eq!(refused["item"], "distributions");
    let reason = refused["reason"].as_str().expect("text");
    assert!(reason.starts_with("the name landfast.test is in a distribution of this"), "{reason}");

    followed.put(&fixed("other.test", "the controller's"));
    assert_eq!(followed.distributions().0, json!({"file": 1, "controller": 1}));
    assert_eq!(followed.edge.controller()["refused"], json!([]));
    // Nor does a reload take what is the controller's.
    followed.edge.distribute(&fixed("other.test", "own"));
    let (code, _, said) = followed.edge.reload();
    assert!(code == Some(1) && said.contains("the name other.test is in"), "{said}");

    followed.controller.run(&["distributions", "remove"]).expect("removed");
    let gone = || followed.distributions().0 == json!({"file": 1, "controller": 0});
    eventually("they are gone", gone, || followed.edge.log());
    assert_eq!(followed.body("/").await, (200, "own".into()));
    let (code, said, warned) = followed.edge.reload();
    assert_eq!(code, Some(0), "{said}{warned}");
}

/// An identity of which two thirds are over, as the controller made it 17 hours ago.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_grows_old_is_renewed_kept_and_used() {
    let controller = nodes::Controller::start().await;
    let key = KeyPair::generate().expect("a key");
    let request = CertificateParams::default().serialize_request(&key).expect("made");
    let then = SystemTime::now() - Duration::from_secs(17 * 3600);
    let made = controller.authority.identify(1, request.der(), then.into()).expect("a request");
    let node = Node {
        id: 1,
        name: "a1".into(),
        site: "ams".into(),
        ipv4: Some("198.51.100.1".parse().expect("an address")),
        ipv6: None,
        serves: Vec::new(),
        standing: NodeStanding::Joining,
        identities: vec![made.key_sha256],
        lost: None,
    };
    let of_fleet = secrets::Secrets::generate(IdMode::Encrypted, 17).expect("random");
    let fleet_file = secrets::to_text(&of_fleet);
    let of_fleet = Secrets { fleet_file, rotations: Default::default() };
    controller.ledger.commit(Change::new().put(node).put(of_fleet)).await.expect("kept");

    let mut edge = Edge::new();
    edge.write_config_with(controller.address);
    let certificates = made.chain.iter().map(|der| pem("CERTIFICATE", der)).collect::<String>();
    let text = format!("landfast identity 1\n{}{certificates}", key.serialize_pem());
    fs::create_dir(edge.path("state")).expect("made");
    let file = edge.path("state/identity");
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
    let state = edge.path("state");
    let there = || Identity::load(state.as_ref()).expect("good").expect("there");
    let old = there().ends_at();

    edge.start_with(&[]);
    let renewed = || there().ends_at() > old && edge.log().contains("the identity is renewed");
    eventually("it is renewed", renewed, || edge.log());
    let follows = || edge.controller()["followed_seconds"].is_u64();
    eventually("it is followed under it", follows, || edge.log());
    let record = controller.ledger.get::<Node>("1").expect("it is there").value;
    assert_eq!(record.identities.len(), 2, "both are good until the next renewal");
    // Nobody has let it in.
    let (status, why) = edge.get("/readyz").expect("answered");
    assert!(status == 503 && why.starts_with("joining: "), "{why}");
    assert_eq!(edge.controller()["standing"], "joining");
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<_> = STANDARD.encode(der).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
    let body = String::from_utf8(lines.join(&b'\n')).expect("base64");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
