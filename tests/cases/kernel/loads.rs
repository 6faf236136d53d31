//! The object loads, and stays within what the verifier can be asked to follow.

use tests::kernel::Kernel;

/// Instructions that the verifier may look at in each program, out of the million that it allows:
/// half as much again as measured, on the older of the kernels that load it (6.1 looks at four times
/// as many in `steer_worker`). Loading takes a microsecond or two for each.
const STEER_NODE_BOUND: u32 = 165_000;
const STEER_WORKER_BOUND: u32 = 92_000;

#[test]
fn the_verifier_follows_both_programs_at_a_bounded_cost() {
    let [node, worker] = Kernel::load().verified_instructions();
    println!("verified instructions: steer_node {node}, steer_worker {worker}");
    assert!(node <= STEER_NODE_BOUND, "steer_node: {node}");
    assert!(worker <= STEER_WORKER_BOUND, "steer_worker: {worker}");
}
