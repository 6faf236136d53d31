//! What the product's object and the bench's have in common: the steering of `steer_node`, and what
//! every object of eBPF programs has to say.
//!
//! | module | job |
//! |---|---|
//! | `steer` | which node a packet belongs to; send it there, take it in, or pass |
//! | `admit` | early drops and budgets |
//! | `owner` | whose connection an ID names |
//! | `tunnel` | what goes in front of a packet on its way to another node, and comes off again |
//! | `next_hop` | by which device and to which MAC address a node is reached |
//! | `packet` | the cursor over packet pointers |
//! | `maps` | the maps, as `edge_wire::maps` describes them |
//! | `trace` | sampled verdicts for `cargo xtask load --trace` |

mod admit;
pub(crate) mod maps;
mod next_hop;
pub(crate) mod owner;
pub(crate) mod packet;
pub(crate) mod steer;
mod trace;
mod tunnel;

/// `bpf_fib_lookup` is for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Nothing here panics: the verifier would refuse this endless loop if it could be reached.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
