//! What a flood meets first: early drops, each with a switch, and budgets.
//!
//! Two CPUs that spend one budget at once may count a packet too few: a budget is no
//! account, and an atomic operation would cost every packet.

use aya_ebpf::helpers::bpf_jiffies64;
use edge_wire::Reason;
use edge_wire::admit::{self, Budget, Limit};
use edge_wire::dissect::{MIN_INITIAL_LEN, Quic, Udp};
use edge_wire::maps::{Local, NodeEntry};

use super::maps::{self, INITIALS};

/// Is this sender let in at all?
///
/// # Errors
/// The Reason to drop the packet.
#[inline(always)]
pub(crate) fn sender(local: &Local, udp: &Udp<'_>) -> Result<(), Reason> {
    if local.admission & admit::AMPLIFIER_PORTS != 0 && maps::is_amplifier(udp.source_port) {
        return Err(Reason::AmplifierPort);
    }
    if local.admission & admit::BLOCKLIST != 0 && maps::is_blocked(&udp.addresses) {
        return Err(Reason::Blocklisted);
    }
    Ok(())
}

/// Is an Initial long enough, and within the budget of its network? All else is.
///
/// # Errors
/// The Reason to drop the packet.
#[inline(always)]
pub(crate) fn initial(local: &Local, udp: &Udp<'_>, quic: &Quic) -> Result<(), Reason> {
    if local.admission & (admit::SMALL_INITIALS | admit::INITIALS) == 0 || !quic.is_initial() {
        return Ok(());
    }
    if local.admission & admit::SMALL_INITIALS != 0 && udp.payload_len < MIN_INITIAL_LEN {
        return Err(Reason::SmallInitial);
    }
    if local.admission & admit::INITIALS != 0
        && !spend_initial(local, admit::network(&udp.addresses))
    {
        return Err(Reason::InitialLimited);
    }
    Ok(())
}

/// Never inlined, so that it has a stack of its own: the program's is full.
#[inline(never)]
fn spend_initial(local: &Local, network: u64) -> bool {
    if let Some(spent) = INITIALS.get_ptr_mut(&network) {
        // SAFETY: the map keeps the value's memory for as long as the program runs. Another CPU
        // may write it at the same time: see the module.
        return unsafe { spend(spent, &local.initials, local) };
    }
    let mut spent = 0;
    // SAFETY: of our own stack.
    let within = unsafe { spend(&raw mut spent, &local.initials, local) };
    // A full map makes room by itself. Where it cannot, the packet is within its budget.
    let _ = INITIALS.insert(&network, &spent, 0);
    within
}

/// Is a packet to this node within its budget?
///
/// # Safety
/// `node` is an entry of the map.
#[inline(always)]
pub(crate) unsafe fn forward(local: &Local, node: *mut NodeEntry) -> bool {
    if local.forwards.cost_ns == 0 {
        return true;
    }
    // SAFETY: the map keeps its values for as long as the program runs. Another CPU may write
    // it at the same time: see the module.
    unsafe { spend(&raw mut (*node).spent_ns, &local.forwards, local) }
}

/// # Safety
/// `spent` can be read and written.
#[inline(always)]
unsafe fn spend(spent: *mut u64, limit: &Limit, local: &Local) -> bool {
    // SAFETY: takes nothing. It moves every few milliseconds, which a burst covers. Of all clocks it
    // alone is read without a call.
    let now_ns = unsafe { bpf_jiffies64() }.wrapping_mul(local.tick_ns);
    // SAFETY: the caller's promise.
    let mut budget = Budget(unsafe { *spent });
    let within = budget.spend(limit, now_ns);
    if within {
        // SAFETY: the caller's promise.
        unsafe { *spent = budget.0 };
    }
    within
}
