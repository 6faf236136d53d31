//! The netns ring: a fleet with real XDP in network namespaces, and clients nobody here wrote.

mod addresses;
mod admission;
mod bed;
mod bgp;
mod clean_stop;
mod client_moves;
mod clients;
mod connection_ids;
mod crash;
mod encapsulation;
mod foreign_program;
mod forged_encapsulation;
mod handshakes;
mod invariants;
mod live_rotation;
mod lost_program;
mod mid_rotation;
mod other_traffic;
mod resumption;
mod retry;
mod route_changes;
mod sandbox;
mod services;
mod shared_socket;
pub(crate) mod steering_lifecycle;
mod stickiness;
mod without_native_xdp;
