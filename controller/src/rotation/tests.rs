//! Whatever a node makes, every live node reads: in any order of acknowledgements, crashes, asks
//! and leases.

use std::collections::BTreeMap;

use fleet_wire::secrets::IdMode;
use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3600;
const NODES: usize = 4;

fn schedule() -> Schedule {
    let hours = |hours| Duration::from_secs(hours * HOUR);
    Schedule::new(config::Rotation {
        tickets: hours(12),
        tokens: hours(24),
        connection_ids: hours(7 * 24),
        encapsulation: hours(0),
        connection_id_lifetime: hours(4),
    })
}

fn begin(now: u64) -> State {
    let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
    State::begin(secrets, now, &schedule())
}

/// Fresh keys that differ, and tell their age.
fn counting() -> impl FnMut(&mut [u8]) -> Result<(), RotationError> {
    let mut count = 0_u64;
    move |key| {
        count += 1;
        key[..8].copy_from_slice(&count.to_be_bytes());
        Ok(())
    }
}

fn next(state: &State, now: u64, asked: &[Kind]) -> Option<Step> {
    let asked = asked.iter().copied().collect();
    step(state, now, &schedule(), true, &asked, &mut counting()).expect("a step nodes take")
}

/// Everything that `maker` makes, `reader` reads.
fn reads_what_is_made(maker: &Secrets, reader: &Secrets) {
    for (what, made, read) in
        [("tickets", &maker.tickets, &reader.tickets), ("tokens", &maker.tokens, &reader.tokens)]
    {
        assert!(read.all().any(|key| *key == made.current), "{what} are not read");
    }
    assert!(reader.connection_ids.contains(maker.minting()), "IDs are not read");
    let sent = |key: &&EncapsulationSecret| key.key_id == maker.encapsulate_with;
    let sent = maker.encapsulation_keys.iter().find(sent).expect("one sends");
    assert!(reader.encapsulation_keys.contains(sent), "encapsulation is not believed");
}

#[test]
fn a_kind_goes_round_in_four_steps_and_back_to_one_key() {
    for kind in Kind::ALL {
        let mut state = begin(0);
        let first = state.secrets.clone();
        let mut stages = Vec::new();
        let mut now = 1;
        for _ in 0..4 {
            state = next(&state, now, &[kind]).expect("it moves").state;
            stages.push(state.stages[&kind].name());
            // Long enough for anything that the last key made, and not for the next schedule.
            now += if stages.len() == 3 { TOKEN_LIFETIME.as_secs() } else { 1 };
            state.stages.iter_mut().filter(|(other, _)| **other != kind).for_each(|(_, stage)| {
                *stage = Stage::Resting { since: now };
            });
        }
        assert_eq!(stages, ["readable", "making", "aging", "resting"], "{kind}");
        assert!(!has_previous(&state.secrets, kind));
        assert_ne!(state.secrets, first);
        assert_eq!(state.secrets.worker_hash, first.worker_hash);
        let connection_ids = state.secrets.minting();
        assert_eq!(connection_ids.length, 17);
        assert_eq!(connection_ids.config_id, u8::from(kind == Kind::ConnectionIds));
    }
}

#[test]
fn nothing_moves_without_proof_or_before_its_time() {
    let state = begin(1000);
    assert!(next(&state, 1000 + 12 * HOUR - 1, &[]).is_none());
    let due = 1000 + 12 * HOUR;
    let unproved = step(&state, due, &schedule(), false, &Kind::ALL.into(), &mut counting());
    assert!(unproved.expect("no error").is_none());
    let step = next(&state, due, &[]).expect("due");
    assert_eq!(step.moved, [Kind::Tickets]);
    // By command only, however long ago.
    let far = 1000 + 5000 * HOUR;
    assert!(!next(&state, far, &[]).expect("due").moved.contains(&Kind::Encapsulation));
    assert!(next(&state, 1001, &[Kind::Encapsulation]).is_some());
}

#[test]
fn what_the_old_key_made_lives_its_time() {
    let mut state = begin(0);
    for now in [1, 2, 3] {
        state = next(&state, now, &[Kind::ConnectionIds]).expect("it moves").state;
    }
    assert_eq!(state.stages[&Kind::ConnectionIds], Stage::Aging { since: 2, until: 3 + 8 * HOUR });
    assert!(next(&state, 2 + 8 * HOUR, &[Kind::ConnectionIds]).is_none(), "asked, but in progress");
    let step = next(&state, 3 + 8 * HOUR, &[]).expect("old enough");
    assert_eq!(step.state.secrets.connection_ids.len(), 1);
    assert_eq!(step.state.stages[&Kind::ConnectionIds], Stage::Resting { since: 2 });
}

#[test]
fn a_clock_that_was_years_ahead_holds_up_nothing() {
    let years = 1000 * 24 * HOUR;
    let state = begin(years);
    let step = next(&state, 13 * HOUR, &[]);
    assert!(step.is_none(), "it begins to count now");
    let mut state = begin(0);
    state.stages.insert(Kind::Tickets, Stage::Aging { since: years, until: years });
    state.secrets.tickets.previous = Some([1; 32]);
    assert!(next(&state, 12 * HOUR, &[]).is_none());
}

#[test]
fn keys_that_a_fleet_file_brought_age_from_now_on() {
    let mut secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
    secrets.tickets.previous = Some([1; 32]);
    secrets.tokens.next = Some([2; 32]);
    let state = State::begin(secrets, 100, &schedule());
    assert_eq!(state.stages[&Kind::Tickets], Stage::Aging { since: 100, until: 100 + 12 * HOUR });
    assert_eq!(state.stages[&Kind::Tokens], Stage::Resting { since: 100 });
    let step = next(&state, 101, &[Kind::Tokens]).expect("asked");
    assert_eq!(step.state.secrets.tokens.next, Some([2; 32]), "the one that others know already");
}

#[test]
fn a_record_survives_the_store_and_shows_no_key() {
    let mut state = begin(7);
    for now in 8..10 {
        let record = state.record();
        assert_eq!(State::read(&record, now, &schedule()).expect("ours"), state);
        assert!(!format!("{record:?}").contains("key"));
        state = next(&state, now, &[Kind::Tickets, Kind::ConnectionIds]).expect("it moves").state;
    }
    let mut record = state.record();
    record.rotations.insert("horses".into(), serde_json::Value::Null);
    State::read(&record, 9, &schedule()).expect_err("no such kind");
    record.rotations.clear();
    record.fleet_file = record.fleet_file.replace("current = \"", "current = \"x");
    let error = State::read(&record, 9, &schedule()).expect_err("no fleet file").to_string();
    assert!(!error.contains('x') || !error.contains("current = "), "{error}");
}

/// What happens to a fleet.
#[derive(Clone, Debug)]
enum Event {
    /// A node takes the latest secrets.
    Takes(usize),
    /// A node's lease ends; it serves on.
    Leaves(usize),
    /// It gets the whole state before anything else, and a lease.
    Returns(usize),
    /// The controller looks, after so many hours.
    Looks(u64),
    /// An operator asks for a rotation.
    Asks(Kind),
    /// The controller is killed, and reads its store.
    Crashes,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..NODES).prop_map(Event::Takes),
        1 => (0..NODES).prop_map(Event::Leaves),
        1 => (0..NODES).prop_map(Event::Returns),
        6 => (0..30_u64).prop_map(Event::Looks),
        2 => (0..4_usize).prop_map(|kind| Event::Asks(Kind::ALL[kind])),
        1 => Just(Event::Crashes),
    ]
}

proptest! {
    #[test]
    fn every_live_node_reads_what_every_live_node_makes(
        events in proptest::collection::vec(event(), 1..400),
    ) {
        let schedule = schedule();
        let mut random = counting();
        let mut now = 0;
        let mut stored = begin(now).record();
        let first = State::read(&stored, now, &schedule).expect("ours").secrets;
        let mut held: BTreeMap<usize, Secrets> = (0..NODES).map(|node| (node, first.clone())).collect();
        let mut live = [true; NODES];
        let mut asked = BTreeSet::new();
        for event in events {
            let latest = State::read(&stored, now, &schedule).expect("ours");
            match event {
                Event::Takes(node) if live[node] => {
                    // As an edge does it: what would break connections it refuses.
                    let change = held[&node].change_to(latest.secrets.clone()).expect("legal");
                    prop_assert!(change.warnings.is_empty(), "{:?}", change.warnings);
                    for other in (0..NODES).filter(|other| live[*other]) {
                        reads_what_is_made(&held[&other], &change.between);
                        reads_what_is_made(&change.between, &held[&other]);
                    }
                    held.insert(node, change.after);
                }
                Event::Takes(_) => {}
                Event::Leaves(node) => live[node] = false,
                Event::Returns(node) => {
                    live[node] = true;
                    held.insert(node, latest.secrets);
                }
                Event::Looks(hours) => {
                    now += hours * HOUR;
                    let proved = (0..NODES).filter(|node| live[*node]).all(|node| held[&node] == latest.secrets);
                    let next = step(&latest, now, &schedule, proved, &asked, &mut random);
                    if let Some(next) = next.expect("a step nodes take") {
                        next.moved.iter().for_each(|kind| { asked.remove(kind); });
                        stored = next.state.record();
                    }
                }
                Event::Asks(kind) => { asked.insert(kind); }
                Event::Crashes => asked.clear(),
            }
            for maker in (0..NODES).filter(|node| live[*node]) {
                for reader in (0..NODES).filter(|node| live[*node]) {
                    reads_what_is_made(&held[&maker], &held[&reader]);
                }
            }
        }
    }
}
