//! The Landfast controller: certificates through ACME on every node, and the fleet's secrets.
//!
//! | module | job |
//! |---|---|
//! | [`config`] | the configuration file, checked |
//! | [`limits`] | every bound, with its why |
//! | [`store`] | where records are kept: the trait, the file, the seal |
//! | [`nodes`] | which nodes live, and what each of them has |
//! | [`publish`] | the listener of nodes: enrolment, and bundles by a cursor |
//! | [`records`] | what is remembered, and what of it nodes get |
//! | [`identity`] | the certificates by which nodes and controller know each other |
//! | [`ledger`] | the state in memory, and the changes of it |

pub mod config;
pub mod identity;
pub mod ledger;
pub mod limits;
pub mod nodes;
pub mod publish;
pub mod records;
pub mod store;
