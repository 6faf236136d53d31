//! The kernel side of Landfast: two programs, each with one job and one counter a packet.
//!
//! | module | job |
//! |---|---|
//! | `steer` | `steer_node`: which node a packet belongs to; send it there, take it in, or pass |
//! | `admit` | early drops and budgets |
//! | `owner` | whose connection an ID names |
//! | `tunnel` | what goes in front of a packet on its way to another node, and comes off again |
//! | `next_hop` | by which device and to which MAC address a node is reached |
//! | `worker` | `steer_worker`: which worker's socket gets a datagram |
//! | `packet` | the cursor over packet pointers |
//! | `maps` | the maps, as `edge_wire::maps` describes them |
//! | `trace` | sampled verdicts for `cargo xtask load --trace` |
//!
//! Only `cargo xtask build-ebpf` builds them. On the host this is an empty `main`, so that the
//! crate can live in the workspace without an eBPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod admit;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod next_hop;
#[cfg(target_arch = "bpf")]
mod owner;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod steer;
#[cfg(target_arch = "bpf")]
mod trace;
#[cfg(target_arch = "bpf")]
mod tunnel;
#[cfg(target_arch = "bpf")]
mod worker;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::bindings::sk_action::SK_PASS;
    use aya_ebpf::macros::{sk_reuseport, xdp};
    use aya_ebpf::programs::{SkReuseportContext, XdpContext};

    use crate::maps::{WORKER_REASONS, count};
    use crate::{steer, worker};

    #[xdp]
    pub(crate) fn steer_node(ctx: XdpContext) -> u32 {
        let (_, action) = steer::steer(&ctx);
        action
    }

    /// Never drops: what no worker was chosen for is left to the kernel's own hash.
    #[sk_reuseport]
    pub(crate) fn steer_worker(ctx: SkReuseportContext) -> u32 {
        count(&WORKER_REASONS, worker::select(&ctx));
        SK_PASS
    }

    /// `bpf_fib_lookup` is for GPL-compatible programs only.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

    /// Nothing here panics: the verifier would refuse this endless loop if it could be reached.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
