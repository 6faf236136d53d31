//! Certificates for the tests of this crate.

use std::time::SystemTime;

use super::{Live, Source};
use crate::config::UnknownNames;
use crate::tls::Candidate;

/// One certificate for each of `certificates`, which are its names; the first is the default.
pub(crate) fn live(unknown_names: UnknownNames, certificates: &[&[&str]]) -> Live {
    let live = Live::new(unknown_names);
    let candidates = certificates.iter().enumerate().map(|(id, names)| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certified = rcgen::generate_simple_self_signed(names).expect("signed");
        let key = certified.signing_key.serialize_der();
        Candidate::new(&id.to_string(), vec![certified.cert.der().to_vec()], key)
    });
    let refused = live.put(Source::Files, candidates.collect(), SystemTime::now());
    assert!(refused.is_empty(), "{refused:?}");
    live.set_default(Some((Source::Files, "0")));
    live
}
