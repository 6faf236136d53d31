//! The kernel programs, from user space: load, fill the maps, attach, count, detach. The only room
//! that names aya.
//!
//! `steer_node` (XDP) sends packets of other nodes' connections to them; `steer_worker` (reuseport)
//! gives the rest to the worker that owns them. The XDP links are pinned, so that steering survives
//! a crash of this process; the next one takes them over without a gap, and only [`Steering::detach`]
//! ends it. Dropping a [`Steering`] is a crash.
//!
//! | module | job |
//! |---|---|
//! | [`tables`] | what goes into the maps; pure |
//! | `admission` | early drops and budgets while the process runs |
//! | `fleet` | nodes that come, change and go |
//! | [`link`] | one interface's XDP link: attach, take over, detach |
//! | `restore` | attach again what was lost |
//! | [`pins`] | the directory of pinned links |
//! | [`trace`] | sampled verdicts |
//! | [`error`] | why steering cannot start |

mod admission;
mod error;
mod fleet;
mod link;
mod pins;
mod restore;
pub(crate) mod tables;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::path::Path as FilePath;

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, PerCpuArray, ReusePortSockArray};
use aya::programs::{ProgramError, SkReuseport, Xdp, XdpMode};
use edge_wire::Reason;
use edge_wire::maps::{self, Ipv6Entry, Local, Node, NodeEntry};

use crate::admission::blocklist::Network;
use crate::admission::port_bits;
use crate::config::{Config, SteeringMode};
use crate::netlink;
use crate::next_hop;
pub use error::{ForeignProgram, SteeringError};
use fleet_wire::secrets::Secrets;
use link::Attached;
pub use restore::Attachment;
use tables::Tables;
pub use tables::tick_ns;
pub use trace::Trace;

/// The programs of `edge-ebpf`, as they are committed there.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../edge-ebpf/object/landfast.o");

/// The kernel programs, loaded, with their maps.
pub struct Steering {
    ebpf: Ebpf,
    local: Local,
    nodes: BTreeMap<u16, Node>,
    /// As the map has it.
    blocked: BTreeSet<Network>,
    attached: Vec<Attached>,
    /// Of each configured interface, as it was when last looked at.
    attachments: BTreeMap<String, Attachment>,
}

/// Packets, by the Reason that each ended with, since the programs were loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteeringReport {
    /// Of `steer_node`.
    pub node: [u64; Reason::COUNT as usize],
    /// Of `steer_worker`.
    pub worker: [u64; Reason::COUNT as usize],
}

impl Steering {
    /// Loads the programs, fills the maps, and attaches `steer_node` to every configured interface
    /// in the configured mode. In the modes without XDP nothing is attached; the programs are loaded
    /// for [`Steering::attach_workers`]. Links that an earlier process left on interfaces which this
    /// configuration does not name are detached.
    ///
    /// # Errors
    /// What is missing, and what to change. On an error nothing new stays attached; a link that was
    /// taken over stays, because a start that fails must not end what still works.
    pub fn attach(
        config: &Config,
        secrets: &Secrets,
        generation: u8,
        workers: u8,
    ) -> Result<Self, SteeringError> {
        let mut tables = Tables::new(config, secrets, generation, workers);
        let Some(mode) = xdp_mode(config.steering.mode) else {
            let steering = Self::load(&tables)?;
            remove_other_links(config, &[])?;
            return Ok(steering);
        };
        // So that a take-over forwards from its first packet on.
        match next_hop::look(config) {
            Ok(paths) => tables.set_paths(paths),
            Err(error) => tracing::warn!(%error, "the ways to other nodes are not known yet"),
        }
        let mut steering = Self::load(&tables)?;
        let interfaces = &config.listen.interfaces;
        pins::prepare(&config.steering.pin_directory)?;
        steering.attach_all(interfaces, mode, Some(&config.steering.pin_directory))?;
        remove_other_links(config, interfaces)?;
        Ok(steering)
    }

    /// Loads the programs to look on: packets to `port` that come in by `interface` are counted and
    /// passed. Nothing is pinned, so that it ends with the process at the latest.
    ///
    /// # Errors
    /// As [`Steering::attach`].
    pub fn observe(interface: &str, port: u16, native: bool) -> Result<Self, SteeringError> {
        let mut steering = Self::load(&Tables::observing(port))?;
        let mode = if native { XdpMode::Driver } else { XdpMode::Skb };
        steering.attach_all(&[interface.to_owned()], mode, None)?;
        Ok(steering)
    }

    fn load(tables: &Tables) -> Result<Self, SteeringError> {
        let ebpf = Ebpf::load(OBJECT).map_err(|error| SteeringError::load("the object", error))?;
        let (local, nodes) = (tables.local, tables.nodes.clone());
        let mut steering = Self {
            ebpf,
            local,
            nodes,
            blocked: BTreeSet::new(),
            attached: Vec::new(),
            attachments: BTreeMap::new(),
        };
        steering.fill(tables)?;
        let xdp = steering.xdp().and_then(Xdp::load);
        xdp.map_err(|error| SteeringError::load(maps::STEER_NODE, error))?;
        let reuseport = steering.reuseport().and_then(SkReuseport::load);
        reuseport.map_err(|error| SteeringError::load(maps::STEER_WORKER, error))?;
        Ok(steering)
    }

    fn fill(&mut self, tables: &Tables) -> Result<(), SteeringError> {
        self.write(maps::LOCAL, [(0, tables.local)])?;
        self.write(maps::PORTS, [(0, port_bits(&tables.ports))])?;
        self.write(maps::AMPLIFIER_PORTS, [(0, port_bits(&tables.amplifier_ports))])?;
        self.write(maps::ANYCAST, [(0, tables.anycast_buckets()?)])?;
        self.write(maps::DECODE_CONFIGS, [(0, tables.decode)])?;
        self.write(maps::ENCAPSULATION_KEYS, [(0, tables.keys)])?;
        let nodes = || tables.nodes.iter().map(|(id, node)| (u32::from(*id), node));
        self.write(maps::NODES_IPV6, nodes().map(|(id, node)| (id, Ipv6Entry::new(node))))?;
        self.write(maps::NODES, nodes().map(|(id, node)| (id, NodeEntry::new(node))))
    }

    fn write<V: aya::Pod>(
        &mut self,
        map: &'static str,
        entries: impl IntoIterator<Item = (u32, V)>,
    ) -> Result<(), SteeringError> {
        let mut array: Array<&mut MapData, V> = self.map(map)?;
        for (index, value) in entries {
            array.set(index, value, 0).map_err(|error| SteeringError::map(map, error))?;
        }
        Ok(())
    }

    fn map<'a, T>(&'a mut self, name: &'static str) -> Result<T, SteeringError>
    where
        T: TryFrom<&'a mut Map, Error = aya::maps::MapError>,
    {
        let map = self.ebpf.map_mut(name).ok_or_else(|| SteeringError::map(name, "missing"))?;
        map.try_into().map_err(|error| SteeringError::map(name, error))
    }

    fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        let program = self.ebpf.program_mut(maps::STEER_NODE);
        program.ok_or(ProgramError::NotLoaded)?.try_into()
    }

    fn reuseport(&mut self) -> Result<&mut SkReuseport, ProgramError> {
        let program = self.ebpf.program_mut(maps::STEER_WORKER);
        program.ok_or(ProgramError::NotLoaded)?.try_into()
    }

    fn attach_all(
        &mut self,
        interfaces: &[String],
        mode: XdpMode,
        directory: Option<&FilePath>,
    ) -> Result<(), SteeringError> {
        for interface in interfaces {
            if let Err(error) = self.attach_one(interface, mode, directory) {
                for fresh in self.attached.drain(..).filter(|attached| !attached.taken_over()) {
                    if let Err(error) = fresh.detach() {
                        tracing::warn!(%error, "cannot detach what was attached before");
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn attach_one(
        &mut self,
        interface: &str,
        mode: XdpMode,
        directory: Option<&FilePath>,
    ) -> Result<(), SteeringError> {
        let device = link::find(interface)?
            .ok_or_else(|| SteeringError::UnknownInterface { interface: interface.to_owned() })?;
        let pin = directory.map(|directory| pins::path(directory, interface));
        let program = self.xdp().map_err(|error| SteeringError::load(maps::STEER_NODE, error))?;
        let attached = link::attach(program, &device, mode, pin.as_deref())?;
        let mode = if mode == XdpMode::Driver { "native" } else { "generic" };
        let taken_over = attached.taken_over();
        tracing::info!(interface, mode, taken_over, "steer_node is attached");
        self.attached.push(attached);
        self.attachments.insert(interface.to_owned(), Attachment::Attached);
        Ok(())
    }

    /// The interfaces that `steer_node` is attached to.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.attached.iter().map(Attached::interface)
    }

    /// Puts a worker's socket into its slot. It is bound, and of the workers' reuseport group.
    ///
    /// # Errors
    /// Where the kernel refuses the socket.
    pub fn set_worker_socket(
        &mut self,
        worker: u8,
        socket: &UdpSocket,
    ) -> Result<(), SteeringError> {
        let mut sockets: ReusePortSockArray<&mut MapData> = self.map(maps::WORKERS)?;
        let set = sockets.set(u32::from(worker), socket, 0);
        set.map_err(|error| SteeringError::map(maps::WORKERS, error))
    }

    /// Attaches `steer_worker` to the whole reuseport group of `socket`, for as long as the group
    /// has a socket. It is never detached: that would unsteer the group for every process in it.
    /// Call it when every worker's socket is in its slot.
    ///
    /// # Errors
    /// Where the socket is in no reuseport group, or the kernel refuses.
    pub fn attach_workers(&mut self, socket: &UdpSocket) -> Result<(), SteeringError> {
        let program =
            self.reuseport().map_err(|error| SteeringError::load(maps::STEER_WORKER, error))?;
        program.attach(socket).map_err(|error| SteeringError::Attach {
            interface: "SO_REUSEPORT".into(),
            cause: error.into(),
        })
    }

    /// Puts these secrets in force: connection IDs are read by them, encapsulation is believed and,
    /// last, made by them. Who mints what is not of the kernel. The map's entries are not written at
    /// one stroke, so an entry that packets need is never changed for another one: see
    /// [`Secrets::change_to`].
    ///
    /// # Errors
    /// Where a map cannot be written.
    pub fn set_secrets(&mut self, secrets: &Secrets) -> Result<(), SteeringError> {
        self.write(maps::DECODE_CONFIGS, [(0, secrets.decode_configs())])?;
        self.write(maps::ENCAPSULATION_KEYS, [(0, tables::encapsulation_keys(secrets))])?;
        self.local.encapsulation_key = secrets.encapsulate_with;
        let local = self.local;
        self.write(maps::LOCAL, [(0, local)])
    }

    /// Reads sampled verdicts of `steer_node`: about one packet in `one_in`, each a line of text.
    /// 0 ends the sampling. To be called once; later calls change the rate with [`Self::set_trace`].
    ///
    /// # Errors
    /// Where the object has no trace buffer, or it is being read already.
    pub fn trace(
        &mut self,
        one_in: u32,
        sink: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Trace, SteeringError> {
        let trace = Trace::new(&mut self.ebpf, sink);
        let trace = trace.map_err(|error| SteeringError::map("AYA_LOGS", error))?;
        self.set_trace(one_in)?;
        Ok(trace)
    }

    /// Changes how many verdicts are sampled: about one packet in `one_in`, 0 for none.
    ///
    /// # Errors
    /// Where the map cannot be written.
    pub fn set_trace(&mut self, one_in: u32) -> Result<(), SteeringError> {
        self.local.trace_one_in = one_in;
        let local = self.local;
        self.write(maps::LOCAL, [(0, local)])
    }

    /// What both programs have counted, over all CPUs.
    ///
    /// # Errors
    /// Where a map cannot be read.
    pub fn reasons(&self) -> Result<SteeringReport, SteeringError> {
        Ok(SteeringReport {
            node: self.counts(maps::NODE_REASONS)?,
            worker: self.counts(maps::WORKER_REASONS)?,
        })
    }

    fn counts(&self, name: &'static str) -> Result<[u64; Reason::COUNT as usize], SteeringError> {
        let error = |error| SteeringError::map(name, error);
        let map = self.ebpf.map(name).ok_or_else(|| SteeringError::map(name, "missing"))?;
        let counters: PerCpuArray<&MapData, u64> = map.try_into().map_err(error)?;
        let mut sums = [0; Reason::COUNT as usize];
        for (index, sum) in (0..).zip(&mut sums) {
            *sum = counters.get(&index, 0).map_err(error)?.iter().sum();
        }
        Ok(sums)
    }

    /// The last clean stop: detaches `steer_node` from every interface and removes the pins. A link
    /// that a newer process has taken over stays. `steer_worker` ends with the last socket of its
    /// group.
    ///
    /// # Errors
    /// The first link that cannot be detached; the others are detached all the same.
    pub fn detach(self) -> Result<(), SteeringError> {
        let results: Vec<_> = self.attached.into_iter().map(Attached::detach).collect();
        results.into_iter().collect()
    }
}

/// Detaches links that an earlier process left on interfaces other than these. [`Steering::attach`]
/// does it; to be called where nothing is attached at all.
///
/// # Errors
/// Where the pin directory exists and cannot be read, or a link cannot be removed.
pub fn remove_other_links(config: &Config, interfaces: &[String]) -> Result<(), SteeringError> {
    for (interface, path) in pins::leftovers(&config.steering.pin_directory, interfaces)? {
        link::remove_leftover(&interface, &path)?;
    }
    Ok(())
}

/// The XDP program on a device, where it is neither ours nor one that will be taken over.
#[must_use]
pub fn foreign_program(config: &Config, device: &netlink::Link) -> Option<ForeignProgram> {
    link::foreign(&config.steering.pin_directory, device)
}

fn xdp_mode(mode: SteeringMode) -> Option<XdpMode> {
    match mode {
        SteeringMode::Native => Some(XdpMode::Driver),
        SteeringMode::Generic => Some(XdpMode::Skb),
        SteeringMode::UserSpace | SteeringMode::Off => None,
    }
}
