use std::collections::BTreeMap;

use bytes::Bytes;
use fleet_wire::message::item::Body;
use fleet_wire::message::{self, Standing};
use fleet_wire::secrets::{IdMode, Secrets, to_text};
use proptest::prelude::*;

use super::*;

const AT: Position = Position { epoch: 1, term: 1, serial: 1 };

fn challenge(name: u8, answer: u8) -> Item {
    let (token, key_authorization) = (name.to_string(), format!("{name}.{answer}"));
    let key = format!("{}{token}", key::HTTP_01);
    Item { key, body: Some(Body::Http01(message::Http01 { token, key_authorization })) }
}

fn node(id: u32, address: [u8; 4]) -> Item {
    let node = message::Node {
        id,
        name: format!("n{id}"),
        site: "s".into(),
        ipv4: Bytes::copy_from_slice(&address),
        ipv6: Bytes::new(),
        standing: Standing::Serving.into(),
    };
    Item { key: format!("{}{id}", key::NODE), body: Some(Body::Node(node)) }
}

fn secrets() -> Item {
    let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
    let fleet_file = to_text(&secrets).into_bytes().into();
    Item { key: key::SECRETS.into(), body: Some(Body::Secrets(message::Secrets { fleet_file })) }
}

fn bundle(position: Position, whole: bool, last: bool, items: Vec<Item>) -> Bundle {
    Bundle { position: Some(position), whole, last, items, removed: Vec::new() }
}

/// Takes it, and everything is put in force.
fn take(state: &mut State, bundle: Bundle) -> Option<Applied> {
    let step = state.take(bundle).expect("followed");
    state.settle(step, Vec::new()).expect("said")
}

fn keys(state: &State) -> Vec<&str> {
    state.items().map(|item| item.key.as_str()).collect()
}

proptest! {
    #[test]
    fn a_node_holds_the_state_whenever_streams_break(
        steps in proptest::collection::vec(
            (any::<bool>(), 0..8_u8, 0..4_u8, 0..6_u8, any::<bool>()), 1..60),
        size in 1..4_usize,
    ) {
        let mut truth = BTreeMap::new();
        let mut history: Vec<(u64, String)> = Vec::new();
        let mut state = State::new(0);
        for (serial, (put, name, answer, parts, breaks)) in (1..).zip(steps) {
            let item = challenge(name, answer);
            history.push((serial, item.key.clone()));
            if put { truth.insert(item.key.clone(), item); } else { truth.remove(&item.key); }
            let position = Position { serial, ..AT };
            if breaks { state.begin(); }
            let bundles = orders(&truth, &history, state.position(), position, size);
            let complete = usize::from(parts) >= bundles.len();
            state.begin();
            for bundle in bundles.into_iter().take(parts.into()) {
                take(&mut state, bundle);
            }
            if complete {
                let held: Vec<_> = state.items().map(|item| (**item).clone()).collect();
                prop_assert_eq!(held, truth.values().cloned().collect::<Vec<_>>());
                prop_assert_eq!(state.position(), Some(position));
            }
        }
    }
}

/// What a controller sends to a node that says it stands at `has`, `size` items a part.
fn orders(
    truth: &BTreeMap<String, Item>,
    history: &[(u64, String)],
    has: Option<Position>,
    position: Position,
    size: usize,
) -> Vec<Bundle> {
    let since = has.map_or(0, |has| has.serial);
    let changed = history.iter().filter(|(serial, _)| *serial > since).map(|(_, key)| key);
    let mut keys: Vec<_> = match has {
        Some(_) => changed.cloned().collect(),
        None => truth.keys().cloned().collect(),
    };
    keys.sort();
    keys.dedup();
    let mut bundles: Vec<_> = keys
        .chunks(size)
        .map(|keys| {
            let items = keys.iter().filter_map(|key| truth.get(key).cloned()).collect();
            let removed = keys.iter().filter(|key| !truth.contains_key(*key)).cloned().collect();
            Bundle { removed, ..bundle(position, has.is_none(), false, items) }
        })
        .collect();
    bundles.push(bundle(position, has.is_none(), true, Vec::new()));
    bundles
}

#[test]
fn a_whole_state_that_breaks_off_changes_nothing() {
    let mut state = State::new(0);
    take(&mut state, bundle(AT, true, true, vec![challenge(1, 1), challenge(2, 1)]));
    take(&mut state, bundle(AT, true, false, vec![challenge(3, 1)]));
    assert_eq!(keys(&state), ["challenge/http-01/1", "challenge/http-01/2"]);
    state.begin();
    let applied = take(&mut state, bundle(AT, true, true, vec![challenge(2, 1)]));
    assert_eq!(applied.expect("the last part").refused, []);
    assert_eq!(keys(&state), ["challenge/http-01/2"], "what broke off is forgotten");
}

#[test]
fn an_older_store_or_leader_is_not_followed() {
    let mut state = State::new(0);
    let here = Position { epoch: 2, term: 5, serial: 9 };
    take(&mut state, bundle(here, true, true, vec![challenge(1, 1)]));
    for older in [Position { term: 4, serial: 99, ..here }, Position { epoch: 1, ..here }] {
        let refused = state.take(bundle(older, true, true, Vec::new())).expect_err("older");
        assert_eq!(refused, Unfollowed::Older { ours: here, theirs: older });
    }
    assert_eq!((state.position(), keys(&state).len()), (Some(here), 1));
    let without = Bundle { position: None, ..bundle(here, true, true, Vec::new()) };
    assert_eq!(state.take(without).expect_err("no position"), Unfollowed::NoPosition);
}

#[test]
fn one_bad_item_holds_up_no_other() {
    let unknown = Item { key: "later/1".into(), body: None };
    let mut large = challenge(2, 1);
    let Some(Body::Http01(answer)) = &mut large.body else { unreachable!("it is one") };
    answer.key_authorization = "x".repeat(fleet_wire::MAX_ITEM_BYTES);
    let named_otherwise = Item { key: "challenge/http-01/9".into(), ..challenge(3, 1) };
    let not_text = message::Secrets { fleet_file: Bytes::from_static(b"\xff") };
    let bad_secrets = Item { key: key::SECRETS.into(), body: Some(Body::Secrets(not_text)) };
    let distributions = |file: Bytes| {
        let given = message::Distributions { file };
        Item { key: key::DISTRIBUTIONS.into(), body: Some(Body::Distributions(given)) }
    };
    let long = vec![b'#'; fleet_wire::MAX_DISTRIBUTIONS_BYTES + 1].into();
    let bad_given = distributions(Bytes::from_static(b"[[distributions]]\nnames = []"));
    let bad = [
        (bad_given, "the controller's distributions: a distribution without a name"),
        (distributions(Bytes::from_static(b"\xff")), "the distributions are not text"),
        (distributions(long), "the distributions have 122881 bytes: at most 122880"),
        (unknown, "a kind that this version does not know"),
        (large, "it has 2621"),
        (named_otherwise, "its key does not fit"),
        (bad_secrets, "the fleet's secrets are not text"),
        (node(7, [224, 0, 0, 1]), "its IPv4 address is multicast"),
        (node(4096, [192, 0, 2, 1]), "4096 is no ID of a node"),
        (node(8, [192, 0, 2, 1]), "it has the address of node 1"),
    ];
    for whole in [true, false] {
        let mut state = State::new(1);
        let good = vec![node(1, [192, 0, 2, 1]), challenge(1, 1)];
        let items = good.into_iter().chain(bad.iter().map(|(item, _)| item.clone())).collect();
        let applied = take(&mut state, bundle(AT, whole, true, items)).expect("the last part");
        assert_eq!(keys(&state), ["challenge/http-01/1", "node/1"]);
        assert_eq!((applied.position, applied.refused.len()), (Some(AT), bad.len()));
        for (refused, (item, reason)) in applied.refused.iter().zip(&bad) {
            assert_eq!(refused.key, item.key);
            assert!(refused.reason.starts_with(reason), "{}", refused.reason);
        }
    }
}

#[test]
fn what_is_refused_leaves_the_old_and_what_is_needed_stays() {
    let mut state = State::new(1);
    let first = vec![secrets(), node(1, [192, 0, 2, 1]), node(2, [192, 0, 2, 2])];
    take(&mut state, bundle(AT, true, true, first));
    let held: Vec<_> = state.items().cloned().collect();
    // By the item itself, by whoever puts it in force, and by what it would take away.
    let bad = node(2, [0, 0, 0, 0]);
    let step = state.take(bundle(AT, true, true, vec![bad, secrets()])).expect("followed");
    let Some(Change::Put { value: Value::Secrets(_), .. }) = step.changes.first() else {
        panic!("only the secrets change: {:?}", step.changes)
    };
    let refused = Refused { key: key::SECRETS.into(), reason: "é".repeat(200) };
    let applied = state.settle(step, vec![refused]).expect("said").expect("the last part");
    let mut refused: Vec<_> = applied.refused.iter().map(|refused| &refused.key[..]).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["node/1", "node/2", "secrets"]);
    assert!(
        applied.refused.iter().all(|item| item.reason.len() <= crate::limits::MAX_REFUSAL_BYTES)
    );
    assert_eq!(state.items().cloned().collect::<Vec<_>>(), held);
}
