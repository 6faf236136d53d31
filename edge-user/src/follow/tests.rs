//! A node that follows a controller which is a test: it sends what the test says, over gRPC.

mod scripted;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use distributions::Served;
use fleet_wire::message::item::Body;
use fleet_wire::message::{self, Bundle, Item, Position, Report, Standing, order, report};
use fleet_wire::secrets::{IdMode, Secrets, to_text};
use fleet_wire::{PROTOCOL, key};
use tokio::sync::watch;

use super::first::{self, Fleet};
use super::follower::{Again, Follower};
use super::force::{self, Force};
use super::last_good::LastGood;
use super::stream::StreamError;
use super::view::View;
use crate::admin::control::Control;
use crate::admin::samples::parts;
use crate::limits;
use crate::steering::tables::samples;
use scripted::{Controller, Stream};

const NODE: u16 = 1;

/// The node, whose process has no workers.
struct Node {
    control: Arc<Control>,
    shown: watch::Receiver<View>,
    kept: watch::Receiver<Option<Arc<LastGood>>>,
}

impl Node {
    fn new(secrets: &Secrets) -> (Self, Follower) {
        let control = Arc::new(Control::new(parts(samples::config(NODE), secrets)));
        let shown = watch::Sender::new(View {
            addresses: Vec::new(),
            connected: None,
            last_error: None,
            position: None,
            standing: Standing::Unspecified,
            refused: Vec::new(),
            identity_ends: SystemTime::now(),
            bundles: 0,
            failures: 0,
        });
        let keep = watch::Sender::new(None);
        let node = Self {
            control: Arc::clone(&control),
            shown: shown.subscribe(),
            kept: keep.subscribe(),
        };
        (node, Follower::new(NODE, Force::new(control), Arc::new(shown), keep))
    }

    fn answers(&self, token: &str) -> bool {
        self.control.challenges().http01(token).is_some()
    }
}

fn secrets() -> Secrets {
    Secrets::generate(IdMode::Encrypted, 17).expect("random")
}

fn item(key: &str, body: Body) -> Item {
    Item { key: key.to_owned(), body: Some(body) }
}

fn of_fleet(secrets: &Secrets) -> Item {
    let fleet_file = to_text(secrets).into_bytes().into();
    item(key::SECRETS, Body::Secrets(message::Secrets { fleet_file }))
}

fn challenge(token: &str) -> Item {
    let token = token.repeat(43);
    let key_authorization = format!("{token}.{}", "p".repeat(43));
    let body = Body::Http01(message::Http01 { token: token.clone(), key_authorization });
    item(&format!("{}{token}", key::HTTP_01), body)
}

/// The entry of node 1 as the process has it.
fn entry(standing: Standing) -> Item {
    let config = samples::config(NODE);
    let ours = config.our_node();
    let node = message::Node {
        id: NODE.into(),
        name: ours.name.clone(),
        site: ours.site.clone(),
        ipv4: ours.ipv4.map(|ip| ip.octets().to_vec()).unwrap_or_default().into(),
        ipv6: ours.ipv6.map(|ip| ip.octets().to_vec()).unwrap_or_default().into(),
        standing: standing.into(),
    };
    item(&format!("{}{NODE}", key::NODE), Body::Node(node))
}

fn bad_certificate(name: &str) -> Item {
    let body = Body::Certificate(message::Certificate { chain: Vec::new(), key: Bytes::new() });
    item(&format!("{}{name}", key::CERTIFICATE), body)
}

fn at(epoch: u64, term: u64, serial: u64) -> Option<Position> {
    Some(Position { epoch, term, serial })
}

fn whole(position: Option<Position>, items: Vec<Item>) -> Bundle {
    Bundle { position, whole: true, last: true, items, removed: Vec::new() }
}

fn changes(position: Option<Position>, items: Vec<Item>) -> Bundle {
    Bundle { whole: false, ..whole(position, items) }
}

/// A node that follows by a stream which the controller welcomed, with `secrets` in force.
async fn following(secrets: &Secrets) -> (Node, Stream, tokio::task::JoinHandle<Ended>) {
    let (node, mut follower) = Node::new(secrets);
    let mut controller = Controller::start();
    let channel = controller.channel().await;
    let task = tokio::spawn(async move {
        follower.follow(channel, std::future::pending::<()>()).await.map(|_| ())
    });
    let mut stream = controller.stream().await;
    assert_eq!(stream.hello().await.position, None);
    stream.welcome(PROTOCOL).await;
    (node, stream, task)
}

type Ended = Result<(), StreamError>;

#[tokio::test]
async fn what_a_stream_brings_is_in_force_when_it_is_answered_shown_and_kept() {
    let secrets = secrets();
    let (node, mut stream, _task) = following(&secrets).await;
    let items = vec![of_fleet(&secrets), entry(Standing::Joining), challenge("a")];
    stream.send(whole(at(1, 1, 7), items)).await;
    let applied = stream.applied().await;
    assert_eq!((applied.position, applied.refused.len()), (at(1, 1, 7), 0), "{applied:?}");
    assert!(node.answers(&"a".repeat(43)));
    let view = node.shown.borrow().clone();
    assert_eq!((view.position, view.standing, view.bundles), (at(1, 1, 7), Standing::Joining, 1));
    assert!(view.connected.is_some() && view.not_ready().is_some());
    let kept = node.kept.borrow().clone().expect("to be kept");
    assert_eq!((Some(kept.position), kept.items.len()), (at(1, 1, 7), 3));
    Fleet::of(NODE, &kept).expect("to start with");

    stream.send(changes(at(1, 1, 8), vec![entry(Standing::Serving)])).await;
    stream.applied().await;
    assert_eq!(node.shown.borrow().not_ready(), None);
}

#[tokio::test]
async fn a_bad_item_is_refused_by_name_and_the_rest_is_taken() {
    let secrets = secrets();
    let (node, mut stream, _task) = following(&secrets).await;
    let later = Item { key: "later/1".into(), body: None };
    let other = Secrets { worker_hash: [9; 16], ..secrets.clone() };
    let items = vec![later, bad_certificate("a.example"), of_fleet(&other), challenge("a")];
    stream.send(whole(at(1, 1, 1), items)).await;
    let refused = stream.applied().await.refused;
    let mut keys: Vec<_> = refused.iter().map(|refused| refused.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["certificate/a.example", "later/1", "secrets"]);
    assert!(node.answers(&"a".repeat(43)));
    assert_eq!(node.shown.borrow().refused.len(), 3);
    let kept = node.kept.borrow().clone().expect("to be kept");
    assert_eq!(kept.for_next_start.len(), 1, "what only a new process can take");
    stream.send(changes(at(1, 1, 2), vec![of_fleet(&secrets)])).await;
    assert!(stream.applied().await.refused.is_empty());
    assert_eq!(node.shown.borrow().refused.len(), 2);
}

#[tokio::test]
async fn what_only_a_start_can_take_is_there_at_the_next_one() {
    let secrets = secrets();
    let (node, mut stream, _task) = following(&secrets).await;
    let items = vec![of_fleet(&secrets), entry(Standing::Serving)];
    stream.send(whole(at(1, 1, 1), items)).await;
    stream.applied().await;
    assert_eq!(node.kept.borrow().clone().expect("to be kept").at_next_start(|_| true), None);
    let other = Secrets { worker_hash: [9; 16], ..secrets.clone() };
    stream.send(changes(at(1, 1, 2), vec![of_fleet(&other)])).await;
    assert_eq!(stream.applied().await.refused.len(), 1);
    let kept = node.kept.borrow().clone().expect("to be kept");
    let start = |state: &LastGood| Fleet::of(NODE, state).expect("enough").secrets.worker_hash;
    assert_eq!(start(&kept), secrets.worker_hash);
    let next = kept.at_next_start(|_| true).expect("another one");
    assert_eq!((start(&next), next.items.len()), (other.worker_hash, 2));
}

fn of_files(root: &Path) -> Item {
    let root = root.display();
    let file = format!(
        "[[distributions]]\nnames = [\"a.example\"]\n\
         behaviours = [{{ path = \"/\", files = {{ root = \"{root}\" }} }}]\n"
    );
    let given = message::Distributions { file: file.into() };
    item(key::DISTRIBUTIONS, Body::Distributions(given))
}

#[tokio::test]
async fn distributions_that_cannot_be_served_leave_the_old_and_wait_for_the_next_start() {
    let secrets = secrets();
    let directory = tempfile::tempdir().expect("made");
    let (first, second) = (directory.path().to_owned(), directory.path().join("second"));
    let (node, mut stream, _task) = following(&secrets).await;
    let items = vec![of_fleet(&secrets), entry(Standing::Serving), of_files(&first)];
    stream.send(whole(at(1, 1, 1), items)).await;
    assert_eq!(stream.applied().await.refused, []);
    stream.send(changes(at(1, 1, 2), vec![of_files(&second), challenge("a")])).await;
    let refused = stream.applied().await.refused;
    let [refused] = &refused[..] else { panic!("one: {refused:?}") };
    assert_eq!(refused.key, key::DISTRIBUTIONS);
    assert!(refused.reason.contains(&second.display().to_string()), "{}", refused.reason);
    assert!(node.answers(&"a".repeat(43)));
    let kept = node.kept.borrow().clone().expect("to be kept");
    let root = |state: &LastGood| {
        let served = force::distributions(state);
        served.distributions[0].roots().next().expect("files").to_owned()
    };
    assert_eq!(root(&kept), first);
    assert_eq!(kept.at_next_start(|item| item.key != key::DISTRIBUTIONS), None);
    let next = kept.at_next_start(|item| item.key == key::DISTRIBUTIONS).expect("another one");
    assert_eq!((root(&next), next.items.len()), (second, kept.items.len()));
    // Gone from the controller, gone here.
    let gone = Bundle { removed: vec![key::DISTRIBUTIONS.into()], ..changes(at(1, 1, 3), vec![]) };
    stream.send(gone).await;
    assert_eq!(stream.applied().await.refused, []);
    let kept = node.kept.borrow().clone().expect("to be kept");
    assert_eq!(force::distributions(&kept), Served::default());
    assert_eq!((kept.for_next_start.len(), kept.refused.len()), (0, 0));
}

#[tokio::test]
async fn an_older_leader_is_not_followed_and_nothing_of_it_is_taken() {
    let (node, mut stream, task) = following(&secrets()).await;
    stream.send(whole(at(2, 5, 1), vec![challenge("a")])).await;
    stream.applied().await;
    stream.send(changes(at(2, 4, 9), vec![challenge("b")])).await;
    let ended = task.await.expect("no panic").expect_err("not followed");
    assert!(matches!(ended, StreamError::Unfollowed(_)), "{ended}");
    assert!(node.answers(&"a".repeat(43)) && !node.answers(&"b".repeat(43)));
    assert_eq!(node.shown.borrow().position, at(2, 5, 1));
}

#[tokio::test]
async fn what_is_no_controller_is_not_followed() {
    let welcome = |protocol| order::Kind::Welcome(scripted::welcome(protocol));
    let bundle = |bundle| order::Kind::Bundle(bundle);
    let large = Item { key: "x".repeat(fleet_wire::MAX_MESSAGE_BYTES), body: None };
    for (orders, reason) in [
        (vec![bundle(whole(at(1, 1, 1), Vec::new()))], "first order is not its Welcome"),
        (vec![welcome(PROTOCOL), welcome(PROTOCOL)], "welcomes a second time"),
        (vec![welcome(PROTOCOL + 2)], "update the node"),
        (vec![welcome(PROTOCOL), bundle(whole(None, Vec::new()))], "without a position"),
        (vec![welcome(PROTOCOL), bundle(whole(at(1, 1, 1), vec![large]))], "the stream was ended"),
    ] {
        let (node, mut follower) = Node::new(&secrets());
        let mut controller = Controller::start();
        let channel = controller.channel().await;
        let follow = follower.follow(channel, std::future::pending::<()>());
        let send = async {
            let mut stream = controller.stream().await;
            stream.hello().await;
            for order in orders {
                stream.order(order).await;
            }
            stream.closed().await;
        };
        let (ended, ()) = tokio::join!(follow, send);
        let error = ended.expect_err("not followed").to_string();
        assert!(error.contains(reason), "{error}");
        assert!(node.kept.borrow().is_none());
    }
}

#[tokio::test]
async fn a_controller_of_the_next_version_is_followed_and_told_no_more_than_it_knows() {
    let (_node, mut follower) = Node::new(&secrets());
    let mut controller = Controller::start();
    let channel = controller.channel().await;
    let task = tokio::spawn(async move {
        follower.follow(channel, std::future::pending::<()>()).await.map(drop)
    });
    let mut stream = controller.stream().await;
    stream.hello().await;
    stream.welcome(PROTOCOL + 1).await;
    stream.unknown().await;
    stream.send(whole(at(1, 1, 1), vec![challenge("a")])).await;
    assert_eq!(stream.applied().await.position, at(1, 1, 1));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_node_says_that_it_lives_and_waits_for_a_slow_controller() {
    let (_node, mut stream, task) = following(&secrets()).await;
    let slow = Bundle { last: false, ..whole(at(1, 1, 1), vec![challenge("a")]) };
    stream.send(slow).await;
    let asked = Duration::from_millis(scripted::KEEPALIVE_MILLISECONDS.into());
    for _ in 0..100 {
        let heard = tokio::time::Instant::now();
        let Some(Report { kind: Some(report::Kind::Alive(_)) }) = stream.report().await else {
            panic!("it has nothing else to say");
        };
        assert!(heard.elapsed() < asked);
    }
    assert!(!task.is_finished());
    stream.send(whole(at(1, 1, 1), vec![challenge("b")])).await;
    assert_eq!(stream.applied().await.refused, []);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_never_welcomes_is_given_up() {
    let (_node, mut follower) = Node::new(&secrets());
    let controller = Controller::start();
    let channel = controller.channel().await;
    let begun = tokio::time::Instant::now();
    let ended = follower.follow(channel, std::future::pending::<()>()).await;
    assert!(matches!(ended, Err(StreamError::Silent)), "{ended:?}");
    assert!(begun.elapsed() >= limits::WELCOME_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_tried_again_and_the_next_hello_says_that_it_is_taken() {
    let secrets = secrets();
    let (node, mut follower) = Node::new(&secrets);
    let mut controller = Controller::start();
    let channel = controller.channel().await;
    let task = tokio::spawn(async move {
        for _ in 0..2 {
            let ended = follower.follow(channel.clone(), std::future::pending::<()>()).await;
            assert!(matches!(ended, Ok(Again::LessIsRefused)), "{ended:?}");
        }
    });
    let mut stream = controller.stream().await;
    stream.hello().await;
    stream.welcome(PROTOCOL).await;
    // There is one account at a time: the second one is refused until the first is gone.
    let account = |name: &str, thumbprint: &str| {
        let body = Body::Account(message::Account { thumbprint: thumbprint.repeat(43) });
        item(&format!("{}{name}", key::ACCOUNT), body)
    };
    let items = vec![account("a", "a"), account("b", "b")];
    stream.send(whole(at(1, 1, 1), items)).await;
    let refused = stream.applied().await.refused;
    assert_eq!(refused.len(), 1, "{refused:?}");
    let gone = if refused[0].key == "account/b" { "account/a" } else { "account/b" };
    let removed = vec![gone.to_owned()];
    stream.send(Bundle { removed, ..changes(at(1, 1, 2), Vec::new()) }).await;
    stream.applied().await;
    let mut stream = controller.stream().await;
    let hello = stream.hello().await;
    assert_eq!((hello.position, hello.refused), (at(1, 1, 2), Vec::new()));
    assert_eq!(node.shown.borrow().refused, []);
    task.abort();
}

#[tokio::test]
async fn a_node_that_starts_again_says_where_it_stands_unless_something_was_refused() {
    let secrets = secrets();
    let items: Vec<_> = [of_fleet(&secrets), entry(Standing::Serving), challenge("a")]
        .into_iter()
        .map(Arc::new)
        .collect();
    let position = Position { epoch: 1, term: 1, serial: 5 };
    let refused = message::Refused { key: "certificate/a".into(), reason: "its key".into() };
    for (refused, says) in [(Vec::new(), Some(position)), (vec![refused], None)] {
        let last_good =
            LastGood { position, items: items.clone(), refused, for_next_start: Vec::new() };
        let (node, mut follower) = Node::new(&secrets);
        follower.restore(&last_good).await;
        assert!(node.answers(&"a".repeat(43)));
        let view = node.shown.borrow().clone();
        assert_eq!((view.position, view.not_ready()), (Some(position), None));
        assert_eq!(view.refused, last_good.refused);
        let mut controller = Controller::start();
        let channel = controller.channel().await;
        let follow = follower.follow(channel, std::future::pending::<()>());
        let (ended, hello) = tokio::join!(follow, async {
            let mut stream = controller.stream().await;
            let hello = stream.hello().await;
            stream.welcome(PROTOCOL).await;
            hello
        });
        assert!(ended.is_err());
        assert_eq!(hello.position, says);
        // An older store is not followed either way.
        let mut controller = Controller::start();
        let channel = controller.channel().await;
        let follow = follower.follow(channel, std::future::pending::<()>());
        let (ended, ()) = tokio::join!(follow, async {
            let mut stream = controller.stream().await;
            stream.hello().await;
            stream.welcome(PROTOCOL).await;
            stream.send(whole(at(0, 9, 9), Vec::new())).await;
            stream.closed().await;
        });
        assert!(matches!(ended, Err(StreamError::Unfollowed(_))), "{ended:?}");
    }
}

#[tokio::test]
async fn the_first_bundle_is_whole_and_enough_to_start_with_and_is_not_answered() {
    let secrets = secrets();
    for (bundles, expected) in [
        (vec![changes(at(1, 1, 1), Vec::new())], Err("sends changes to a node that has nothing")),
        (vec![whole(at(1, 1, 1), vec![of_fleet(&secrets)])], Err("no entry of node 1")),
        (vec![whole(at(1, 1, 1), vec![entry(Standing::Joining)])], Err("no secrets")),
        (
            vec![
                Bundle {
                    last: false,
                    ..whole(at(1, 1, 1), vec![of_fleet(&secrets), bad_certificate("a")])
                },
                whole(at(1, 1, 1), vec![entry(Standing::Joining)]),
            ],
            Ok(3),
        ),
    ] {
        let mut controller = Controller::start();
        let channel = controller.channel().await;
        let (first, ()) = tokio::join!(first::fetch(channel, NODE), async {
            let mut stream = controller.stream().await;
            assert_eq!(stream.hello().await.position, None);
            stream.welcome(PROTOCOL).await;
            for bundle in bundles {
                stream.send(bundle).await;
            }
            assert!(stream.report().await.is_none(), "there is nothing in force to be said");
        });
        match (first, expected) {
            (Ok(first), Ok(items)) => assert_eq!(first.items.len(), items),
            (Err(error), Err(reason)) => {
                assert!(error.to_string().contains(reason), "{error}");
            }
            (first, expected) => panic!("{first:?} instead of {expected:?}"),
        }
    }
}
