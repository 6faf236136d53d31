//! `landfast-edge enrol`, as an operator runs it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use edge_user::identity::Identity;
use edge_user::serve;
use fleet_wire::invitation::Invitation;
use tests::fleet::programs;

use super::nodes::{Controller, HOUR};

/// A host with a configuration that names a controller.
struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    fn new(controller: &Controller) -> Self {
        let host = Self { directory: tempfile::tempdir().expect("a directory") };
        let config = format!(
            r#"
state_directory = "{}"
controller = {{ addresses = ["{}"] }}
listen = {{ anycast = ["192.0.2.1"] }}
steering = {{ mode = "off" }}
"#,
            host.path("state").display(),
            controller.address,
        );
        fs::write(host.path("edge.toml"), config).expect("written");
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn identity(&self) -> Option<Identity> {
        Identity::load(&self.path("state")).expect("good, or none")
    }

    /// Runs the program, with `token` on its standard input, beside the controller of this thread.
    async fn run(&self, arguments: &[&str], token: &str) -> Output {
        let mut command = Command::new(programs::edge());
        command.args(arguments).current_dir(self.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let token = token.to_owned();
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("it can be started");
            let mut input = child.stdin.take().expect("piped");
            // It may have ended without reading.
            let _ = input.write_all(token.as_bytes());
            drop(input);
            child.wait_with_output().expect("it ends")
        });
        ended.await.expect("no panic")
    }

    async fn enrol(&self, more: &[&str], token: &Invitation) -> (Option<i32>, String, String) {
        let arguments = ["enrol", "--config", "edge.toml", "--invitation-file", "-"];
        // As `nodes invite` prints it.
        let printed =
            format!("node 7 (n7) may join within a day, with this token, once:\n{token}\n");
        said(&self.run(&[&arguments, more].concat(), &printed).await)
    }
}

/// Exit code, standard output and standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_host_is_enrolled_once_and_anew_only_where_it_is_told_to() {
    let controller = Controller::start().await;
    let host = Host::new(&controller);
    let token = controller.invite(7, &[], HOUR).await;
    let (code, out, error) = host.enrol(&[], &token).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{error}");
    assert!(out.starts_with("this host is node 7: its identity is in "), "{out}");
    assert!(out.contains("good for 23 hours"), "{out}");
    let mode = fs::metadata(host.path("state/identity")).expect("there").mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(host.identity().expect("kept").node(), 7);

    let another = controller.invite(8, &[], HOUR).await;
    let (code, _, error) = host.enrol(&[], &another).await;
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("has an identity") && error.contains("--force"), "{error}");
    // What node 7 was given is not node 8's: keys of certificates may be in it.
    fs::write(host.path("state/bundle"), "of node 7").expect("written");
    let (code, out, error) = host.enrol(&["--force", "--json"], &another).await;
    assert_eq!(code, Some(0), "the refusal did not use it up: {error}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("one line of JSON");
    assert_eq!(report["node"], 8);
    assert!(report["renew_at"].as_u64() < report["ends_at"].as_u64(), "{report}");
    assert_eq!(host.identity().expect("kept").node(), 8);
    let mut left: Vec<_> = fs::read_dir(host.path("state")).expect("there").flatten().collect();
    left.sort_by_key(std::fs::DirEntry::file_name);
    let left: Vec<_> = left.iter().map(std::fs::DirEntry::file_name).collect();
    assert_eq!(left, ["identity", "lock"]);
}

#[tokio::test]
async fn what_keeps_a_host_from_enrolling_is_said_with_what_to_do() {
    let (controller, other) = (Controller::start().await, Controller::start().await);
    let host = Host::new(&controller);
    let used = controller.invite(1, &[], HOUR).await;
    let elsewhere = Host::new(&controller);
    assert_eq!(elsewhere.enrol(&[], &used).await.0, Some(0));
    let expired = controller.invite(2, &[], 0).await;
    let theirs = other.invite(3, &[], HOUR).await;
    let refused = "the invitation is not good: used already, expired, or not ours. \
                   `landfast-controller nodes invite` makes another";
    let stranger = "is not of our controller's authority";
    for (token, code, words) in
        [(&used, 2, refused), (&expired, 2, refused), (&theirs, 1, stranger)]
    {
        let (ended, out, error) = host.enrol(&[], token).await;
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{error}");
        assert!(error.contains(words), "{error}");
        assert!(host.identity().is_none() && !host.path("state/identity.new").exists());
    }
    // No token is repeated, and none is an argument.
    let cut = &used.to_string()[..50];
    let arguments = ["enrol", "--config", "edge.toml", "--invitation-file", "-"];
    let (code, _, error) = said(&host.run(&arguments, cut).await);
    assert_eq!(code, Some(2));
    assert!(error.contains("copy the whole line") && !error.contains(cut), "{error}");
    let (code, _, error) = said(&host.run(&arguments[..3], "").await);
    assert_eq!(code, Some(2));
    assert!(error.contains("--invitation-file <FILE>"), "{error}");
    // Nobody is there: the token is as good as before.
    let good = controller.invite(4, &[], HOUR).await;
    let (code, _, error) = host.enrol(&["--controller", "127.0.0.1:1"], &good).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("no controller is reached: 127.0.0.1:1: Connection refused"), "{error}");
    // Another process of the node would go on as the node that it was.
    let running = serve::lock(&host.path("state")).expect("free");
    let (code, _, error) = host.enrol(&[], &good).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("another landfast-edge uses"), "{error}");
    drop(running);
    fs::write(host.path("token"), good.to_string()).expect("written");
    let address = controller.address.to_string();
    let without = ["enrol", "--controller", &address, "--state-directory", "elsewhere"];
    let arguments = [&without[..], &["--invitation-file", "token"]].concat();
    let (code, out, error) = said(&host.run(&arguments, "").await);
    assert_eq!(code, Some(0), "no configuration is needed: {error}");
    assert!(out.contains("elsewhere/identity"), "{out}");
}

#[tokio::test]
async fn a_configuration_with_a_controller_is_checked_as_far_as_can_be_told() {
    let controller = Controller::start().await;
    let host = Host::new(&controller);
    let check = ["check-config", "--config", "edge.toml"];
    let summary = format!("edge.toml is good: a node of the controller at {}", controller.address);
    let (code, out, error) = said(&host.run(&check, "").await);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.starts_with(&summary), "{out}");
    assert!(error.contains("warning: this node has no identity towards its controller"), "{error}");
    let token = controller.invite(7, &[], HOUR).await;
    assert_eq!(host.enrol(&[], &token).await.0, Some(0));
    let (code, _, error) = said(&host.run(&check, "").await);
    assert_eq!(code, Some(0));
    assert!(!error.contains("identity"), "{error}");
    fs::write(host.path("state/identity"), "damaged").expect("written");
    let (code, _, error) = said(&host.run(&check, "").await);
    assert_eq!(code, Some(2));
    assert!(error.contains("it is of another version, or no identity"), "{error}");
}
