use super::*;
use crate::steering::tables::samples;

/// A host with which nothing is wrong.
fn sound() -> (Config, HostFacts) {
    let config = samples::config(1);
    let interface = InterfaceFacts {
        mtu: 1500,
        rp_filter: Some(0),
        offloads: Some(Offloads::default()),
        foreign_program: None,
        vlan_of: None,
        member_of: None,
    };
    let facts = HostFacts {
        interfaces: BTreeMap::from([("eth0".into(), interface)]),
        rp_filter_all: Some(0),
        local_addresses: config.listen.anycast.iter().copied().chain(own(&config)).collect(),
        rmem_max: Some(4 << 20),
        wmem_max: Some(16 << 20),
    };
    (config, facts)
}

/// The one finding on a sound host that was changed so.
fn after(change: impl FnOnce(&mut Config, &mut HostFacts)) -> Finding {
    let (mut config, mut facts) = sound();
    change(&mut config, &mut facts);
    let [finding] = &examine(&config, &facts)[..] else {
        panic!("{:?}", examine(&config, &facts));
    };
    finding.clone()
}

fn eth0(facts: &mut HostFacts) -> &mut InterfaceFacts {
    facts.interfaces.get_mut("eth0").expect("in sound()")
}

#[test]
fn a_sound_host_has_no_findings() {
    let (config, facts) = sound();
    assert_eq!(examine(&config, &facts), []);
}

#[test]
fn what_could_not_be_read_is_not_held_against_the_host() {
    let (config, mut facts) = sound();
    let local_addresses = facts.local_addresses.clone();
    let unread = InterfaceFacts { mtu: 1500, ..InterfaceFacts::default() };
    facts = HostFacts {
        interfaces: BTreeMap::from([("eth0".into(), unread)]),
        local_addresses,
        ..HostFacts::default()
    };
    assert_eq!(examine(&config, &facts), []);
}

#[test]
fn an_interface_that_is_not_there() {
    let finding = after(|_, facts| facts.interfaces.clear());
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(finding.to_string(), "no interface is named eth0: correct listen.interfaces");
}

#[test]
fn a_foreign_program_on_the_device() {
    let name = Some("xdp_dispatcher".to_owned());
    let finding =
        after(|_, facts| eth0(facts).foreign_program = Some(ForeignProgram { id: 42, name }));
    assert_eq!(finding.severity, Severity::Error);
    assert!(finding.what.contains("xdp_dispatcher (ID 42)"), "{finding}");
}

#[test]
fn a_vlan_is_steered_on_its_parent() {
    let finding = after(|_, facts| eth0(facts).vlan_of = Some("bond0".into()));
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(
        finding.to_string(),
        "eth0 is a VLAN: XDP sees its frames, with their tag, on bond0: \
         in listen.interfaces, name bond0 instead of eth0"
    );
    let generic = after(|config, facts| {
        config.steering.mode = SteeringMode::Generic;
        eth0(facts).vlan_of = Some("bond0".into());
    });
    assert_eq!(generic.severity, Severity::Warning, "there it can be attached");
}

#[test]
fn a_bond_is_steered_whole() {
    let finding = after(|_, facts| eth0(facts).member_of = Some("bond0".into()));
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.what.starts_with("eth0 is a member of bond0: "), "{finding}");
    let both = after(|config, facts| {
        config.listen.interfaces.push("bond0".into());
        let bond = eth0(facts).clone();
        facts.interfaces.insert("bond0".into(), bond);
        eth0(facts).member_of = Some("bond0".into());
    });
    assert_eq!(both.change, "remove eth0 from listen.interfaces, bond0 is there");
}

#[test]
fn strict_reverse_path_filter_on_the_interface_or_on_all() {
    let change = "sysctl -w net.ipv4.conf.eth0.rp_filter=2";
    assert_eq!(after(|_, facts| eth0(facts).rp_filter = Some(1)).change, change);
    assert_eq!(after(|_, facts| facts.rp_filter_all = Some(1)).change, change);
}

#[test]
fn the_larger_reverse_path_filter_counts() {
    let (config, mut facts) = sound();
    facts.rp_filter_all = Some(1);
    eth0(&mut facts).rp_filter = Some(2);
    assert_eq!(examine(&config, &facts), []);
}

#[test]
fn a_dot_in_a_name_is_a_slash_for_sysctl() {
    let finding = after(|config, facts| {
        config.listen.interfaces = vec!["eth0.100".into()];
        let mut interface = facts.interfaces.remove("eth0").expect("in sound()");
        interface.rp_filter = Some(1);
        facts.interfaces.insert("eth0.100".into(), interface);
    });
    assert_eq!(finding.change, "sysctl -w net.ipv4.conf.eth0/100.rp_filter=2");
}

#[test]
fn vlan_tags_taken_off_by_the_device() {
    let offloads = Some(Offloads { receive_vlan: true, large_receive: false });
    let finding = after(|_, facts| eth0(facts).offloads = offloads);
    assert_eq!(finding.change, "ethtool -K eth0 rxvlan off");
}

#[test]
fn packets_merged_by_the_device() {
    let offloads = Some(Offloads { receive_vlan: false, large_receive: true });
    let finding = after(|_, facts| eth0(facts).offloads = offloads);
    assert_eq!(finding.change, "ethtool -K eth0 lro off");
}

#[test]
fn an_mtu_that_full_sized_packets_do_not_fit_in() {
    let over_ipv4 = after(|_, facts| eth0(facts).mtu = 1459);
    assert_eq!(over_ipv4.change, "ip link set dev eth0 mtu 1460");
    let over_ipv6 = after(|config, facts| {
        config.nodes[1].ipv6 = config.nodes[0].ipv6;
        eth0(facts).mtu = 1499;
    });
    assert_eq!(over_ipv6.change, "ip link set dev eth0 mtu 1500");
}

#[test]
fn a_fleet_of_one_forwards_nothing() {
    let (mut config, mut facts) = sound();
    config.nodes.truncate(1);
    eth0(&mut facts).mtu = 1280;
    assert_eq!(examine(&config, &facts), []);
}

#[test]
fn an_anycast_address_that_the_host_does_not_have() {
    let removed = |address: &str| {
        let address: IpAddr = address.parse().expect("address");
        after(|_, facts| facts.local_addresses.retain(|local| *local != address))
    };
    assert_eq!(removed("192.0.2.1").change, "ip addr add 192.0.2.1/32 dev lo");
    assert_eq!(removed("2001:db8::1").change, "ip addr add 2001:db8::1/128 dev lo");
}

#[test]
fn a_configuration_that_was_copied_from_another_node() {
    let finding = after(|config, _| config.node = 2);
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(
        finding.to_string(),
        "198.51.100.2, of node 2, is not an address of this host: \
         correct `node`, or the address in its [[nodes]]"
    );
    let (mut config, facts) = sound();
    (config.node, config.steering.mode) = (2, SteeringMode::Off);
    assert_eq!(examine(&config, &facts), []);
}

#[test]
fn buffers_that_the_kernel_does_not_allow() {
    let finding = after(|_, facts| facts.rmem_max = Some(212_992));
    assert_eq!(finding.change, "sysctl -w net.core.rmem_max=4194304");
    let finding = after(|_, facts| facts.wmem_max = Some(212_992));
    assert_eq!(finding.change, "sysctl -w net.core.wmem_max=4194304");
}

#[test]
fn without_xdp_the_interfaces_do_not_matter() {
    for mode in [SteeringMode::UserSpace, SteeringMode::Off] {
        let (mut config, mut facts) = sound();
        config.steering.mode = mode;
        facts.interfaces.clear();
        assert_eq!(examine(&config, &facts), []);
    }
}

#[test]
fn errors_come_first() {
    let (mut config, mut facts) = sound();
    facts.rmem_max = Some(1);
    config.listen.interfaces.push("eth7".into());
    eth0(&mut facts).rp_filter = Some(1);
    let severities: Vec<_> = examine(&config, &facts).into_iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning, Severity::Warning]);
}

#[test]
fn this_host_can_be_read() {
    let mut config = samples::config(1);
    config.listen.interfaces = vec!["lo".into()];
    config.listen.anycast = vec!["127.0.0.1".parse().expect("address")];
    let facts = read(&config).expect("netlink needs no privilege");
    assert_eq!(Vec::from_iter(facts.local_addresses), config.listen.anycast);
    assert!(facts.interfaces["lo"].offloads.is_some());
}
