use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::records::{Certificate, Challenge, Kind, NodeStanding};

fn node() -> Node {
    Node {
        id: 1,
        name: "a".into(),
        site: "s".into(),
        ipv4: None,
        ipv6: None,
        serves: Vec::new(),
        standing: NodeStanding::Serving,
        identities: Vec::new(),
        lost: None,
    }
}

fn challenge(name: u8, answer: u8) -> (String, Record) {
    let challenge = Challenge::Http01 {
        token: name.to_string(),
        key_authorization: format!("{name}.{}", "x".repeat(answer.into())),
    };
    (challenge.key(), challenge.into_record())
}

/// What a node holds: the rules that nodes follow.
#[derive(Default)]
struct Holder {
    held: BTreeMap<String, Arc<Item>>,
    whole: Option<BTreeMap<String, Arc<Item>>>,
}

impl Holder {
    fn take(&mut self, whole: bool, part: &Part) {
        let into = if whole { self.whole.get_or_insert_default() } else { &mut self.held };
        for item in &part.items {
            into.insert(item.key.clone(), Arc::clone(item));
        }
        for key in &part.removed {
            into.remove(key);
        }
        if let Some(whole) = self.whole.take_if(|_| part.last) {
            self.held = whole;
        }
    }
}

fn items(book: &Book) -> BTreeMap<String, Arc<Item>> {
    book.leaves.iter().map(|(key, leaf)| (key.clone(), Arc::clone(&leaf.item))).collect()
}

proptest! {
    #[test]
    fn a_node_holds_the_state_whatever_happens_between_its_parts(
        steps in proptest::collection::vec((any::<bool>(), 0..12_u8, 1..100_u8, 0..4_u8), 1..80),
        begins_with in proptest::option::of(0..30_u64),
    ) {
        let mut book = Book::new(0, 0);
        let mut holder = Holder::default();
        let (node, mut serial, mut cursor) = (node(), 0, None::<Cursor>);
        for (put, name, answer, parts) in steps {
            serial += 1;
            let (key, record) = challenge(name, answer);
            if put { book.put(serial, &key, &record) } else { book.remove(serial, &key) }
            if begins_with.is_some_and(|begins| serial < begins) {
                continue;
            }
            for _ in 0..parts {
                let from = cursor.clone().unwrap_or_else(|| book.cursor(None, serial, &node));
                let part = book.part(&from, &node, 150);
                holder.take(from.is_whole(), &part);
                cursor = Some(if part.last { Cursor::from_serial(serial) } else { part.cursor });
            }
        }
        let mut from = cursor.unwrap_or_else(|| book.cursor(None, serial, &node));
        loop {
            let part = book.part(&from, &node, 150);
            holder.take(from.is_whole(), &part);
            if part.last {
                break;
            }
            from = part.cursor;
        }
        prop_assert_eq!(holder.held, items(&book));
    }
}

#[test]
fn who_was_away_gets_what_changed_and_who_was_away_too_long_everything() {
    let mut book = Book::new(10, 10);
    for serial in 11..=14 {
        let (key, record) = challenge(serial as u8, 1);
        book.put(serial, &key, &record);
    }
    book.remove(15, &challenge(11, 1).0);
    let cursor = book.cursor(Some(13), 15, &node());
    let part = book.part(&cursor, &node(), 1 << 20);
    assert!(!cursor.is_whole() && part.last);
    assert_eq!((part.items.len(), part.removed.len()), (1, 1));
    for has in [None, Some(9), Some(16)] {
        let cursor = book.cursor(has, 15, &node());
        let part = book.part(&cursor, &node(), 1 << 20);
        assert!(cursor.is_whole(), "{has:?}");
        assert_eq!((part.items.len(), part.removed.len()), (3, 0));
    }
}

#[test]
fn deletions_are_forgotten_when_they_are_many() {
    let mut book = Book::new(0, 0);
    for number in 0..=limits::MAX_TOMBSTONES as u64 {
        book.entomb(number + 1, &format!("challenge/http-01/{number}"));
    }
    assert_eq!((book.gone.len(), book.forgotten), (limits::MAX_TOMBSTONES, 1));
    assert!(!book.cursor(Some(1), 99_999, &node()).is_whole());
    assert!(book.knows(&Cursor::from_serial(1)) && !book.knows(&Cursor::from_serial(0)));
    let whole = |began| book.cursor(None, began, &node());
    assert!(book.knows(&whole(1)) && !book.knows(&whole(0)));
    assert!(book.cursor(Some(0), 99_999, &node()).is_whole());
}

/// Certificates as an example has them, for these names.
fn certificate(id: &str, names: &[&str]) -> (String, Record) {
    static MADE: std::sync::LazyLock<[String; 2]> = std::sync::LazyLock::new(|| {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a key");
        [made.cert.pem(), made.signing_key.serialize_pem()]
    });
    let [chain, key] = MADE.clone();
    let certificate = Certificate {
        id: id.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        chain,
        key,
        not_before: 0,
        not_after: 0,
        source: "internal".into(),
        fingerprint: String::new(),
    };
    (certificate.key(), certificate.into_record())
}

fn serves(name: &str) -> Node {
    Node { serves: vec![name.to_owned()], ..node() }
}

/// Keys of what a node gets from a cursor on, and of what is taken back.
fn given(book: &Book, cursor: &Cursor, node: &Node) -> (Vec<String>, Vec<String>) {
    let part = book.part(cursor, node, 1 << 20);
    assert!(part.last);
    (part.items.iter().map(|item| item.key.clone()).collect(), part.removed)
}

#[test]
fn an_item_goes_to_who_it_is_for_and_is_taken_back_when_it_is_not_any_more() {
    let mut book = Book::new(0, 0);
    let (key, first) = certificate("a", &["a.example"]);
    book.put(1, &key, &first);
    let begin = book.cursor(None, 1, &serves("a.example"));
    let nothing = (Vec::new(), Vec::new());
    let one = || vec![key.clone()];
    assert_eq!(given(&book, &begin, &serves("a.example")), (one(), Vec::new()));
    assert_eq!(given(&book, &begin, &serves("b.example")), nothing, "not even its name");
    book.put(2, &key, &certificate("a", &["b.example"]).1);
    let first = Cursor::from_serial(1);
    assert_eq!(given(&book, &first, &serves("a.example")), (Vec::new(), one()));
    assert_eq!(given(&book, &first, &serves("b.example")), (one(), Vec::new()));
    assert_eq!(given(&book, &first, &serves("c.example")), nothing, "it never had it");
    book.remove(3, &key);
    let second = Cursor::from_serial(2);
    for node in [serves("a.example"), serves("b.example"), node()] {
        assert_eq!(given(&book, &second, &node), (Vec::new(), one()), "they may have it");
    }
    assert_eq!(given(&book, &second, &serves("c.example")), nothing, "it is not named to it");
}

/// Whom items were for is not stored.
#[test]
fn after_a_restart_who_gets_only_some_and_missed_changes_begins_anew() {
    let mut book = Book::new(0, 5);
    book.entomb(4, &certificate("secret", &[]).0);
    book.put(5, &certificate("a", &["a.example"]).0, &certificate("a", &["a.example"]).1);
    let some = serves("a.example");
    let missed = book.cursor(Some(3), 5, &some);
    assert!(missed.is_whole());
    assert_eq!(given(&book, &missed, &some), (vec!["certificate/a".to_owned()], Vec::new()));
    assert!(!book.cursor(Some(5), 5, &some).is_whole(), "it missed nothing");
    let all = book.cursor(Some(3), 5, &node());
    assert!(!all.is_whole(), "everything was for it");
    assert_eq!(given(&book, &all, &node()).1, ["certificate/secret"]);
}

proptest! {
    #[test]
    fn a_node_of_some_names_holds_what_is_for_it_and_hears_of_no_other(
        steps in proptest::collection::vec((0..4_u8, 0..4_usize, 0..3_u8), 1..60),
    ) {
        const AUDIENCES: [&[&str]; 4] =
            [&[], &["a.example"], &["b.example"], &["a.example", "b.example"]];
        let (mut book, mut holder, node) = (Book::new(0, 0), Holder::default(), serves("a.example"));
        let (mut serial, mut cursor) = (0, book.cursor(None, 0, &node));
        let mut ever = std::collections::BTreeSet::new();
        for (id, audience, parts) in steps.into_iter().chain([(9, 0, u8::MAX)]) {
            serial += 1;
            let (key, record) = certificate(&id.to_string(), AUDIENCES[audience]);
            match audience {
                0 => book.remove(serial, &key),
                _ => book.put(serial, &key, &record),
            }
            if AUDIENCES[audience].contains(&"a.example") {
                ever.insert(key);
            }
            for _ in 0..parts {
                let part = book.part(&cursor, &node, 600);
                prop_assert!(part.removed.iter().all(|key| ever.contains(key)));
                holder.take(cursor.is_whole(), &part);
                cursor = if part.last { Cursor::from_serial(serial) } else { part.cursor };
            }
        }
        let mut wanted = items(&book);
        wanted.retain(|key, _| book.is_for(key, &node));
        prop_assert_eq!(holder.held, wanted);
    }
}
