//! What a forward map keeps for the other maps, with its type taken away.

use std::any::Any;
use std::fmt::{self, Debug};

/// What a layer, a loss or a head keeps: a value of its own type, which nobody else looks into.
pub struct AnySaved(Box<dyn Kept>);

/// Saved values of any type.
trait Kept: Any + Debug + Send {}

impl<S: Any + Debug + Send> Kept for S {}

impl AnySaved {
    /// Values of a type.
    pub fn of<S: Any + Debug + Send>(saved: S) -> Self {
        Self(Box::new(saved))
    }

    /// The values themselves; `owner` is whose maps they are for.
    ///
    /// # Panics
    /// As [`Self::as_saved_by`].
    pub fn into_saved_by<S: Any>(self, owner: &dyn Debug) -> S {
        self.as_saved_by::<S>(owner);
        let values: Box<dyn Any> = self.0;
        *values.downcast().expect("they are of this type")
    }

    /// The values as what they are; `owner` is whose maps they are for.
    ///
    /// # Panics
    /// If they are of another type: another layer, loss or head saved them.
    pub fn as_saved_by<S: Any>(&self, owner: &dyn Debug) -> &S {
        let values: &dyn Any = &*self.0;
        values.downcast_ref().unwrap_or_else(|| panic!("{owner:?} was given what another one saved: {:?}", self.0))
    }
}

impl Debug for AnySaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
