//! The maps. Their names, keys and values are `edge_wire::maps`'; user space fills them.

use core::arch::asm;
use core::cell::UnsafeCell;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray, ReusePortSockArray};
use edge_wire::dissect::Addresses;
use edge_wire::maps::{
    DecodeConfig, EncapsulationKey, Ipv6Entry, Local, MAX_BLOCKLIST, MAX_ENCAPSULATION_KEYS,
    MAX_INITIALS, MAX_NODES, MAX_WORKERS, NodeEntry, PORT_WORDS,
};
use edge_wire::{Reason, anycast, cid};

/// A table in a section of its own. The kernel makes a map of each such section, with one entry that
/// programs reach by its address: no look-up, no key on the stack, nothing that might be missing.
#[repr(transparent)]
pub(crate) struct Table<T>(UnsafeCell<T>);

// SAFETY: programs only read it. User space writes it as it writes the entry of any array: word by
// word, beside programs that read.
unsafe impl<T> Sync for Table<T> {}

impl<T> Table<T> {
    const fn new(initial: T) -> Self {
        Self(UnsafeCell::new(initial))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> &T {
        // SAFETY: the map keeps its value for as long as the program runs; see `Sync`.
        unsafe { &*self.0.get() }
    }
}

impl<T, const N: usize> Table<[T; N]> {
    /// The entry at `index`, which has to be below `N`, a power of two.
    #[inline(always)]
    pub(crate) fn at(&self, index: u32) -> &T {
        const { assert!(N.is_power_of_two()) };
        let mut within = u64::from(index);
        // The verifier has to see the bound, which the compiler knows and leaves out.
        // SAFETY: changes the register that it names.
        unsafe {
            asm!(
                "{i} &= {mask}",
                i = inout(reg) within,
                mask = const N - 1,
                options(pure, nomem, nostack),
            );
        }
        // SAFETY: it is below `N` now; the rest as in `get`.
        unsafe { &*self.0.get().cast::<T>().add(within as usize) }
    }
}

// Named, so that the compiler knows that others write them.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.local")]
static LOCAL: Table<Local> = Table::new(Local::NONE);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ports")]
static PORTS: Table<[u64; PORT_WORDS as usize]> = Table::new([0; _]);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.amplifier")]
static AMPLIFIER_PORTS: Table<[u64; PORT_WORDS as usize]> = Table::new([0; _]);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.configs")]
static DECODE_CONFIGS: Table<[DecodeConfig; 8]> = Table::new([DecodeConfig::ABSENT; 8]);

#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.keys")]
static ENCAPSULATION_KEYS: Table<[EncapsulationKey; MAX_ENCAPSULATION_KEYS as usize]> =
    Table::new([EncapsulationKey::ABSENT; _]);

// In a section that takes no room in the object.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.anycast")]
static ANYCAST: Table<anycast::Buckets> = Table::new([anycast::EMPTY; _]);

/// Mappable, which nobody makes use of, because the entries of such an array begin at a page: so
/// each is a cache line of its own.
#[map]
pub(crate) static NODES: Array<NodeEntry> = Array::with_max_entries(MAX_NODES, BPF_F_MMAPABLE);

/// Mappable as `NODES`.
#[map]
pub(crate) static NODES_IPV6: Array<Ipv6Entry> = Array::with_max_entries(MAX_NODES, BPF_F_MMAPABLE);

/// `BPF_F_NO_PREALLOC`: the kernel makes no other tries.
#[map]
static BLOCKLIST: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(MAX_BLOCKLIST, 1);

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

/// What the programs know of their own node.
#[inline(always)]
pub(crate) fn local() -> &'static Local {
    LOCAL.get()
}

/// How IDs of this config are read: 0 to 7.
#[inline(always)]
pub(crate) fn decode_config(id: u32) -> &'static DecodeConfig {
    DECODE_CONFIGS.at(id)
}

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
fn has(ports: &Table<[u64; PORT_WORDS as usize]>, port: u16) -> bool {
    (ports.at(u32::from(port >> 6)) >> (port & 63)) & 1 == 1
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
    anycast::holds(ANYCAST.at(anycast::bucket(address)), address)
}

#[inline(always)]
fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The encapsulation key of this ID, where we hold one.
#[inline(always)]
pub(crate) fn encapsulation_key(key_id: u8) -> Option<&'static EncapsulationKey> {
    let key_id = u32::from(key_id);
    if key_id >= MAX_ENCAPSULATION_KEYS {
        return None;
    }
    Some(ENCAPSULATION_KEYS.at(key_id)).filter(|entry| entry.present == 1)
}
