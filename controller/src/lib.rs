//! The Landfast controller: certificates through ACME on every node, and the fleet's secrets.
//!
//! | module | job |
//! |---|---|
//! | [`acme`] | orders at authorities, from a request to a certificate on every node |
//! | [`certificate`] | certificates looked at before they are served; imported ones |
//! | [`config`] | the configuration file, checked |
//! | [`internal`] | the issuer of one's own, for use without a network |
//! | [`limits`] | every bound, with its why |
//! | [`rotation`] | how the fleet's secrets change while every node reads what every other makes |
//! | [`store`] | where records are kept: the trait, the file, the seal |
//! | [`metrics`] | what Prometheus reads |
//! | [`nodes`] | which nodes live, and what each of them has |
//! | [`publish`] | the listener of nodes: enrolment, and bundles by a cursor |
//! | [`records`] | what is remembered, and what of it nodes get |
//! | [`identity`] | the certificates by which nodes and controller know each other |
//! | [`serve`] | a controller from start to stop |
//! | [`init`] | a new controller, and one out of a backup |
//! | [`operator`] | what commands ask of the controller that serves |
//! | [`ledger`] | the state in memory, and the changes of it |
//! | [`renew`] | what is due, and when to look again |

pub mod acme;
pub mod certificate;
pub mod config;
pub mod identity;
pub mod init;
pub mod internal;
pub mod ledger;
pub mod limits;
pub mod metrics;
pub mod nodes;
pub mod operator;
pub mod publish;
pub mod records;
pub mod renew;
pub mod rotation;
pub mod serve;
pub mod store;
