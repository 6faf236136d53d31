//! The messages and the service of `proto/operator.proto`, which has their meaning.

use std::fmt;

// Documented in the proto file.
#[allow(missing_docs, unreachable_pub, reason = "made of proto/")]
#[allow(clippy::all, clippy::too_many_lines, reason = "made of proto/")]
mod made {
    tonic::include_proto!("landfast.operator.v1");
}

pub use made::*;

use crate::acme::order::Phase;

impl Certificate {
    /// Whether an order for it is in progress.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        let waiting = Phase::Waiting { not_before: 0 }.name();
        !self.order.is_empty() && self.order != waiting
    }
}

impl fmt::Debug for Invited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invited").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for DistributionsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistributionsFile").finish_non_exhaustive()
    }
}

impl fmt::Debug for Distributions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distributions").field("serial", &self.serial).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let secret = || "SECRET".to_owned();
        let invited = Invited { id: 1, name: String::new(), token: secret(), expires: 0 };
        let import = Import { id: "a".into(), chain: secret(), key: secret() };
        let file = DistributionsFile { text: secret() };
        let shown = Distributions { text: secret(), ..Distributions::default() };
        assert!(!format!("{invited:?}{import:?}{file:?}{shown:?}").contains("SECRET"));
    }
}
