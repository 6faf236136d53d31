//! Nodes that follow a controller: certificates by ACME on every node, and the fleet's secrets.

mod away;
mod items;
mod killed;
mod orders;
mod renewal;
mod secrets;
mod talk;
