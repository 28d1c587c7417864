//! Heads of any type side by side: what a network holds.

use std::fmt::{self, Debug};
use std::ops::{Deref, DerefMut};

use super::LossHead;

/// A head of any type, of this crate or another: everything that implements [`LossHead`] becomes one, and has its maps.
pub struct AnyHead(Box<dyn Cloned>);

/// A head that can be copied in a box.
trait Cloned: LossHead {
    fn boxed_clone(&self) -> Box<dyn Cloned>;
}

impl<H: LossHead + Clone + 'static> Cloned for H {
    fn boxed_clone(&self) -> Box<dyn Cloned> {
        Box::new(self.clone())
    }
}

impl<H: LossHead + Clone + 'static> From<H> for AnyHead {
    fn from(head: H) -> Self {
        Self(Box::new(head))
    }
}

impl Deref for AnyHead {
    type Target = dyn LossHead;

    fn deref(&self) -> &(dyn LossHead + 'static) {
        &*self.0
    }
}

impl DerefMut for AnyHead {
    fn deref_mut(&mut self) -> &mut (dyn LossHead + 'static) {
        &mut *self.0
    }
}

impl Clone for AnyHead {
    fn clone(&self) -> Self {
        Self(self.0.boxed_clone())
    }
}

impl Debug for AnyHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
