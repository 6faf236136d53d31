//! A configuration that is read again, and what a controller gives beside it.

use std::fs;
use std::path::{Path, PathBuf};

use fleet_wire::secrets::{IdMode, Secrets};
use tempfile::TempDir;

use super::*;
use crate::admin::samples::parts;
use crate::config::{self, Host};

/// A node without workers, its configuration, and directories.
struct Node {
    control: Control,
    directory: TempDir,
}

fn config_with(own: &str, directory: &Path) -> String {
    format!(
        r#"
state_directory = "{directory}"
controller = {{ addresses = ["192.0.2.99:4840"] }}
listen = {{ anycast = ["192.0.2.1"] }}
steering = {{ mode = "off" }}
{own}"#,
        directory = directory.display()
    )
}

fn given(text: &str) -> Served {
    let read = distributions::parse("given".as_ref(), text);
    read.unwrap_or_else(|error| panic!("{}", error.render()))
}

fn answers(name: &str) -> String {
    format!(
        "[[distributions]]\nnames = [\"{name}\"]\nbehaviours = [{{ path = \"/\", respond = {{ body = \"a\" }} }}]\n"
    )
}

fn files(name: &str, root: &Path) -> String {
    let root = root.display();
    format!(
        "[[distributions]]\nnames = [\"{name}\"]\nbehaviours = [{{ path = \"/\", files = {{ root = \"{root}\" }} }}]\n"
    )
}

impl Node {
    fn new(own: &str) -> Self {
        let directory = tempfile::tempdir().expect("made");
        let path = directory.path().join("edge.toml");
        fs::write(&path, config_with(own, directory.path())).expect("written");
        let config = config::load(&path, &Host::elsewhere());
        let config = config.unwrap_or_else(|error| panic!("{}", error.render()));
        let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
        Self { control: Control::new(parts(config, &secrets)), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn give(&self, text: &str) -> Result<Vec<String>, String> {
        self.control.change_distributions(given(text)).await.map_err(|error| error.to_string())
    }

    async fn reload(&self, own: &str) -> Result<Vec<String>, String> {
        fs::write(self.path("edge.toml"), config_with(own, self.directory.path()))
            .expect("written");
        let reloaded = self.control.reload().await;
        reloaded.map(|reloaded| reloaded.changes).map_err(|error| error.to_string())
    }

    /// How many are of the file and of the controller, and what differs from both together.
    fn in_force(&self, expected: &str) -> (usize, usize, Vec<String>) {
        let DistributionsStatus { file, controller } = self.control.sources.load().status();
        let Served { distributions, origins } = given(expected);
        let expected = Distributions::open(&distributions, &origins).expect("opened");
        (file, controller, expected.changes_since(&self.control.distributions.borrow()))
    }
}

#[tokio::test]
async fn what_the_controller_gives_is_answered_beside_what_the_file_has() {
    let (own, other) = (answers("own.example"), answers("other.example"));
    let node = Node::new(&own);
    assert_eq!(node.in_force(&own), (1, 0, vec![]));
    assert_eq!(node.give(&other).await, Ok(vec!["distribution other.example: added".into()]));
    assert_eq!(node.in_force(&(own.clone() + &other)), (1, 1, vec![]));
    assert_eq!(node.give(&other).await, Ok(vec![]), "it is in force");
    // Either changes without the other.
    let later = answers("later.example");
    assert_eq!(node.reload(&later).await.expect("read").len(), 2);
    assert_eq!(node.in_force(&(later.clone() + &other)), (1, 1, vec![]));
    assert_eq!(node.give("").await, Ok(vec!["distribution other.example: removed".into()]));
    assert_eq!(node.in_force(&later), (1, 0, vec![]));
}

#[tokio::test]
async fn a_name_of_both_is_refused_to_whoever_comes_second() {
    let own = answers("own.example");
    let node = Node::new(&own);
    let other = answers("other.example");
    node.give(&other).await.expect("it is another");
    let both = answers("*.own.example") + &answers("own.example");
    let refused = node.give(&both).await.expect_err("it is the file's");
    assert!(refused.starts_with("the name own.example is in a distribution of this"), "{refused}");
    let refused = node.reload(&other).await.expect_err("it is the controller's");
    assert!(refused.starts_with("the name other.example is in"), "{refused}");
    assert!(refused.ends_with("nothing is changed"), "{refused}");
    assert_eq!(node.in_force(&(own + &other)), (1, 1, vec![]));
}

#[tokio::test]
async fn what_cannot_be_opened_leaves_what_was_given_before() {
    let node = Node::new("");
    let (good, bad) = (node.path("good"), node.path("bad"));
    fs::create_dir(&good).expect("made");
    let first = files("files.example", &good);
    node.give(&first).await.expect("it can be");
    let refused = node.give(&files("files.example", &bad)).await.expect_err("it is not there");
    assert!(refused.contains(&format!("the files of {}", bad.display())), "{refused}");
    assert_eq!(node.in_force(&first), (0, 1, vec![]));
    fs::create_dir(&bad).expect("made");
    let changed = node.give(&files("files.example", &bad)).await;
    assert_eq!(changed, Ok(vec!["distribution files.example: changed".into()]));
}
