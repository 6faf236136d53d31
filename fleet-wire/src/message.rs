//! The messages and services of `proto/fleet.proto`, which has their meaning.

use std::fmt;

// Documented in the proto file.
#[allow(missing_docs, unreachable_pub, reason = "made of proto/")]
#[allow(clippy::all, clippy::too_many_lines, reason = "made of proto/")]
mod made {
    tonic::include_proto!("landfast.fleet.v1");
}

pub use made::*;

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest").finish_non_exhaustive()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Http01 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http01").finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsAlpn01 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAlpn01").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Distributions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distributions").field("bytes", &self.file.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let secret = bytes::Bytes::from_static(b"SECRET");
        let shown = [
            format!("{:?}", EnrolRequest { token: secret.clone(), request: secret.clone() }),
            format!("{:?}", Secrets { fleet_file: secret.clone() }),
            format!("{:?}", Certificate { chain: vec![secret.clone()], key: secret.clone() }),
            format!("{:?}", Distributions { file: secret.clone() }),
            format!("{:?}", Http01 { token: "SECRET".into(), key_authorization: "SECRET".into() }),
            format!(
                "{:?}",
                TlsAlpn01 { name: "name".into(), certificate: secret.clone(), key: secret.clone() }
            ),
        ];
        for shown in shown {
            assert!(!shown.contains("SECRET") && !shown.contains("83, 69"), "{shown}");
        }
    }
}
