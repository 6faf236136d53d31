//! What the rings of tests share.
//!
//! | module | job |
//! |---|---|
//! | [`browsing`] | nginx behind an edge, and a browser in front of it |
//! | [`coalescing`] | how many connections browsers need for several names |
//! | [`controller_cost`] | how fast a controller reaches many nodes, and what it holds in memory |
//! | [`credentials`] | what the nodes of a test share, and a client that trusts it |
//! | [`demo`] | a fleet with a controller, told in plain words |
//! | [`figure`] | a figure of a bench |
//! | [`fleet`] | a fleet in network namespaces, behind a router with ECMP |
//! | [`h3_reader`] | what h3 makes of the bytes of a request stream |
//! | [`heard`] | what is logged |
//! | [`http2`] | HTTP/2 by hand |
//! | [`http2_origin`] | an origin of HTTP/2 |
//! | [`http3`] | an HTTP/3 client of quinn and h3, finely controlled |
//! | [`idle_h2`] | many connections of HTTP/2 that rest |
//! | [`initials`] | first packets of clients that never go on |
//! | [`kernel`] | the kernel's programs, loaded by themselves, one packet at a time |
//! | [`load`] | a generator of requests that costs little itself |
//! | [`loopback`] | real workers on a socket of the loopback, and their client |
//! | [`memory`] | what a process holds in memory |
//! | [`net`] | a seeded network in virtual time between a client and engines |
//! | [`origin`] | an origin that says what it is told to |
//! | [`packet`] | builds packets byte by byte, independently of the code under test |
//! | [`pebble`] | a certificate authority that nobody of this project wrote, and an unruly one |
//! | [`raw`] | HTTP/3 by hand |
//! | [`simulated_node`] | a node that is only a stream to the controller |
//! | [`steering_cost`] | what each path through the XDP program costs |
//! | [`stickiness`] | how many connections survive route changes, with steering and without |
//! | [`versions`] | clients of every version of HTTP, spoken to in the same way |

pub mod browsing;
pub mod coalescing;
pub mod controller_cost;
pub mod credentials;
pub mod demo;
pub mod figure;
pub mod fleet;
pub mod h3_reader;
pub mod heard;
pub mod http2;
pub mod http2_origin;
pub mod http3;
pub mod idle_h2;
pub mod initials;
pub mod kernel;
pub mod load;
pub mod loopback;
pub mod memory;
pub mod net;
pub mod origin;
pub mod packet;
pub mod pebble;
#[cfg(test)]
mod proof;
pub mod raw;
pub mod simulated_node;
pub mod steering_cost;
pub mod stickiness;
pub mod versions;
