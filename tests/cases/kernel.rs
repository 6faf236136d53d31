//! The kernel ring: the programs under `BPF_PROG_TEST_RUN`, and on sockets.
//!
//! Packets are data: a sentence, the frame, what becomes of it, and the one counter that moves.

mod budgets;
mod counted;
mod early_drops;
mod fixture;
mod fleet;
mod forwards;
mod fuzz;
mod headroom;
mod ids;
mod loads;
mod passes;
mod refuses;
mod routes;
mod sizes;
mod takes_in;
mod traces;
mod wire;
mod workers;
