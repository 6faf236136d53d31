//! Loaded programs, lent to one test after the other: the verifier takes half a second to follow
//! them, and emptying the maps a hundredth of that.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use super::Kernel;

/// What no test uses now. As many as tests ran at once: libtest's own bound.
static IDLE: Mutex<Vec<Kernel>> = Mutex::new(Vec::new());

/// The programs, the caller's until this value is dropped.
pub struct Borrowed(Option<Kernel>);

/// Programs with empty maps; loads them where none are idle.
///
/// # Panics
/// As [`Kernel::load`].
#[must_use]
pub fn borrow() -> Borrowed {
    // A test that failed leaves nothing half done here: it only pushes and pops.
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let kernel = match idle {
        Some(mut kernel) => {
            kernel.empty();
            kernel
        }
        None => Kernel::load(),
    };
    Borrowed(Some(kernel))
}

impl Deref for Borrowed {
    type Target = Kernel;

    fn deref(&self) -> &Kernel {
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut Kernel {
        self.0.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.0.take());
    }
}
