//! What the store promises: nothing that was committed is lost, nothing is half there, and nobody
//! writes who leads no more.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controller::ledger::{Change, Ledger, LedgerError};
use controller::records::{KeyType, Request};
use controller::store::{
    Check, Embedded, KeyFile, SealError, Sealed, Store, StoreError, Transaction, Write,
};

fn put(term: u64, key: &str, value: &str) -> Transaction {
    let write = Write::Put(key.to_owned(), Bytes::from(value.to_owned()));
    Transaction { term, checks: Vec::new(), writes: vec![write] }
}

fn request(id: &str, issuer: &str) -> Request {
    let names = vec![id.to_owned()];
    Request { id: id.into(), names, issuer: issuer.into(), key_type: KeyType::P256 }
}

fn sealed(directory: &Path) -> Sealed<Embedded> {
    let key = KeyFile::create(&directory.join("key")).expect("a key");
    Sealed::new(Embedded::create(&directory.join("store")).expect("a store"), key)
}

/// Names the store that the child of the next test writes to.
const WRITER: &str = "LANDFAST_TEST_WRITER";

/// Run by the test below in a process of its own, which is killed while it commits.
#[tokio::test]
async fn writer_until_it_is_killed() {
    let Ok(path) = std::env::var(WRITER) else { return };
    let store = Embedded::open(path.as_ref()).expect("ours");
    let term = store.lead().await.expect("led");
    for number in 0_u64.. {
        // Two records that belong together, and a count of what is safe.
        let mut transaction = put(term, "left", &number.to_string());
        transaction.writes.extend(put(term, "right", &number.to_string()).writes);
        store.commit(transaction).await.expect("committed");
        println!("safe {number}");
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_that_was_committed_and_tears_nothing() {
    use std::io::{BufRead, BufReader};
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    drop(Embedded::create(&path).expect("a store"));
    for commits in [1, 2, 5, 11, 30] {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--exact", "writer_until_it_is_killed", "--nocapture"]).env(WRITER, &path);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let safe = |line: &str| line.split("safe ").nth(1).and_then(|it| it.trim().parse().ok());
        let mut last: u64 = 0;
        let mut seen = 0;
        while seen < commits {
            let line = lines.next().expect("it writes until it is killed").expect("text");
            if let Some(number) = safe(&line) {
                (last, seen) = (number, seen + 1);
            }
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("gone");
        // What it had said before it died.
        last = lines.map_while(Result::ok).filter_map(|line| safe(&line)).last().unwrap_or(last);
        let store = Embedded::open(&path).expect("it opens after a crash");
        let entries = store.snapshot().await.expect("whole").entries;
        let values: Vec<u64> = entries
            .iter()
            .map(|entry| std::str::from_utf8(&entry.value).expect("text").parse().expect("number"))
            .collect();
        assert_eq!(values.len(), 2);
        assert_eq!(values[0], values[1], "half of a transaction is there");
        assert!(values[0] >= last, "{last} was committed, and {} is there", values[0]);
    }
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_with_the_cure() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    drop(Embedded::create(&path).expect("a store"));
    {
        let database = redb::Database::open(&path).expect("a database");
        let write = database.begin_write().expect("begun");
        let numbers = redb::TableDefinition::<&str, u64>::new("numbers");
        write.open_table(numbers).expect("there").insert("schema", 99).expect("written");
        write.commit().expect("committed");
    }
    let Err(error) = Embedded::open(&path) else { panic!("it opened") };
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("use a newer landfast-controller"), "{error}");
}

#[tokio::test]
async fn one_process_at_a_time_has_a_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let Err(error) = Embedded::open(&path) else { panic!("it opened") };
    assert!(matches!(error, StoreError::Missing(_)));
    let _store = Embedded::create(&path).expect("a store");
    let Err(error) = Embedded::open(&path) else { panic!("it opened") };
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    let Err(error) = Embedded::create(&path) else { panic!("it was replaced") };
    assert!(matches!(error, StoreError::Exists(_)), "{error}");
}

#[tokio::test]
async fn who_leads_no_more_writes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Embedded::create(&directory.path().join("store")).expect("a store");
    let first = store.lead().await.expect("led");
    store.commit(put(first, "a", "1")).await.expect("it leads");
    let second = store.lead().await.expect("led");
    let error = store.commit(put(first, "a", "2")).await.expect_err("fenced");
    assert!(
        matches!(error, StoreError::Fenced { ours, latest } if (ours, latest) == (first, second))
    );
    assert_eq!(&store.snapshot().await.expect("read").entries[0].value[..], b"1");
    let mut conflict = put(second, "a", "3");
    conflict.checks = vec![Check::Absent("a".into())];
    let error = store.commit(conflict).await.expect_err("it is there");
    assert!(matches!(error, StoreError::Conflict(key) if key == "a"));
}

#[test]
fn a_sealing_key_that_others_may_read_is_refused_with_the_cure() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    KeyFile::create(&path).expect("made");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
    assert!(matches!(KeyFile::create(&path), Err(SealError::Write(..))), "it is not replaced");
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        let error = KeyFile::open(&path).expect_err("open to others").to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
    std::fs::write(&path, [1; 31]).expect("ours");
    assert!(matches!(KeyFile::open(&path), Err(SealError::Form(_))));
}

#[tokio::test]
async fn values_open_under_their_key_and_in_their_place_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = sealed(directory.path());
    let term = store.lead().await.expect("led");
    store.commit(put(term, "a", "SECRET")).await.expect("written");
    let raw = store.inner().snapshot().await.expect("read").entries.remove(0);
    assert!(!raw.value.windows(6).any(|window| window == b"SECRET"));
    let file = std::fs::read(directory.path().join("store")).expect("a file");
    assert!(!file.windows(6).any(|window| window == b"SECRET"), "in clear on the disk");
    // Put in another's place by somebody who can write the file.
    let moved = Write::Put("b".into(), raw.value);
    let moved = Transaction { term, checks: Vec::new(), writes: vec![moved] };
    store.inner().commit(moved).await.expect("written");
    let error = store.snapshot().await.expect_err("not its place");
    assert!(matches!(error, StoreError::Seal(SealError::Open(key)) if key == "b"));
}

#[tokio::test]
async fn a_backup_made_while_in_use_becomes_a_later_epoch() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(Embedded::create(&directory.path().join("store")).expect("a store"));
    let term = store.lead().await.expect("led");
    let writing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0..50 {
                let mut transaction = put(term, "left", &number.to_string());
                transaction.writes.extend(put(term, "right", &number.to_string()).writes);
                store.commit(transaction).await.expect("committed");
            }
        })
    };
    let backup = directory.path().join("backup");
    while store.snapshot().await.expect("read").entries.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let note = || ("note", Bytes::from("n"));
    store.back_up(&backup, note()).await.expect("made");
    writing.await.expect("wrote on");
    assert!(matches!(store.back_up(&backup, note()).await, Err(StoreError::Exists(_))));
    let restored = Embedded::restore(&backup, &directory.path().join("restored")).expect("made");
    assert!(restored.epoch() > store.epoch());
    let snapshot = restored.snapshot().await.expect("whole");
    let value = |key: &str| {
        let found = snapshot.entries.iter().find(|entry| entry.key == key);
        found.map(|entry| entry.value.clone())
    };
    assert_eq!(value("left"), value("right"), "one moment");
    assert_eq!(value("note").as_deref(), Some(&b"n"[..]));
    let ours = store.snapshot().await.expect("whole").entries;
    assert!(ours.iter().all(|entry| entry.key != "note"), "the note is the backup's alone");
    assert!(restored.lead().await.expect("led") > term);
}

#[tokio::test]
async fn of_two_changes_of_one_record_one_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::open(Arc::new(sealed(directory.path()))).await.expect("opened");
    ledger.commit(Change::new().put(request("a", "one"))).await.expect("made");
    let read = ledger.get::<Request>("a").expect("there");
    let change = |issuer| Change::new().if_unchanged(&read).put(request("a", issuer));
    let (first, second) =
        tokio::join!(ledger.commit(change("two")), ledger.commit(change("three")));
    let lost = [&first, &second].into_iter().filter(|done| {
        matches!(done, Err(LedgerError::Store(StoreError::Conflict(key))) if key == "request/a")
    });
    assert_eq!(lost.count(), 1, "{first:?} {second:?}");
    let absent = Change::new().if_absent(&request("a", "four")).put(request("a", "four"));
    ledger.commit(absent).await.expect_err("it is there");
    let made = ledger.get::<Request>("a").expect("there").value.issuer;
    assert_eq!(made, if first.is_ok() { "two" } else { "three" });
}
