//! The Landfast controller: certificates through ACME on every node, and the fleet's secrets.
//!
//! | module | job |
//! |---|---|
//! | [`config`] | the configuration file, checked |
//! | [`limits`] | every bound, with its why |
//! | [`store`] | where records are kept: the trait, the file, the seal |
//! | [`records`] | what is remembered, and what of it nodes get |
//! | [`ledger`] | the state in memory, and the changes of it |
//! | [`identity`] | the certificates by which nodes and controller know each other |
//! | [`foreign`] | words of nodes and authorities, made fit to be shown |
//! | [`nodes`] | which nodes live, and what each of them has |
//! | [`publish`] | the listener of nodes: enrolment, and bundles by a cursor |
//! | [`renew`] | what is due, and when to look again |
//! | [`acme`] | orders at authorities, from a request to a certificate on every node |
//! | [`certificate`] | certificates looked at before they are served; imported ones |
//! | [`internal`] | the issuer of one's own, for use without a network |
//! | [`rotation`] | how the fleet's secrets change while every node reads what every other makes |
//! | [`operator`] | what commands ask of the controller that serves |
//! | [`metrics`] | what Prometheus reads |
//! | [`init`] | a new controller, and one out of a backup |
//! | [`serve`] | a controller from start to stop |

pub mod acme;
pub mod certificate;
pub mod config;
pub mod foreign;
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
