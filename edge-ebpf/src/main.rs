//! The kernel side of Landfast: two programs, each with one job and one counter a packet.
//!
//! | module | job |
//! |---|---|
//! | `kernel` | `steer_node`: which node a packet belongs to. The bench's object has it, too |
//! | `worker` | `steer_worker`: which worker's socket gets a datagram |
//!
//! Only `cargo xtask build-ebpf` builds them. On the host this is an empty `main`, so that the
//! crate can live in the workspace without an eBPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod worker;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::bindings::sk_action::SK_PASS;
    use aya_ebpf::macros::{sk_reuseport, xdp};
    use aya_ebpf::programs::{SkReuseportContext, XdpContext};

    use crate::kernel::maps::{WORKER_REASONS, count};
    use crate::kernel::steer;
    use crate::worker;

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
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
