//! Budgets: what a network may start, and what may cross to a node.
//!
//! The clock is the kernel's. So that no timing decides, a packet costs a day: what is spent
//! during a test does not come back.

use edge_wire::Reason::{
    Blocklisted, ForwardLimited, InitialLimited, Local as Ours, NewConnection, NoNextHop,
    OtherAddress, SmallInitial, TooBig,
};
use edge_wire::admit::{BLOCKLIST, INITIALS, Limit, SMALL_INITIALS};
use edge_wire::maps::Local;
use tests::packet::{Packet, long_header, short_header};

use super::fixture::{Case, cases, dropped, passed};
use super::fleet::{
    LAST, LIVE, LIVE_ELSEWHERE, OURSELVES, WITHOUT_NEXT_HOP, address_of, families, id_of, local,
};
use super::wire::{sent, taken_in};

cases![
    a_network_has_a_burst_of_initials,
    neighbours_share_a_budget_and_others_do_not,
    only_initials_that_are_let_in_are_counted,
    without_a_limit_or_a_switch_initials_are_free,
    a_network_has_its_budget_back_in_time,
    a_node_has_a_burst_of_forwarded_packets,
    only_what_would_be_sent_to_a_node_is_counted,
];

const DAY_NS: u64 = 86_400_000_000_000;
const VERSION_2: u32 = 0x6b33_43cf;

/// This many packets, and none for a day.
const fn burst(packets: u64) -> Limit {
    Limit { cost_ns: DAY_NS, burst_ns: DAY_NS * packets }
}

fn initials_limited(case: &mut Case, initials: Limit, admission: u8) {
    case.change(move |kernel| kernel.set_local(Local { initials, admission, ..local() }));
}

fn forwards_limited(case: &mut Case, forwards: Limit) {
    case.change(move |kernel| kernel.set_local(Local { forwards, ..local() }));
}

fn a_network_has_a_burst_of_initials() -> Case {
    let mut case = Case::default();
    for (name, packets) in [("none", 0), ("one", 1), ("three", 3)] {
        initials_limited(&mut case, burst(packets), INITIALS);
        for (family, packet) in families() {
            let frame = initial(&packet).frame();
            for number in 0..packets {
                let variant = format!("{family}, number {number}");
                let sentence = format!("a burst of {name}: within");
                case.add(passed(sentence, variant, frame.clone(), NewConnection));
            }
            for number in packets..packets + 3 {
                let variant = format!("{family}, number {number}");
                let sentence = format!("a burst of {name}: beyond");
                case.add(dropped(sentence, variant, frame.clone(), InitialLimited));
            }
        }
        case.change(|kernel| kernel.refill_budgets([]));
    }
    case
}

/// As providers give them out: a /24 in IPv4, a /56 in IPv6.
fn neighbours_share_a_budget_and_others_do_not() -> Case {
    let mut case = Case::default();
    initials_limited(&mut case, burst(1), INITIALS);
    let from = |address: &str| {
        let address = address.parse().expect("an address");
        let packet = match address {
            std::net::IpAddr::V4(_) => Packet::ipv4(),
            std::net::IpAddr::V6(_) => Packet::ipv6(),
        };
        initial(&packet).with(|packet| packet.source.set_ip(address)).frame()
    };
    for (spends, shares, others) in [
        ("203.0.113.9", ["203.0.113.0", "203.0.113.255"], ["203.0.112.9", "203.0.114.9"]),
        (
            "2001:db8:c::9",
            ["2001:db8:c:ff::1", "2001:db8:c::"],
            ["2001:db8:c:100::9", "2001:db8:b:ff::9"],
        ),
        // The same bytes as an IPv4 network's, in the other family.
        (
            "cb00:7100::1",
            ["cb00:7100::2", "cb00:7100:0:ff::"],
            ["cb00:7101::1", "cb00:7100:0:100::"],
        ),
    ] {
        case.add(passed("a client spends it", spends, from(spends), NewConnection));
        case.add(dropped("the client itself", spends, from(spends), InitialLimited));
        for address in shares {
            case.add(dropped("a neighbour", address, from(address), InitialLimited));
        }
        for address in others {
            case.add(passed("another network", address, from(address), NewConnection));
        }
    }
    case
}

fn only_initials_that_are_let_in_are_counted() -> Case {
    let mut case = Case::default();
    initials_limited(&mut case, burst(2), INITIALS | SMALL_INITIALS | BLOCKLIST);
    for (family, packet) in families() {
        let client = packet.source.ip();
        let network = (client, if client.is_ipv4() { 32 } else { 128 });
        let small = packet.clone().payload(long_header(0xc0, 1, &[0xa5; 8], 300)).frame();
        case.add(dropped("a small one costs nothing", family, small, SmallInitial));
        case.change(move |kernel| kernel.block(network));
        let frame = initial(&packet).frame();
        case.add(dropped("a blocked one costs nothing", family, frame.clone(), Blocklisted));
        case.change(move |kernel| kernel.unblock(network));
        case.add(taken_in("one of a node's costs nothing", family, &initial(&packet), LIVE, 1));
        case.add(passed("the first", family, frame.clone(), NewConnection));
        let second = long_header(0xd0, VERSION_2, &id_of(OURSELVES), 1200);
        let second = packet.clone().payload(second).frame();
        case.add(passed("the second, of version 2, with an ID of ours", family, second, Ours));
        case.add(dropped("the third", family, frame, InitialLimited));
        for (sentence, first, version) in [
            ("then a Handshake", 0xe0, 1),
            ("then 0-RTT", 0xd0, 1),
            ("then a Handshake of version 2", 0xf0, VERSION_2),
            ("then an unknown version", 0xc0, 0xfa0a_0a0a),
        ] {
            let frame = packet.clone().payload(long_header(first, version, &[0xa5; 8], 1200));
            case.add(passed(sentence, family, frame.frame(), NewConnection));
        }
        let short = packet.clone().payload(short_header(&id_of(OURSELVES), 60)).frame();
        case.add(passed("then a short header", family, short, Ours));
        let of_another = packet.payload(short_header(&id_of(LIVE), 60));
        case.add(sent("then a live node's", family, &of_another, LIVE));
    }
    case
}

fn without_a_limit_or_a_switch_initials_are_free() -> Case {
    let mut case = Case::default();
    for (sentence, limit, admission) in [
        ("switched on, without a limit", Limit::NONE, INITIALS),
        ("switched off, with a limit", burst(0), 0),
        ("switched off, other switches on", burst(0), BLOCKLIST | SMALL_INITIALS),
    ] {
        initials_limited(&mut case, limit, admission);
        for (family, packet) in families() {
            for number in 0..5 {
                let variant = format!("{family}, number {number}");
                case.add(passed(sentence, variant, initial(&packet).frame(), NewConnection));
            }
        }
    }
    // What came while it was off was not counted either.
    initials_limited(&mut case, burst(1), INITIALS);
    for (family, packet) in families() {
        let frame = initial(&packet).frame();
        case.add(passed("switched on again: within", family, frame.clone(), NewConnection));
        case.add(dropped("switched on again: beyond", family, frame, InitialLimited));
    }
    case
}

/// A budget is the time up to which it is spent: here written a day back, instead of waiting.
fn a_network_has_its_budget_back_in_time() -> Case {
    let mut case = Case::default();
    initials_limited(&mut case, burst(2), INITIALS);
    for (family, packet) in families() {
        let frame = initial(&packet).frame();
        case.add(passed("the first", family, frame.clone(), NewConnection));
        case.add(passed("the second", family, frame.clone(), NewConnection));
        case.add(dropped("too early", family, frame.clone(), InitialLimited));
        case.change(|kernel| {
            let mut initials = kernel.initials();
            let spent: Vec<_> = initials.iter().map(|entry| entry.expect("an entry")).collect();
            for (network, until) in spent {
                initials.insert(network, until - DAY_NS, 0).expect("it is there");
            }
        });
        case.add(passed("a day later", family, frame.clone(), NewConnection));
        case.add(dropped("too early again", family, frame, InitialLimited));
    }
    case
}

fn a_node_has_a_burst_of_forwarded_packets() -> Case {
    let mut case = Case::default();
    for (name, packets) in [("none", 0), ("one", 1), ("four", 4)] {
        forwards_limited(&mut case, burst(packets));
        for number in 0..packets {
            // Both families and all clients spend the one budget.
            let [(_, ipv4), (_, ipv6)] = families();
            let packet = if number % 2 == 0 { ipv4 } else { ipv6 };
            let packet = packet.payload(short_header(&id_of(LIVE), 60));
            let (sentence, variant) = (format!("a burst of {name}: within"), number.to_string());
            case.add(sent(sentence, variant, &packet, LIVE));
        }
        for (family, packet) in families() {
            let frame = packet.clone().payload(short_header(&id_of(LIVE), 60)).frame();
            case.add(passed(format!("a burst of {name}: beyond"), family, frame, ForwardLimited));
            let ours = packet.payload(short_header(&id_of(OURSELVES), 60)).frame();
            case.add(passed("our own are not limited", family, ours, Ours));
        }
        if packets > 0 {
            for other in [LIVE_ELSEWHERE, LAST] {
                let packet = Packet::ipv4().payload(short_header(&id_of(other), 60));
                case.add(sent(
                    "another node's budget is its own",
                    other.to_string(),
                    &packet,
                    other,
                ));
            }
        }
        case.change(|kernel| kernel.refill_budgets([LIVE, LIVE_ELSEWHERE, LAST]));
    }
    forwards_limited(&mut case, Limit::NONE);
    for number in 0..10 {
        let packet = Packet::ipv4().payload(short_header(&id_of(LIVE), 60));
        case.add(sent("without a limit", number.to_string(), &packet, LIVE));
    }
    case
}

fn only_what_would_be_sent_to_a_node_is_counted() -> Case {
    let mut case = Case::default();
    forwards_limited(&mut case, burst(1));
    for (family, packet) in families() {
        let of = |owner| packet.clone().payload(short_header(&id_of(owner), 60));
        let own = address_of(OURSELVES, &packet, 443);
        let elsewhere = of(LIVE).with(|packet| packet.destination = own).frame();
        case.add(passed("to no anycast address: not counted", family, elsewhere, OtherAddress));
        case.add(taken_in("from a node: not counted", family, &of(LIVE), LIVE, 1));
        case.add(sent("the budget is whole", family, &of(LIVE), LIVE));
        case.add(passed("and spent", family, of(LIVE).frame(), ForwardLimited));
        // Counted where it is found that there is no way: a flood of them is no cheaper.
        case.add(passed("no way", family, of(WITHOUT_NEXT_HOP).frame(), NoNextHop));
        case.add(passed("no way, beyond", family, of(WITHOUT_NEXT_HOP).frame(), ForwardLimited));
        let large = packet.clone().payload(short_header(&id_of(LAST), 1500)).frame();
        case.add(passed("too big", family, large.clone(), TooBig));
        case.add(passed("too big, beyond", family, large, ForwardLimited));
        case.change(|kernel| kernel.refill_budgets([LIVE, WITHOUT_NEXT_HOP, LAST]));
    }
    case
}

/// An Initial of a client's, as large as it has to be.
fn initial(packet: &Packet) -> Packet {
    packet.clone().payload(long_header(0xc0, 1, &[0xa5; 8], 1200 - 15))
}
