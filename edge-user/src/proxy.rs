//! What is answered under the names of distributions.
//!
//! | module | job |
//! |---|---|
//! | [`path`] | the one form of a path in which paths are compared, or why there is none |
//! | [`route`] | host and path -> who answers: pure |

pub mod path;
pub mod route;
