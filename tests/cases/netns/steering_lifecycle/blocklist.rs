//! The kernel's map of blocked networks follows lists as large as they may be.

use edge_user::admission::Rules;
use edge_user::admission::blocklist::Blocklist;
use edge_user::config::{AdmissionConfig, SteeringMode};
use edge_wire::maps::MAX_BLOCKLIST;

use super::attach;
use super::pair::Pair;

/// As many networks as the map holds, the first of them the `from`th /32 or /64 there is.
fn full(from: u32) -> Blocklist {
    let networks = (from..from + MAX_BLOCKLIST).map(|number| {
        let [a, b, c, d] = number.to_be_bytes();
        match number % 2 {
            0 => format!("{}.{b}.{c}.{d}\n", a + 11),
            _ => format!("2001:db8:{a:x}{b:02x}:{c:x}{d:02x}::/64\n"),
        }
    });
    Blocklist::parse(&networks.collect::<String>()).expect("at most so many")
}

#[test]
fn a_full_blocklist_gives_way_to_another_full_one() {
    let pair = Pair::new();
    pair.near(|| {
        let mut steering = attach(&pair, SteeringMode::UserSpace).expect("loaded");
        let rules = Rules::new(AdmissionConfig::default(), Blocklist::default(), false);
        // The second has nothing, and the third has half, in common with what is there.
        for from in [0, MAX_BLOCKLIST, MAX_BLOCKLIST + MAX_BLOCKLIST / 2] {
            let list = full(from);
            assert_eq!(list.networks().len(), MAX_BLOCKLIST as usize);
            steering.set_admission(&rules.with_blocklist(list)).expect("there is room");
        }
        steering.set_admission(&rules).expect("emptied");
    });
}
