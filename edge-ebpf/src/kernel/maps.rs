//! The maps. Their names, keys and values are `edge_wire::maps`'; user space fills them.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray, ReusePortSockArray};
use edge_wire::dissect::Addresses;
use edge_wire::maps::{
    DecodeConfig, EncapsulationKey, Local, MAX_BLOCKLIST, MAX_ENCAPSULATION_KEYS, MAX_INITIALS,
    MAX_NODES, MAX_WORKERS, NodeEntry, PORT_WORDS,
};
use edge_wire::{Reason, anycast, cid};

#[map]
pub(crate) static LOCAL: Array<Local> = Array::with_max_entries(1, 0);

#[map]
static PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

#[map]
static ANYCAST: Array<anycast::Bucket> = Array::with_max_entries(anycast::BUCKETS, 0);

#[map]
pub(crate) static DECODE_CONFIGS: Array<DecodeConfig> = Array::with_max_entries(8, 0);

/// Mappable, which nobody makes use of, because the entries of such an array begin at a page: so
/// each is in cache lines of its own.
#[map]
pub(crate) static NODES: Array<NodeEntry> = Array::with_max_entries(MAX_NODES, BPF_F_MMAPABLE);

#[map]
static ENCAPSULATION_KEYS: Array<EncapsulationKey> =
    Array::with_max_entries(MAX_ENCAPSULATION_KEYS, 0);

/// `BPF_F_NO_PREALLOC`: the kernel makes no other tries.
#[map]
static BLOCKLIST: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(MAX_BLOCKLIST, 1);

#[map]
static AMPLIFIER_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

#[map]
pub(crate) static INITIALS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(MAX_INITIALS, 0);

#[map]
pub(crate) static WORKERS: ReusePortSockArray =
    ReusePortSockArray::with_max_entries(MAX_WORKERS, 0);

#[map]
pub(crate) static NODE_REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT, 0);

#[map]
pub(crate) static WORKER_REASONS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(Reason::COUNT, 0);

/// All of a QUIC packet that `steer_worker` reads: a long header's first six bytes, the longest ID.
pub(crate) const HEAD_LEN: usize = 6 + cid::MAX_LEN;

/// Where `steer_worker` reads it to. Of no concern to user space.
#[map]
pub(crate) static HEAD: PerCpuArray<[u8; HEAD_LEN]> = PerCpuArray::with_max_entries(1, 0);

/// Counts a packet that ended for `reason`.
#[inline(always)]
pub(crate) fn count(reasons: &PerCpuArray<u64>, reason: Reason) {
    if let Some(counter) = reasons.get_ptr_mut(reason as u32) {
        // SAFETY: the map keeps its values for as long as the program runs, and this CPU's copy
        // of the value is written by nobody else: XDP and reuseport programs are not preempted
        // by another run of themselves on one CPU.
        unsafe { *counter += 1 }
    }
}

/// Is `port` one that we serve?
#[inline(always)]
pub(crate) fn is_ours(port: u16) -> bool {
    has(&PORTS, port)
}

/// Do only amplifiers send from `port`?
#[inline(always)]
pub(crate) fn is_amplifier(port: u16) -> bool {
    has(&AMPLIFIER_PORTS, port)
}

#[inline(always)]
fn has(ports: &Array<u64>, port: u16) -> bool {
    ports.get(u32::from(port >> 6)).is_some_and(|word| (word >> (port & 63)) & 1 == 1)
}

/// Is the sender in the blocklist?
#[inline(always)]
pub(crate) fn is_blocked(addresses: &Addresses<'_>) -> bool {
    let source = match *addresses {
        Addresses::V4 { source, .. } => mapped(*source),
        Addresses::V6 { source, .. } => *source,
    };
    BLOCKLIST.get(&Key::new(128, source)).is_some()
}

/// Is the packet for one of the anycast addresses? What is for any other address stays out of the
/// way between nodes: whoever it is for might route it back, and it would go round.
#[inline(always)]
pub(crate) fn is_anycast(addresses: &Addresses<'_>) -> bool {
    let address = anycast::destination(addresses);
    ANYCAST.get(anycast::bucket(address)).is_some_and(|bucket| anycast::holds(bucket, address))
}

#[inline(always)]
fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The encapsulation key of this ID, where we hold one.
#[inline(always)]
pub(crate) fn encapsulation_key(key_id: u8) -> Option<&'static EncapsulationKey> {
    ENCAPSULATION_KEYS.get(u32::from(key_id)).filter(|entry| entry.present == 1)
}
