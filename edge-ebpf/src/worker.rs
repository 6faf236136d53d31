//! `steer_worker`: which worker's socket gets a datagram.

use core::hint::black_box;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_skb_load_bytes;
use aya_ebpf::programs::SkReuseportContext;
use edge_wire::Reason;
use edge_wire::cid::{self, ServerId};
use edge_wire::dissect::{self, UDP_LEN};
use edge_wire::maps::Local;

use crate::kernel::maps::{self, HEAD, HEAD_LEN, WORKERS};
use crate::kernel::owner;

/// Selects a socket, and says how it was chosen.
#[inline(always)]
pub(crate) fn select(ctx: &SkReuseportContext) -> Reason {
    let local = maps::local();
    let (worker, reason) = choose(ctx, local);
    if WORKERS.select_reuseport(ctx, u32::from(worker)).is_ok() {
        return reason;
    }
    for worker in 0..local.workers {
        if WORKERS.select_reuseport(ctx, u32::from(worker)).is_ok() {
            return Reason::WorkerFallback;
        }
    }
    Reason::WorkerNone
}

/// The worker that the connection ID names, else one by its hash.
#[inline(always)]
fn choose(ctx: &SkReuseportContext, local: &Local) -> (u8, Reason) {
    let payload = head(ctx).unwrap_or_default();
    if let Some(owner) = owner_of(payload)
        && owner.node == local.node
        && owner.generation == local.generation
        && owner.worker < local.workers
    {
        return (owner.worker, Reason::WorkerOwner);
    }
    let (id, length) = dissect::any_connection_id(&mut { payload });
    (cid::worker_by_hash(&local.hash_key, &id, length, local.workers), Reason::WorkerHash)
}

#[inline(always)]
fn owner_of(payload: &[u8]) -> Option<ServerId> {
    let candidate = dissect::candidate_of(payload).ok()?;
    owner::owner(&candidate)
}

/// The first bytes of the payload. By the helper, not by packet pointers: a train that receive
/// offload merged has its payload in fragments. Into a map, not onto the stack: a connection ID
/// stands at an odd place, and the verifier lets a program read its stack only in step.
#[inline(always)]
fn head(ctx: &SkReuseportContext) -> Option<&[u8]> {
    let head = HEAD.get_ptr_mut(0)?;
    // The verifier must see both bounds on the very number that it finds in the call. Linux 6.1
    // learns nothing from `length != 0`, so they are set on the length less one: of an empty
    // datagram one byte is asked for, which the helper refuses.
    let below = black_box(ctx.len().saturating_sub(UDP_LEN + 1));
    let length = if below >= HEAD_LEN { HEAD_LEN } else { below + 1 };
    // SAFETY: the buffer has `HEAD_LEN` bytes, and `length` is no more than that. The helper
    // itself checks that the datagram has as many.
    let result =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr(), UDP_LEN as u32, head.cast(), length as u32) };
    if result != 0 {
        return None;
    }
    // SAFETY: this CPU's copy of the value, which no other run of the program writes meanwhile.
    unsafe { &*head }.get(..length)
}
