//! Which certificate has which name. Pure: the time is given.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::SignatureScheme;

use super::Source;
use crate::limits;
use crate::tls::candidate::Served;
use crate::tls::x509::{Name, host_name};

/// A certificate among those of all sources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: Source,
    pub(super) id: Arc<str>,
}

/// Those that have one name, in the order in which they are tried.
type Having = HashMap<Arc<str>, Arc<[Arc<Served>]>>;

/// Certificates and where to find them by name. A clone shares all but the index itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    by_id: HashMap<Key, Arc<Served>>,
    exact: Having,
    /// Wildcards, by the name that they are below.
    below: Having,
    /// What is served where no name fits.
    pub(super) default: Option<Key>,
}

impl Table {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.by_id.values()
    }

    pub(super) fn ids(&self, source: Source) -> impl Iterator<Item = &Arc<str>> {
        self.by_id.keys().filter(move |key| key.source == source).map(|key| &key.id)
    }

    pub(super) fn get(&self, source: Source, id: &str) -> Option<&Served> {
        self.by_id.get(&Key { source, id: id.into() }).map(Arc::as_ref)
    }

    /// Whether a certificate of this ID may be put.
    pub(super) fn has_room(&self, source: Source, id: &str) -> bool {
        self.by_id.len() < limits::MAX_CERTIFICATES || self.get(source, id).is_some()
    }

    pub(super) fn put(&mut self, source: Source, served: Served) {
        let served = Arc::new(served);
        self.remove(source, &served.id);
        for name in &served.names {
            let Some((having, name)) = self.having(name) else { continue };
            let before = having.get(name).map_or(&[][..], |list| list);
            // A certificate may name somebody twice, in capitals for example.
            if before.iter().any(|other| Arc::ptr_eq(other, &served)) {
                continue;
            }
            let mut list: Vec<_> = before.iter().chain([&served]).cloned().collect();
            list.sort_by_key(|served| {
                let last_first = std::cmp::Reverse(served.validity.not_after);
                (served.preference, last_first, served.fingerprint)
            });
            having.insert(name.into(), list.into());
        }
        self.by_id.insert(Key { source, id: Arc::clone(&served.id) }, served);
    }

    /// Whether there was one.
    pub(super) fn remove(&mut self, source: Source, id: &str) -> bool {
        let Some(served) = self.by_id.remove(&Key { source, id: id.into() }) else { return false };
        for name in &served.names {
            let Some((having, name)) = self.having(name) else { continue };
            let Some(before) = having.get(name) else { continue };
            let list: Arc<[_]> =
                before.iter().filter(|other| !Arc::ptr_eq(other, &served)).cloned().collect();
            match list.is_empty() {
                true => having.remove(name),
                false => having.insert(name.into(), list),
            };
        }
        true
    }

    fn having<'a>(&mut self, name: &'a Name) -> Option<(&mut Having, &'a str)> {
        match name {
            Name::Exact(name) => Some((&mut self.exact, name)),
            Name::Below(parent) => Some((&mut self.below, parent)),
            Name::Address(_) => None,
        }
    }

    /// What a client gets that asks for `name` and can check `schemes`, or any signature: exact names
    /// before wildcards, which stand for one label (RFC 9525 section 6.3), ECDSA before RSA. One that
    /// is not valid, or whose signature the client cannot check, only where there is no other: then
    /// the handshake fails for a reason that says so.
    pub(super) fn by_name(
        &self,
        name: &str,
        schemes: Option<&[SignatureScheme]>,
        now: SystemTime,
    ) -> Option<&Arc<Served>> {
        let name = host_name(name)?;
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let exact = self.exact.get(&*name);
        let below = parent.and_then(|parent| self.below.get(parent));
        let all = || exact.into_iter().chain(below).flat_map(|list| list.iter());
        let suits = |served: &&Arc<Served>| schemes.is_none_or(|schemes| served.suits(schemes));
        let best = all().find(|served| served.validity.holds(now) && suits(served));
        best.or_else(|| all().find(suits)).or_else(|| all().next())
    }

    /// All that a client may get that asks for `name`.
    pub(super) fn all_by_name(&self, name: &str) -> Vec<&Served> {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let below = parent.and_then(|parent| self.below.get(parent));
        let all = self.exact.get(name).into_iter().chain(below);
        all.flat_map(|list| list.iter()).map(Arc::as_ref).collect()
    }

    pub(super) fn by_default(&self) -> Option<&Arc<Served>> {
        self.by_id.get(self.default.as_ref()?)
    }
}
