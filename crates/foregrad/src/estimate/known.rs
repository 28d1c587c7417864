//! Parts with a name: those of this library, and those of other crates that this process has made.

use std::any::TypeId;
use std::fmt::Debug;
use std::sync::{PoisonError, RwLock};

use crate::{Error, Result};

/// The parts of one kind.
pub struct Known<T: ?Sized + 'static> {
    /// What errors call one.
    kind: &'static str,
    own: &'static [&'static T],
    foreign: RwLock<Vec<&'static T>>,
    name: fn(&T) -> &str,
    id: fn(&T) -> TypeId,
}

impl<T: ?Sized + Debug + 'static> Known<T> {
    /// Those of the library, with the name and the type of each.
    pub const fn new(
        kind: &'static str,
        own: &'static [&'static T],
        name: fn(&T) -> &str,
        id: fn(&T) -> TypeId,
    ) -> Self {
        Self { kind, own, foreign: RwLock::new(Vec::new()), name, id }
    }

    /// All of them.
    pub fn all(&self) -> Vec<&'static T> {
        let foreign = self.foreign.read().unwrap_or_else(PoisonError::into_inner);
        self.own.iter().chain(foreign.iter()).copied().collect()
    }

    /// The part of a name.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn find(&self, name: &str) -> Result<&'static T> {
        let all = self.all();
        let names: Vec<&str> = all.iter().map(|part| (self.name)(part)).collect();
        let found = all.iter().copied().find(|part| (self.name)(part) == name);
        found.ok_or_else(|| Error::unknown_name(self.kind, name, &names))
    }

    /// Makes a part's name known for good; one of the same type and text that is known already is taken instead.
    ///
    /// # Errors
    /// A name that is no name; one that another part has.
    pub fn of(&self, part: Box<T>) -> Result<&'static T> {
        let name = (self.name)(&part);
        let wrong = |found: String, expected: &str| {
            Err(Error::out_of_range(format!("the name of a {}", self.kind), found, expected))
        };
        let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_plain) {
            return wrong(format!("`{name}`"), "letters, digits, dashes and underscores");
        }
        let mut foreign = self.foreign.write().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = self.own.iter().chain(foreign.iter()).copied().find(|known| (self.name)(known) == name)
        else {
            let part: &'static T = Box::leak(part);
            foreign.push(part);
            return Ok(part);
        };
        if (self.id)(known) == (self.id)(&part) && format!("{known:?}") == format!("{part:?}") {
            return Ok(known);
        }
        wrong(format!("`{name}`, the name of another {}, {known:?}", self.kind), "a name of its own")
    }
}
