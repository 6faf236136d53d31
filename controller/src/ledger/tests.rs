use std::path::Path;

use super::*;
use crate::records::Challenge;
use crate::store::{Embedded, KeyFile, Sealed};

async fn open(directory: &Path) -> Ledger {
    let (store, key) = (directory.join("store"), directory.join("key"));
    let store = if store.exists() { Embedded::open(&store) } else { Embedded::create(&store) };
    let key = if key.exists() { KeyFile::open(&key) } else { KeyFile::create(&key) };
    let sealed = Sealed::new(store.expect("a store"), key.expect("a key"));
    Ledger::open(Arc::new(sealed)).await.expect("opened")
}

fn challenge(token: &str, answer: &str) -> Challenge {
    Challenge::Http01 { token: token.into(), key_authorization: answer.into() }
}

/// Begins a change, and stops waiting for it at once: as a request whose stream is reset.
async fn abandon(ledger: &Ledger, change: Change) {
    tokio::select! {
        biased;
        made = ledger.commit(change) => panic!("the store is not asked: {made:?}"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_any_more_is_in_the_store_and_in_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(directory.path()).await;
    ledger.commit(Change::new().put(challenge("a", "1"))).await.expect("kept");
    abandon(&ledger, Change::new().put(challenge("a", "2")).put(challenge("b", "1"))).await;

    // It comes after what was abandoned, for which it waits its turn.
    let at = ledger.commit(Change::new().put(challenge("c", "1"))).await.expect("kept");
    assert_eq!(at.serial, 3);
    let seen = ledger.get::<Challenge>("http-01/a").expect("there");
    assert_eq!((seen.value, seen.revision), (challenge("a", "2"), 2));
    assert_eq!(ledger.book(|book| book.serial_of("challenge/http-01/b")), Some(2));
    let seen = ledger.get::<Challenge>("http-01/a").expect("there");
    let removal = Change::new().if_unchanged(&seen).delete(&seen.value);
    ledger.commit(removal).await.expect("memory knows the store's revision");

    let before = ledger.all::<Challenge>();
    assert_eq!(before.len(), 2);
    drop(ledger);
    assert_eq!(open(directory.path()).await.all::<Challenge>(), before);
}

#[tokio::test]
async fn a_change_that_is_abandoned_before_its_turn_is_not_begun() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = open(directory.path()).await;
    let turn = ledger.turn.lock().await;
    abandon(&ledger, Change::new().put(challenge("a", "1"))).await;
    drop(turn);
    let at = ledger.commit(Change::new().put(challenge("b", "1"))).await.expect("kept");
    assert_eq!((at.serial, ledger.all::<Challenge>().len()), (1, 1));
}
