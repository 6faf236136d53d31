//! An interface that loses the program while the process runs gets it again, unless somebody else's
//! is there.

use aya::programs::{Xdp, XdpMode};
use edge_user::config::SteeringMode;
use edge_user::netlink;
use edge_user::steering::{Attachment, Steering};

use super::pair::{Pair, eventually, ip, xdp};
use super::{attach, pins};

/// Has `steering` look at the devices as they are, and says what it found of the near one.
fn look(pair: &Pair, steering: &mut Steering) -> Attachment {
    let devices = netlink::ask(async |handle| netlink::links(&handle).await).expect("listed");
    steering.restore(&pair.config(), &devices);
    let mut attachments = steering.attachments();
    let (interface, attachment) = attachments.next().expect("one is configured");
    assert_eq!((interface.as_str(), attachments.next()), ("near", None));
    attachment.clone()
}

#[test]
fn a_device_that_is_made_anew_gets_the_program_again() {
    let pair = Pair::new();
    let mut steering = pair.near(|| attach(&pair, SteeringMode::Native).expect("attached"));
    let program = pair.near(|| xdp("near"));
    assert_eq!(pair.near(|| look(&pair, &mut steering)), Attachment::Attached);
    pair.near(|| ip("link del near"));
    assert_eq!(pair.near(|| look(&pair, &mut steering)), Attachment::NoInterface);
    pair.add_devices();
    pair.near(|| {
        assert_eq!(xdp("near"), None);
        assert_eq!(look(&pair, &mut steering), Attachment::Attached);
        assert_eq!(xdp("near"), program, "the same program, with its maps and counters");
        assert_eq!(steering.interfaces().collect::<Vec<_>>(), ["near"]);
        steering.detach().expect("detached");
        assert_eq!((xdp("near"), pins(&pair)), (None, 0));
    });
}

#[test]
fn a_foreign_program_is_left_alone_until_it_goes() {
    let pair = Pair::new();
    let mut steering = pair.near(|| attach(&pair, SteeringMode::Native).expect("attached"));
    pair.replace_devices();
    pair.near(|| {
        let object = concat!(env!("CARGO_MANIFEST_DIR"), "/../edge-ebpf/object/landfast.o");
        let mut foreign = aya::Ebpf::load_file(object).expect("loaded");
        let program: &mut Xdp =
            foreign.program_mut("steer_node").expect("there").try_into().expect("XDP");
        program.load().expect("verified");
        program.attach("near", XdpMode::Driver).expect("attached");
        let id = xdp("near").expect("on the device").id;

        let Attachment::Foreign(found) = look(&pair, &mut steering) else { panic!("attached") };
        assert_eq!(found.id, id);
        assert_eq!(xdp("near").map(|program| program.id), Some(id));

        drop(foreign);
        eventually("the foreign program is gone", || xdp("near").is_none());
        assert_eq!(look(&pair, &mut steering), Attachment::Attached);
        steering.detach().expect("detached");
    });
}

#[test]
fn what_a_newer_process_took_over_is_not_taken_back() {
    let pair = Pair::new();
    pair.near(|| {
        let mut older = attach(&pair, SteeringMode::Native).expect("attached");
        let newer = attach(&pair, SteeringMode::Native).expect("attached");
        let program = xdp("near");
        assert_eq!(look(&pair, &mut older), Attachment::Attached);
        assert_eq!(xdp("near"), program);
        drop(older); // or its hold on the link would keep the program there
        newer.detach().expect("detached");
    });
}
