//! The kernel ring: the programs under `BPF_PROG_TEST_RUN`, and on sockets.
//!
//! Packets are data: a sentence, the frame, what becomes of it, and the one counter that moves.

mod fixture;
mod forwards;
mod loads;
mod passes;
mod refuses;
mod routes;
mod takes_in;
mod traces;
mod workers;
