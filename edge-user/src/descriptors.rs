//! The file descriptors of the process, and who may have how many of them.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::limits;

/// Who may have how many at one time. Those of the rest of the process,
/// [`limits::FILES_FOR_OTHERS`], are in neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Connections of TLS over TCP.
    pub connections: usize,
    /// Answers from files.
    pub files: usize,
}

impl Descriptors {
    /// Raises the process's own limit to what all of it can use, as far as the hard one allows, and
    /// gives each its part.
    #[must_use]
    pub fn raise() -> Self {
        let wanted = limits::FILES_FOR_OTHERS
            + (limits::MAX_TCP_CONNECTIONS + limits::MAX_OPEN_FILES) as u64;
        let most = raise_limit(wanted).unwrap_or_else(|error| {
            tracing::warn!(%error, "the limit of open files is not known");
            0
        });
        let divided = Self::divide(most);
        if most < wanted {
            let Self { connections, files } = divided;
            tracing::warn!(
                most,
                wanted,
                connections,
                files,
                "the limit of open files bounds connections by TCP and answers from files"
            );
        }
        divided
    }

    /// Others first, of what is left a half each.
    fn divide(most: u64) -> Self {
        let left = most.saturating_sub(limits::FILES_FOR_OTHERS);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let connections = left.div_ceil(2).min(limits::MAX_TCP_CONNECTIONS);
        Self { connections, files: (left - connections).min(limits::MAX_OPEN_FILES) }
    }
}

/// How many files the process may have open now.
fn raise_limit(wanted: u64) -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = wanted.min(hard);
    if raised <= soft {
        return Ok(soft);
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_descriptor_is_given_out_twice() {
        for most in [1024, 1025, 4096, 16_896, 33_279, 33_280, 1 << 20] {
            let Descriptors { connections, files } = Descriptors::divide(most);
            assert!((connections + files) as u64 + limits::FILES_FOR_OTHERS <= most, "{most}");
        }
        assert_eq!(Descriptors::divide(1024), Descriptors { connections: 256, files: 256 });
        let enough = Descriptors::divide(33_280);
        assert_eq!(enough.connections, limits::MAX_TCP_CONNECTIONS);
        assert_eq!(enough.files, limits::MAX_OPEN_FILES);
        assert_eq!(Descriptors::divide(0), Descriptors { connections: 0, files: 0 });
    }

    #[test]
    fn the_limit_is_raised_to_what_is_given_out() {
        let given = Descriptors::raise();
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("known");
        assert!((given.connections + given.files) as u64 + limits::FILES_FOR_OTHERS <= soft);
    }
}
