use proptest::prelude::*;

use super::*;
use crate::records::KeyType;

const DAY: u64 = 86_400;
const NOW: u64 = 1_800_000_000;

fn request(id: &str) -> Request {
    Request {
        id: id.into(),
        names: vec![id.into()],
        issuer: "acme".into(),
        key_type: KeyType::P256,
    }
}

fn certificate(id: &str, not_before: u64, life: u64) -> Certificate {
    Certificate {
        id: id.into(),
        names: vec![id.into()],
        chain: String::new(),
        key: String::new(),
        not_before,
        not_after: not_before + life,
        source: "acme".into(),
        fingerprint: format!("{id}{not_before}"),
    }
}

/// A fleet's certificates, and an authority that issues at once, by the true clock.
struct World {
    requests: Vec<Request>,
    certificates: BTreeMap<String, Certificate>,
    attempts: BTreeMap<String, Attempts>,
    made: Vec<Duration>,
    issued: BTreeMap<String, Duration>,
    windows: BTreeMap<String, Window>,
    life: u64,
    limits: Limits,
    /// Time since the beginning, true.
    elapsed: Duration,
}

impl World {
    fn new(count: usize, life: u64, limits: Limits) -> Self {
        let requests: Vec<_> = (0..count).map(|n| request(&format!("{n}.example"))).collect();
        Self {
            requests,
            certificates: BTreeMap::new(),
            attempts: BTreeMap::new(),
            made: Vec::new(),
            issued: BTreeMap::new(),
            windows: BTreeMap::new(),
            life,
            limits,
            elapsed: Duration::ZERO,
        }
    }

    /// Looks once, with our clock `off` seconds from the true one; returns how much was issued.
    fn step(&mut self, off: i64) -> (usize, Duration) {
        let truly = NOW + self.elapsed.as_secs();
        let limits = BTreeMap::from([("acme".to_owned(), self.limits)]);
        let made_ago = self.made.iter().map(|at| self.elapsed - *at).collect();
        let busy = BTreeMap::from([("acme".to_owned(), Busy { orders: 0, made_ago })]);
        for (id, at) in &self.issued {
            self.attempts.entry(id.clone()).or_default().issued_ago = Some(self.elapsed - *at);
        }
        let plan = plan(&Known {
            now: truly.saturating_add_signed(off),
            requests: &self.requests,
            certificates: &self.certificates,
            attempts: &self.attempts,
            windows: &self.windows,
            limits: &limits,
            busy: &busy,
            seed: 7,
        });
        for (id, _) in &plan.begin {
            self.certificates.insert(id.clone(), certificate(id, truly, self.life));
            self.issued.insert(id.clone(), self.elapsed);
            self.made.push(self.elapsed);
        }
        (plan.begin.len(), plan.look_again)
    }
}

proptest! {
    // Each case is a year of a fleet.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_certificate_ends_before_it_is_renewed(
        life in prop_oneof![Just(120), Just(6 * DAY), Just(90 * DAY), 60..400 * DAY],
    ) {
        let mut world = World::new(1, life, Limits { concurrent: 1, an_hour: 1_000 });
        let mut issued = 0;
        while issued < 5 {
            let (begun, look_again) = world.step(0);
            issued += begun;
            let certificate = &world.certificates["0.example"];
            let now = NOW + world.elapsed.as_secs();
            prop_assert!(certificate.not_after > now, "{} s too late", now - certificate.not_after);
            world.elapsed += look_again;
        }
        // Nor is it renewed much more often than needed: five took more than two lives.
        prop_assert!(world.elapsed.as_secs() >= 2 * life);
    }

    #[test]
    fn limits_hold_whatever_the_clock_does(
        life in prop_oneof![Just(120), Just(6 * DAY), Just(90 * DAY)],
        jumps in proptest::collection::vec(-2 * DAY as i64..2 * DAY as i64, 1..40),
        an_hour in 1..30_usize,
    ) {
        let mut world = World::new(50, life, Limits { concurrent: 5, an_hour });
        for jump in jumps {
            let (begun, look_again) = world.step(jump);
            prop_assert!(begun <= 5);
            let hour = Duration::from_secs(3_600);
            let recent = world.made.iter().filter(|at| world.elapsed - **at < hour).count();
            prop_assert!(recent <= an_hour);
            prop_assert!(look_again >= Duration::from_millis(500));
            world.elapsed += look_again;
        }
    }

    #[test]
    fn backoff_grows_stays_in_bounds_and_heeds_the_authority(
        failures in 1..100_u32, seed: u64, life in proptest::option::of(60..90 * DAY),
        retry_after in proptest::option::of(0..20 * DAY),
    ) {
        let life = life.map(Duration::from_secs);
        let retry_after = retry_after.map(Duration::from_secs);
        let wait = backoff(failures, life, retry_after, seed);
        let authority = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        prop_assert!(wait >= SHORTEST_BACKOFF && wait <= LONGEST_BACKOFF.max(authority));
        prop_assert!(wait >= authority);
        // But for its fifth of jitter it never shrinks.
        let later = backoff(failures + 2, life, None, seed);
        prop_assert!(later * 5 >= backoff(failures, life, None, seed) * 4);
    }
}

#[test]
fn a_clock_that_jumps_a_day_renews_each_certificate_once_at_most() {
    for off in [DAY as i64, -(DAY as i64)] {
        let mut world = World::new(20, 6 * DAY, Limits { concurrent: 20, an_hour: 1_000 });
        assert_eq!(world.step(0).0, 20);
        // Three and a half days on, nothing is due by the true clock.
        world.elapsed += Duration::from_secs(3 * DAY + DAY / 2);
        assert_eq!(world.step(0).0, 0);
        let mut issued = 0;
        for _ in 0..100 {
            let (begun, look_again) = world.step(off);
            issued += begun;
            world.elapsed += look_again.min(Duration::from_secs(60));
        }
        assert!(issued <= 20, "{issued} for 20 certificates");
    }
}

#[test]
fn a_certificate_of_two_minutes_is_no_storm_for_a_clock_a_day_ahead() {
    let mut world = World::new(1, 120, Limits { concurrent: 1, an_hour: 1_000 });
    let mut issued = 0;
    let end = Duration::from_secs(1_200);
    while world.elapsed < end {
        let (begun, look_again) = world.step(DAY as i64);
        issued += begun;
        world.elapsed += look_again;
    }
    // One in 40 seconds, a third of its life, though each seems to have ended long ago.
    assert!(issued <= 30, "{issued}");
}

#[test]
fn a_wait_that_a_clock_since_set_back_has_planned_does_not_count() {
    let requests = [request("a.example")];
    let limits = BTreeMap::from([("acme".to_owned(), Limits { concurrent: 1, an_hour: 9 })]);
    let begins = |failed_at, not_before| {
        let attempts = Attempts { not_before, failed_at, ..<_>::default() };
        let attempts = BTreeMap::from([("a.example".to_owned(), attempts)]);
        let plan = plan(&Known {
            now: NOW,
            requests: &requests,
            certificates: &BTreeMap::new(),
            attempts: &attempts,
            windows: &BTreeMap::new(),
            limits: &limits,
            busy: &BTreeMap::new(),
            seed: 1,
        });
        !plan.begin.is_empty()
    };
    assert!(!begins(NOW, NOW + 60));
    assert!(!begins(NOW - DAY, NOW + 6 * DAY), "the authority's limit is over in a week");
    assert!(begins(NOW + DAY, NOW + DAY + 60), "the failure is to come yet");
    assert!(begins(NOW - DAY, NOW + 365 * DAY));
}

#[test]
fn the_authority_s_window_goes_before_two_thirds_of_life() {
    let certificate = certificate("a", NOW, 90 * DAY);
    let window = Window { start: NOW + DAY, end: NOW + 2 * DAY };
    for seed in 0..50 {
        let at = renew_at(&certificate, Some(&window), seed);
        assert!((window.start..window.end).contains(&at));
    }
}

#[test]
fn a_window_that_has_passed_is_heeded_but_never_in_a_loop() {
    let mut world = World::new(3, 90 * DAY, Limits { concurrent: 3, an_hour: 1_000 });
    world.step(0);
    // An authority that wants everything renewed, and says so of what it issues then, too.
    let window = Window { start: NOW - DAY, end: NOW };
    world.windows = world.requests.iter().map(|request| (request.id.clone(), window)).collect();
    assert_eq!(world.step(0).0, 0, "it was issued this minute");
    world.elapsed += REST_IN_A_WINDOW + Duration::from_secs(1);
    assert_eq!(world.step(0).0, 3);
    let mut issued = 0;
    let end = world.elapsed + Duration::from_secs(DAY);
    while world.elapsed < end {
        let (begun, look_again) = world.step(0);
        issued += begun;
        world.elapsed += look_again;
    }
    assert!(issued <= 3 * 24, "{issued} in a day");
}

#[test]
fn a_window_that_is_too_late_lets_no_certificate_end() {
    let certificate = certificate("a", NOW, 90 * DAY);
    let window = Window { start: NOW + 89 * DAY, end: NOW + 400 * DAY };
    assert_eq!(renew_at(&certificate, Some(&window), 1), NOW + 75 * DAY);
}

/// A clock that is a day off for a while, in the middle of a life, and right again.
#[test]
fn certificates_of_every_life_are_renewed_in_time_through_a_clock_that_jumps_a_day() {
    for off in [DAY as i64, -(DAY as i64)] {
        for life in [120, 6 * DAY, 90 * DAY] {
            let mut world = World::new(1, life, Limits { concurrent: 1, an_hour: 1_000 });
            let mut looked = 0;
            let end = Duration::from_secs(life * 4);
            while world.elapsed < end {
                // Wrong in the second of the four lives.
                let wrong = (life..life * 2).contains(&world.elapsed.as_secs());
                let (_, look_again) = world.step(if wrong { off } else { 0 });
                let certificate = &world.certificates["0.example"];
                let now = NOW + world.elapsed.as_secs();
                // A clock that is a day behind cannot know that what lives two minutes has ended.
                let is_blind = wrong && off < 0 && life < 2 * DAY;
                assert!(certificate.not_after > now || is_blind, "{off}, {life}: at {now}");
                world.elapsed += look_again.min(Duration::from_secs(life / 20 + 1));
                looked += 1;
            }
            let issued = world.made.len();
            assert!((4..=13).contains(&issued), "{off}, {life}: {issued} in {looked} looks");
        }
    }
}
