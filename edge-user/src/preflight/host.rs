//! Reads the [`HostFacts`]. What cannot be read is left out, and then nothing is found wrong with
//! it: a check must not keep an edge from starting.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{HostFacts, InterfaceFacts, ethtool};
use crate::config::Config;
use crate::netlink::{self, Link};
use crate::steering;

/// Reads what [`super::examine`] judges, in the network namespace of the calling thread.
///
/// # Errors
/// Where netlink does not answer.
pub fn read(config: &Config) -> std::io::Result<HostFacts> {
    let asked = config.listen.anycast.iter().copied().chain(super::own(config));
    let (links, local) = netlink::ask(async |handle| {
        let links = netlink::links(&handle).await?;
        let mut local = Vec::new();
        for address in asked {
            if netlink::route(&handle, address).await?.is_some_and(|route| route.is_local) {
                local.push(address);
            }
        }
        Ok::<(Vec<Link>, Vec<IpAddr>), rtnetlink::Error>((links, local))
    })?;
    let interfaces: BTreeMap<_, _> = links
        .iter()
        .filter(|link| config.listen.interfaces.contains(&link.name))
        .map(|link| (link.name.clone(), interface(config, link, &links)))
        .collect();
    Ok(HostFacts {
        interfaces,
        rp_filter_all: sysctl("net/ipv4/conf/all/rp_filter"),
        local_addresses: local.into_iter().collect(),
        rmem_max: sysctl("net/core/rmem_max"),
        wmem_max: sysctl("net/core/wmem_max"),
    })
}

fn interface(config: &Config, link: &Link, links: &[Link]) -> InterfaceFacts {
    let name = &link.name;
    let other = |index| links.iter().find(|other| other.index == index);
    let parent = link.vlan.and_then(|vlan| other(vlan.parent));
    let bond = link.master.and_then(other).filter(|master| master.is_bond);
    InterfaceFacts {
        mtu: link.mtu,
        // In this tree the dots of a name stay as they are.
        rp_filter: sysctl(&format!("net/ipv4/conf/{name}/rp_filter")),
        offloads: ethtool::offloads(name).ok(),
        foreign_program: steering::foreign_program(config, link),
        vlan_of: parent.map(|parent| parent.name.clone()),
        member_of: bond.map(|bond| bond.name.clone()),
    }
}

fn sysctl(path: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}
