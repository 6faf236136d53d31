//! What the kernel says of its devices, routes and neighbours: the few questions that steering has,
//! over rtnetlink. Everything is asked of the network namespace of the calling thread.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
    VlanProtocol, XdpAttached,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rtnetlink::{Error, Handle, MulticastGroup, RouteMessageBuilder};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index, above 0.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its address. `None`: it is not an Ethernet device.
    pub mac: Option<[u8; 6]>,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// What it is a VLAN of.
    pub vlan: Option<Vlan>,
    /// Index of the device that it is a member of: a bond, a bridge.
    pub master: Option<u32>,
    /// It is a bond.
    pub is_bond: bool,
    /// The XDP program that runs on it.
    pub xdp: Option<XdpProgram>,
}

/// The link is a VLAN of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The device that carries the tagged frames.
    pub parent: u32,
    /// 1 to 4094.
    pub id: u16,
    /// IEEE 802.1ad rather than 802.1Q.
    pub is_service_tag: bool,
}

/// An XDP program on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's ID of the program.
    pub id: u32,
    /// It runs in the driver, not in the kernel's generic path.
    pub is_native: bool,
}

/// Where the kernel would send a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The address is one of this host's own.
    pub is_local: bool,
    /// Index of the device.
    pub interface: u32,
    /// The router. `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Largest IP packet on this path, where it is less than the device's.
    pub mtu: Option<u32>,
}

/// What is known of a neighbour on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Its address, good to use.
    Known([u8; 6]),
    /// Its address, good to use but not confirmed lately.
    Stale([u8; 6]),
    /// Being asked for, or it does not answer.
    Unresolved,
}

/// Neighbours, by device and address.
pub type Neighbours = HashMap<(u32, IpAddr), Neighbour>;

/// Every network device.
///
/// # Errors
/// What the kernel answers.
pub async fn links(handle: &Handle) -> Result<Vec<Link>, Error> {
    handle.link().get().execute().map_ok(|message| link(&message)).try_collect().await
}

/// Where packets to `destination` go; `None` where there is no route.
///
/// # Errors
/// What the kernel answers, other than that there is no route.
pub async fn route(handle: &Handle, destination: IpAddr) -> Result<Option<Route>, Error> {
    let prefix = if destination.is_ipv4() { 32 } else { 128 };
    let Ok(builder) = RouteMessageBuilder::<IpAddr>::new().destination_prefix(destination, prefix)
    else {
        return Ok(None);
    };
    let answers = handle.route().get(builder.build()).execute();
    match std::pin::pin!(answers).try_next().await {
        Ok(message) => Ok(message.as_ref().and_then(read_route)),
        Err(Error::NetlinkError(error)) if is_no_route(error.raw_code()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// ENETUNREACH and its kin, also what blackhole and prohibit routes answer.
fn is_no_route(code: i32) -> bool {
    [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL].contains(&code.abs())
}

/// The neighbour table of both families.
///
/// # Errors
/// What the kernel answers.
pub async fn neighbours(handle: &Handle) -> Result<Neighbours, Error> {
    let mut neighbours = Neighbours::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let entries = handle.neighbours().get().set_address_family(family).execute();
        let mut entries = std::pin::pin!(entries);
        while let Some(entry) = entries.try_next().await? {
            let mut address = None;
            let mut mac = None;
            for attribute in &entry.attributes {
                match attribute {
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                        address = Some(IpAddr::V4(*ip));
                    }
                    NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                        address = Some(IpAddr::V6(*ip));
                    }
                    NeighbourAttribute::LinkLayerAddress(bytes) => {
                        mac = <[u8; 6]>::try_from(&bytes[..]).ok();
                    }
                    _ => {}
                }
            }
            if let Some(address) = address {
                let neighbour = neighbour(entry.header.state, mac);
                neighbours.insert((entry.header.ifindex, address), neighbour);
            }
        }
    }
    Ok(neighbours)
}

fn neighbour(state: NeighbourState, mac: Option<[u8; 6]>) -> Neighbour {
    match (state, mac) {
        (NeighbourState::Stale, Some(mac)) => Neighbour::Stale(mac),
        (
            NeighbourState::Reachable
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent,
            Some(mac),
        ) => Neighbour::Known(mac),
        _ => Neighbour::Unresolved,
    }
}

/// Asks the kernel to find the neighbour, or to confirm it: `NTF_USE`, as a packet to it would.
/// Not for a neighbour that is [`Neighbour::Known`]: a permanent entry would lose its permanence.
///
/// # Errors
/// What the kernel answers.
pub async fn resolve(handle: &Handle, interface: u32, address: IpAddr) -> Result<(), Error> {
    handle
        .neighbours()
        .add(interface, address)
        .state(NeighbourState::None)
        .flags(NeighbourFlags::Use)
        .replace()
        .execute()
        .await
}

/// The kernel does not tell of changes.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No netlink socket could be made.
    #[error("no netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The socket that tells of changes was closed.
    #[error("the netlink socket was closed")]
    Closed,
}

/// Tells of every change in these groups. Changes are not queued: each leads to a look at all.
/// Ends when one of `tasks` does, or they are dropped.
///
/// # Errors
/// Where there is no socket to be had.
pub fn watch(tasks: &mut JoinSet<()>, groups: &[MulticastGroup]) -> io::Result<Arc<Notify>> {
    let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(groups)?;
    let changed = Arc::new(Notify::new());
    let told = Arc::clone(&changed);
    tasks.spawn(connection);
    tasks.spawn(async move {
        // The connection ends when its last handle goes.
        let _handle = handle;
        while messages.next().await.is_some() {
            told.notify_one();
        }
    });
    Ok(changed)
}

/// Answers questions from where there is no runtime: on a thread of its own, in the network
/// namespace of this one.
///
/// # Errors
/// Where there is no socket to be had, or what the question's answer was.
pub fn ask<T: Send, F: Future<Output = Result<T, Error>>>(
    question: impl FnOnce(Handle) -> F + Send,
) -> io::Result<T> {
    let answer = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let (connection, handle, _messages) = rtnetlink::new_connection()?;
            let connection = tokio::spawn(connection);
            let answer = question(handle).await;
            connection.abort();
            answer.map_err(io::Error::other)
        })
    };
    std::thread::scope(|scope| scope.spawn(answer).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread that asks netlink panicked")))
}

fn link(message: &LinkMessage) -> Link {
    let is_ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        vlan: None,
        master: None,
        is_bond: false,
        xdp: None,
    };
    let mut parent = 0;
    let mut vlan = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Link(index) => parent = *index,
            LinkAttribute::Address(bytes) if is_ethernet => {
                link.mac = <[u8; 6]>::try_from(&bytes[..]).ok();
            }
            LinkAttribute::Controller(index) => link.master = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                vlan = infos.iter().find_map(vlan_of);
                link.is_bond = infos.contains(&LinkInfo::Kind(InfoKind::Bond));
            }
            LinkAttribute::Xdp(attributes) => link.xdp = xdp(attributes),
            _ => {}
        }
    }
    link.vlan = vlan.map(|(id, is_service_tag)| Vlan { parent, id, is_service_tag });
    link
}

fn vlan_of(info: &LinkInfo) -> Option<(u16, bool)> {
    let LinkInfo::Data(InfoData::Vlan(attributes)) = info else { return None };
    let mut found = (None, false);
    for attribute in attributes {
        match attribute {
            InfoVlan::Id(id) => found.0 = Some(*id),
            InfoVlan::Protocol(protocol) => found.1 = *protocol == VlanProtocol::Ieee8021Ad,
            _ => {}
        }
    }
    found.0.map(|id| (id, found.1))
}

fn xdp(attributes: &[LinkXdp]) -> Option<XdpProgram> {
    let is_native = !attributes.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
    attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) if *id != 0 => {
            Some(XdpProgram { id: *id, is_native })
        }
        _ => None,
    })
}

fn read_route(message: &RouteMessage) -> Option<Route> {
    let mut route = Route {
        is_local: message.header.kind == RouteType::Local,
        interface: 0,
        gateway: None,
        mtu: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.interface = *index,
            RouteAttribute::Gateway(RouteAddress::Inet(ip))
            | RouteAttribute::Via(RouteVia::Inet(ip)) => route.gateway = Some(IpAddr::V4(*ip)),
            RouteAttribute::Gateway(RouteAddress::Inet6(ip))
            | RouteAttribute::Via(RouteVia::Inet6(ip)) => route.gateway = Some(IpAddr::V6(*ip)),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let sends = matches!(message.header.kind, RouteType::Unicast | RouteType::Local);
    sends.then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_loopback_device_is_there_and_no_ethernet() {
        let links = ask(async |handle| links(&handle).await).expect("netlink needs no privilege");
        let loopback = links.iter().find(|link| link.name == "lo").expect("every host has it");
        assert_eq!((loopback.index, loopback.mac, loopback.vlan), (1, None, None));
    }

    #[test]
    fn a_vlan_names_its_parent_and_its_tag() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        let data = vec![InfoVlan::Protocol(VlanProtocol::Ieee8021Q), InfoVlan::Id(100)];
        message.attributes = vec![
            LinkAttribute::IfName("eth0.100".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Link(2),
            LinkAttribute::LinkInfo(vec![LinkInfo::Data(InfoData::Vlan(data))]),
        ];
        let expected = Link {
            index: 7,
            name: "eth0.100".into(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            vlan: Some(Vlan { parent: 2, id: 100, is_service_tag: false }),
            master: None,
            is_bond: false,
            xdp: None,
        };
        assert_eq!(link(&message), expected);
    }

    #[test]
    fn a_bond_and_its_members_are_told_apart() {
        let read = |attributes| {
            let mut message = LinkMessage::default();
            message.attributes = attributes;
            link(&message)
        };
        let member = read(vec![LinkAttribute::Controller(9)]);
        assert_eq!((member.master, member.is_bond), (Some(9), false));
        let bond = read(vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bond)])]);
        assert_eq!((bond.master, bond.is_bond), (None, true));
    }

    #[test]
    fn an_xdp_program_is_native_unless_it_is_said_to_be_generic() {
        let program = |attached| xdp(&[LinkXdp::Attached(attached), LinkXdp::ProgId(42)]);
        let native = program(XdpAttached::Driver).expect("there");
        assert_eq!((native.id, native.is_native), (42, true));
        let generic = program(XdpAttached::SocketBuffer).expect("there");
        assert!(!generic.is_native);
        assert_eq!(xdp(&[LinkXdp::Attached(XdpAttached::None)]), None);
    }

    #[test]
    fn a_local_address_is_said_to_be_local() {
        let route = ask(async |handle| route(&handle, Ipv4Addr::LOCALHOST.into()).await);
        assert!(route.expect("netlink").is_some_and(|route| route.is_local));
    }
}
