//! Programs for `cargo xtask bench xdp`, in an object of their own that nothing embeds: the
//! steering of `steer_node`, compiled from the same source with the same flags, in a wrapper that
//! puts the packet back; and the floors to measure it against.
//!
//! Putting back is one adjust_head, a map look-up and three stores, where the packet was sent or
//! taken in. The floor `harness` does that too, after an adjust_head such as steering needs itself.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod kernel;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_PASS};
    use aya_ebpf::helpers::bpf_xdp_adjust_head;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::Array;
    use aya_ebpf::programs::XdpContext;
    use edge_wire::Reason;
    use edge_wire::bench::{Head, Id, MAX_IDS, Undo};
    use edge_wire::tunnel::OVERHEAD_IPV4;

    use crate::kernel::packet::Packet;
    use crate::kernel::steer;

    #[map]
    static UNDO: Array<Undo> = Array::with_max_entries(1, 0);

    #[map]
    static IDS: Array<Id> = Array::with_max_entries(MAX_IDS, 0);

    /// The farthest that a connection ID can be in a frame, as a mask: the verifier must see that
    /// the place is a small number.
    const ID_AT: u64 = 0x7f;

    #[xdp]
    pub(crate) fn pass(_: XdpContext) -> u32 {
        XDP_PASS
    }

    #[xdp]
    pub(crate) fn adjust_twice(ctx: XdpContext) -> u32 {
        for by in [-(OVERHEAD_IPV4 as i32), OVERHEAD_IPV4 as i32] {
            if adjust_head(&ctx, by).is_none() {
                return XDP_ABORTED;
            }
        }
        XDP_PASS
    }

    #[xdp]
    pub(crate) fn harness(ctx: XdpContext) -> u32 {
        let restored = adjust_head(&ctx, -(OVERHEAD_IPV4 as i32)).and_then(|()| restore_sent(&ctx));
        restored.map_or(XDP_ABORTED, |()| XDP_PASS)
    }

    #[xdp]
    pub(crate) fn restored(ctx: XdpContext) -> u32 {
        steer_and_restore(&ctx).unwrap_or(XDP_ABORTED)
    }

    #[xdp]
    pub(crate) fn rotated(ctx: XdpContext) -> u32 {
        let Some(action) = steer_and_restore(&ctx) else { return XDP_ABORTED };
        match next_id(&ctx) {
            Some(()) => action,
            None => XDP_ABORTED,
        }
    }

    #[inline(always)]
    fn steer_and_restore(ctx: &XdpContext) -> Option<u32> {
        let (reason, action) = steer::steer(ctx);
        // Only these two change a packet.
        match reason {
            Reason::Forwarded => restore_sent(ctx)?,
            Reason::Stripped => restore_taken_in(ctx)?,
            _ => {}
        }
        Some(action)
    }

    #[inline(always)]
    fn restore_sent(ctx: &XdpContext) -> Option<()> {
        let [by, _, _, head @ ..] = UNDO.get(0)?;
        adjust_head(ctx, *by as i32)?;
        put(Packet::frame(ctx), *head)
    }

    #[inline(always)]
    fn restore_taken_in(ctx: &XdpContext) -> Option<()> {
        let [by, _, _, head @ ..] = UNDO.get(0)?;
        put(Packet::frame(ctx), *head)?;
        adjust_head(ctx, *by as i32)
    }

    #[inline(always)]
    fn next_id(ctx: &XdpContext) -> Option<()> {
        let undo = UNDO.get_ptr_mut(0)?;
        // SAFETY: the map keeps its value for as long as the program runs, and a bench runs it on
        // one CPU at a time.
        let [_, id_at, last, ..] = unsafe { &mut *undo };
        *last += 1;
        let id = IDS.get(*last as u32 % MAX_IDS)?;
        let mut packet = Packet::frame(ctx);
        packet.advance((*id_at & ID_AT) as usize)?;
        put(packet, *id)
    }

    #[inline(always)]
    fn put(mut packet: Packet<'_>, words: Head) -> Option<()> {
        words.into_iter().try_for_each(|word| packet.put(word.to_ne_bytes()))
    }

    #[inline(always)]
    fn adjust_head(ctx: &XdpContext, by: i32) -> Option<()> {
        // SAFETY: the context is the program's own; the verifier forbids the use of older
        // pointers into the packet.
        (unsafe { bpf_xdp_adjust_head(ctx.ctx, by) } == 0).then_some(())
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
