//! What becomes of the programs in the kernel when processes start, crash and stop, and how the way
//! to another node is found. Each case has its own pair of namespaces, joined by a veth pair.

mod blocklist;
mod fleet;
mod host;
mod lost;
mod next_hops;
pub(crate) mod pair;
mod relayed;
mod workers;

use std::net::UdpSocket;
use std::time::Duration;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{Xdp, XdpMode};
use edge_user::config::SteeringMode;
use edge_user::preflight::{self, Severity};
use edge_user::steering::{Steering, SteeringError};
use edge_wire::Reason;

use pair::{Pair, eventually, secrets, xdp};

fn attach(pair: &Pair, mode: SteeringMode) -> Result<Steering, SteeringError> {
    let mut config = pair.config();
    config.steering.mode = mode;
    Steering::attach(&config, &secrets(), 0, 1)
}

/// The kernel's ID of the link pinned for the near interface.
fn pinned_link(pair: &Pair) -> u32 {
    let pin = pair.pins().join("steer_node-near");
    FdLink::from(PinnedLink::from_pin(pin).expect("pinned")).info().expect("readable").id()
}

fn pins(pair: &Pair) -> usize {
    std::fs::read_dir(pair.pins()).map_or(0, Iterator::count)
}

#[test]
fn a_crash_leaves_packets_steered_and_the_next_process_takes_over_the_same_link() {
    let pair = Pair::new();
    pair.near(|| {
        let first = attach(&pair, SteeringMode::Native).expect("attached");
        assert_eq!(first.interfaces().collect::<Vec<_>>(), ["near"]);
        let (link, program) = (pinned_link(&pair), xdp("near").expect("on the device"));
        assert!(program.is_native);

        drop(first); // a crash: nothing is cleaned up
        assert_eq!(xdp("near"), Some(program));

        // The same link with another program: the kernel changes it in one step.
        let second = attach(&pair, SteeringMode::Native).expect("attached");
        assert_eq!(pinned_link(&pair), link);
        assert_ne!(xdp("near").expect("on the device").id, program.id);

        second.detach().expect("detached");
        assert_eq!(xdp("near"), None);
        assert_eq!(pins(&pair), 0);
    });
}

#[test]
fn the_clean_stop_of_an_older_process_leaves_the_newer_ones_link() {
    let pair = Pair::new();
    pair.near(|| {
        let older = attach(&pair, SteeringMode::Native).expect("attached");
        let newer = attach(&pair, SteeringMode::Native).expect("attached");
        let program = xdp("near");
        older.detach().expect("nothing to do");
        assert_eq!(xdp("near"), program);
        newer.detach().expect("detached");
        assert_eq!(xdp("near"), None);
    });
}

#[test]
fn another_mode_is_attached_anew() {
    let pair = Pair::new();
    pair.near(|| {
        drop(attach(&pair, SteeringMode::Native).expect("attached"));
        let generic = attach(&pair, SteeringMode::Generic).expect("attached");
        assert!(!xdp("near").expect("on the device").is_native);
        drop(generic);
        // Without XDP nothing may stay on the device: the relay does it all.
        let user_space = attach(&pair, SteeringMode::UserSpace).expect("loaded");
        assert_eq!(user_space.interfaces().count(), 0);
        assert_eq!((xdp("near"), pins(&pair)), (None, 0));
    });
}

#[test]
fn a_device_that_was_replaced_is_attached_anew() {
    let pair = Pair::new();
    pair.near(|| drop(attach(&pair, SteeringMode::Native).expect("attached")));
    pair.replace_devices();
    pair.near(|| {
        assert_eq!(xdp("near"), None);
        let steering = attach(&pair, SteeringMode::Native).expect("attached");
        assert!(xdp("near").is_some());
        steering.detach().expect("detached");
    });
}

#[test]
fn a_link_of_an_interface_that_is_no_longer_configured_is_detached() {
    let pair = Pair::new();
    pair.near(|| {
        pair::ip("link add name other.7 type veth peer name other8");
        let mut config = pair.config();
        config.listen.interfaces = vec!["near".into(), "other.7".into()];
        drop(Steering::attach(&config, &secrets(), 0, 1).expect("attached"));
        assert!(xdp("other.7").is_some());
        assert_eq!(pins(&pair), 2);

        let steering = attach(&pair, SteeringMode::Native).expect("attached");
        assert_eq!(xdp("other.7"), None);
        assert!(xdp("near").is_some());
        steering.detach().expect("detached");
        assert_eq!(pins(&pair), 0);
    });
}

#[test]
fn a_foreign_program_is_named_and_left_alone() {
    let pair = Pair::new();
    pair.near(|| {
        // Somebody else's: loaded and attached without our pin.
        let object = concat!(env!("CARGO_MANIFEST_DIR"), "/../edge-ebpf/object/landfast.o");
        let mut foreign = aya::Ebpf::load_file(object).expect("loaded");
        let program: &mut Xdp =
            foreign.program_mut("steer_node").expect("there").try_into().expect("XDP");
        program.load().expect("verified");
        program.attach("near", XdpMode::Driver).expect("attached");
        let id = xdp("near").expect("on the device").id;

        for mode in [SteeringMode::Native, SteeringMode::Generic] {
            let Err(SteeringError::ForeignProgram { interface, program }) = attach(&pair, mode)
            else {
                panic!("attached, or another error")
            };
            assert_eq!(interface, "near");
            assert_eq!((program.id, program.name.as_deref()), (id, Some("steer_node")));
        }
        assert_eq!(xdp("near").map(|program| program.id), Some(id));

        let facts = preflight::read(&pair.config()).expect("readable");
        let findings = preflight::examine(&pair.config(), &facts);
        assert_eq!(findings[0].severity, Severity::Error);
        assert!(findings[0].what.contains(&format!("steer_node (ID {id})")), "{}", findings[0]);
    });
}

/// Its pin cannot be found, so it is not taken over; but it is said whose it most likely is.
#[test]
fn a_pin_directory_that_was_moved_is_told_from_a_foreign_program() {
    let pair = Pair::new();
    pair.near(|| {
        drop(attach(&pair, SteeringMode::Native).expect("attached"));
        let mut config = pair.config();
        config.steering.pin_directory = pair.pins().join("moved");
        let error = Steering::attach(&config, &secrets(), 0, 1).map(drop).expect_err("refused");
        assert!(error.to_string().contains("set that back where it was changed"), "{error}");
        let facts = preflight::read(&config).expect("readable");
        let finding = &preflight::examine(&config, &facts)[0];
        assert!(finding.change.contains("steering.pin_directory"), "{finding}");
    });
}

#[test]
fn our_own_program_is_not_foreign_after_a_crash() {
    let pair = Pair::new();
    pair.near(|| {
        drop(attach(&pair, SteeringMode::Native).expect("attached"));
        let facts = preflight::read(&pair.config()).expect("readable");
        assert_eq!(facts.interfaces["near"].foreign_program, None);
    });
}

#[test]
fn a_failed_start_leaves_nothing_new_attached() {
    let pair = Pair::new();
    pair.near(|| {
        let mut config = pair.config();
        config.listen.interfaces = vec!["near".into(), "absent".into()];
        let result = Steering::attach(&config, &secrets(), 0, 1);
        assert!(matches!(
            result.map(drop),
            Err(SteeringError::UnknownInterface { interface }) if interface == "absent"
        ));
        assert_eq!((xdp("near"), pins(&pair)), (None, 0));
    });
}

#[test]
fn a_driver_without_native_xdp_is_an_error_that_says_what_to_set() {
    let pair = Pair::new();
    pair.near(|| {
        let mut config = pair.config();
        config.listen.interfaces = vec!["lo".into()];
        let error = Steering::attach(&config, &secrets(), 0, 1).map(drop).expect_err("refused");
        let text = error.to_string();
        assert!(text.ends_with("set steering.mode = \"generic\" or \"user-space\""), "{text}");
    });
}

#[test]
fn an_onlooker_counts_passes_and_leaves_nothing_behind() {
    let pair = Pair::new();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    pair.near(|| {
        let mut steering = Steering::observe("near", 443, true).expect("attached");
        let lines = seen.clone();
        let mut trace = steering
            .trace(1, move |line| lines.lock().expect("whole").push(line.to_owned()))
            .expect("a trace buffer");
        let receiver = UdpSocket::bind((pair::NEAR_IPV4, 443)).expect("bound");
        receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        pair.far(|| {
            let sender = UdpSocket::bind((pair::FAR_IPV4, 4711)).expect("bound");
            sender.send_to(&[0x40; 30], (pair::NEAR_IPV4, 443)).expect("sent");
        });
        receiver.recv(&mut [0; 64]).expect("passed on");

        let report = steering.reasons().expect("readable");
        assert_eq!(report.node[Reason::NewConnection as usize], 1);
        eventually("the verdict is traced", || {
            trace.flush();
            let verdict = "new_connection 192.168.77.2 4711 > 192.168.77.1 443";
            seen.lock().expect("whole").iter().any(|line| line == verdict)
        });
        drop(steering);
        eventually("the program is gone", || xdp("near").is_none());
    });
}
