//! A store that a backup took the place of: who is a node of it, by what identity, and who is not.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use edge_user::identity::{Identity, enrol};
use fleet_wire::invitation::Invitation;
use tests::fleet::topology::Place;
use tests::fleet::{Controller, ControllerOptions};
use tonic::Code;

use super::identity::follow;

fn invited(controller: &Controller, name: &str) -> Invitation {
    let token = controller.invite(Place::named(name)).expect("invited");
    token.parse().expect("a token")
}

async fn enrolled(controller: &Controller, name: &str) -> Identity {
    let invitation = invited(controller, name);
    enrol(&invitation, &[controller.address().into()]).await.expect("enrolled")
}

/// Another identity, made in a later second: certificates know no less.
async fn renewed(identity: &Identity, controller: &Controller) -> Identity {
    in_the_next_second().await;
    let channel = identity.connect(&[controller.address().into()]).await.expect("connected");
    identity.renew(channel).await.expect("renewed")
}

async fn in_the_next_second() {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let before = second();
    while second() == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the controller takes this identity for that of a node.
async fn is_known(identity: &Identity, controller: &Controller) -> bool {
    let channel = identity.connect(&[controller.address().into()]).await.expect("connected");
    match follow(channel).await {
        Ok(()) => true,
        Err(status) if status.code() == Code::Unauthenticated => false,
        Err(status) => panic!("{status}"),
    }
}

/// The controller's store is lost, and made anew of what is at `from`. What `restore` says.
fn restored(controller: &Controller, from: &Path) -> Result<String> {
    controller.kill()?;
    fs::rename(controller.store(), controller.store().with_extension("old"))?;
    let said = controller.run(&["restore", from.to_str().expect("UTF-8")])?;
    controller.start()?;
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_renewed_after_the_backup_follow_and_no_earlier_key_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let controller = Controller::create(directory.path(), &ControllerOptions::default());
    let controller = controller.expect("made");
    controller.start().expect("it serves");
    let known = async |identity| is_known(identity, &controller).await;

    // Before the backup: one key is replaced, and one node removed.
    let replaced = enrolled(&controller, "a1").await;
    let second = renewed(&replaced, &controller).await;
    let third = renewed(&second, &controller).await;
    let removed_before = enrolled(&controller, "a3").await;
    controller.run(&["nodes", "remove", "a3"]).expect("removed");
    let comes_back = enrolled(&controller, "a2").await;
    let token = invited(&controller, "b1");
    in_the_next_second().await;
    let backup = directory.path().join("backup");
    controller.run(&["backup", backup.to_str().expect("UTF-8")]).expect("written");

    // After it: keys are replaced again, a node is removed, and a token is used.
    let stolen = renewed(&third, &controller).await;
    let fifth = renewed(&stolen, &controller).await;
    let last = renewed(&fifth, &controller).await;
    assert!(!known(&third).await && !known(&replaced).await);
    let removed_after = renewed(&comes_back, &controller).await;
    controller.run(&["nodes", "remove", "a2"]).expect("removed");
    let of_token = enrol(&token, &[controller.address().into()]).await.expect("enrolled");

    let said = restored(&controller, &backup).expect("restored");
    assert!(said.contains("nodes in it: a1, a2;") && said.contains("invitations in it: b1;"));
    // Who has stolen a key of the lost time comes first, renews it, and is cut off by the node.
    assert!(known(&stolen).await);
    let of_thief = renewed(&stolen, &controller).await;
    assert!(known(&of_thief).await && known(&last).await);
    for (identity, whose) in [
        (&of_thief, "the thief's, got by a key that was replaced"),
        (&stolen, "replaced after the backup"),
        (&fifth, "replaced after the backup, too"),
        (&third, "of the backup"),
        (&replaced, "replaced before the backup"),
        (&removed_before, "of a node that was removed before the backup"),
        (&of_token, "of a token that the backup takes for unused"),
    ] {
        assert!(!known(identity).await, "{whose}");
    }
    let on = renewed(&last, &controller).await;
    assert!(known(&on).await && known(&last).await);
    enrol(&token, &[controller.address().into()]).await.expect("the token is good again");

    // As `restore` said: it is back, until somebody removes it again, and then for good.
    assert!(known(&removed_after).await);
    controller.run(&["nodes", "remove", "a2"]).expect("removed");
    assert!(!known(&removed_after).await);
    let anew = enrolled(&controller, "a2").await;
    assert_eq!(anew.node(), removed_after.node());
    assert!(!known(&removed_after).await && known(&anew).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_does_not_say_when_it_was_made_knows_its_own_keys_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let controller = Controller::create(directory.path(), &ControllerOptions::default());
    let controller = controller.expect("made");
    controller.start().expect("it serves");
    let first = enrolled(&controller, "a1").await;
    controller.kill().expect("it ran");
    let copy = directory.path().join("copy");
    fs::copy(controller.store(), &copy).expect("copied");
    controller.start().expect("it serves again");
    let later = renewed(&first, &controller).await;
    assert!(is_known(&later, &controller).await);
    let said = restored(&controller, &copy).expect("restored");
    assert!(said.contains("must be invited anew"), "{said}");
    assert!(!is_known(&later, &controller).await && is_known(&first, &controller).await);
}
