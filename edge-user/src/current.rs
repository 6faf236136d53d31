//! A value that is replaced as a whole while others hold it.

use std::sync::{Arc, PoisonError, RwLock};

/// What is in force now. Whoever loads it keeps what they loaded; the next one gets the new one.
///
/// Not for the way of every packet: that has its own copy, and is told.
#[derive(Debug)]
pub struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    /// Begins with `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// What is in force.
    #[must_use]
    pub fn load(&self) -> Arc<T> {
        // Nothing is done under the lock that could leave half of a value.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has `value` in force from now on.
    pub fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}
