use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::records::{Challenge, Kind, NodeStanding};

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
        let mut book = Book::new(0);
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
                let from = cursor.clone().unwrap_or_else(|| book.cursor(None, serial));
                let part = book.part(&from, &node, 150);
                holder.take(from.is_whole(), &part);
                cursor = Some(if part.last { Cursor::from_serial(serial) } else { part.cursor });
            }
        }
        let mut from = cursor.unwrap_or_else(|| book.cursor(None, serial));
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
    let mut book = Book::new(10);
    for serial in 11..=14 {
        let (key, record) = challenge(serial as u8, 1);
        book.put(serial, &key, &record);
    }
    book.remove(15, &challenge(11, 1).0);
    let cursor = book.cursor(Some(13), 15);
    let part = book.part(&cursor, &node(), 1 << 20);
    assert!(!cursor.is_whole() && part.last);
    assert_eq!((part.items.len(), part.removed.len()), (1, 1));
    for has in [None, Some(9), Some(16)] {
        let cursor = book.cursor(has, 15);
        let part = book.part(&cursor, &node(), 1 << 20);
        assert!(cursor.is_whole(), "{has:?}");
        assert_eq!((part.items.len(), part.removed.len()), (3, 0));
    }
}

#[test]
fn deletions_are_forgotten_when_they_are_many() {
    let mut book = Book::new(0);
    for number in 0..=limits::MAX_TOMBSTONES as u64 {
        book.entomb(number + 1, &format!("challenge/http-01/{number}"));
    }
    assert_eq!((book.gone.len(), book.forgotten), (limits::MAX_TOMBSTONES, 1));
    assert!(!book.cursor(Some(1), 99_999).is_whole());
    assert!(book.knows(&Cursor::from_serial(1)) && !book.knows(&Cursor::from_serial(0)));
    let whole = |began| book.cursor(None, began);
    assert!(book.knows(&whole(1)) && !book.knows(&whole(0)));
    assert!(book.cursor(Some(0), 99_999).is_whole());
}

#[test]
fn an_item_goes_to_who_it_is_for_and_is_taken_back_when_it_is_not_any_more() {
    use crate::records::Certificate;
    let certificate = |names: &[&str]| {
        let certified =
            rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a key");
        Certificate {
            id: "a".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            chain: certified.cert.pem(),
            key: certified.signing_key.serialize_pem(),
            not_before: 0,
            not_after: 0,
            source: "internal".into(),
            fingerprint: String::new(),
        }
    };
    let mut book = Book::new(0);
    let first = certificate(&["a.example"]);
    let key = first.key();
    book.put(1, &key, &first.into_record());
    let serves = |name: &str| Node { serves: vec![name.to_owned()], ..node() };
    let part = |book: &Book, cursor: &Cursor, node| book.part(cursor, &node, 1 << 20);
    let begin = book.cursor(None, 1);
    assert_eq!(part(&book, &begin, serves("a.example")).items.len(), 1);
    let other = part(&book, &begin, serves("b.example"));
    assert!(other.items.is_empty() && other.removed.is_empty(), "not even its name");
    book.put(2, &key, &certificate(&["b.example"]).into_record());
    let later = part(&book, &Cursor::from_serial(1), serves("a.example"));
    assert_eq!((later.items.len(), later.removed), (0, vec![key]));
}
