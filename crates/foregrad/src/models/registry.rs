//! What the names in a spec stand for: the library's own parts, and those of a caller.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::head_kind::HeadKind;
use super::planned_head::{HeadScope, PlannedHead};
use super::spec::NO_HEAD;
use crate::layers::{Kinds, LayerKind};
use crate::{Error, Result};

type HeadPlan = dyn Fn([usize; 3], &HeadScope) -> Result<PlannedHead> + Send + Sync;

/// Kinds of layers and heads by the names that specs give them.
///
/// ```
/// # use foregrad::layers::{LayerKind, Planned, Relu, Scope};
/// # use foregrad::models::Registry;
/// foregrad::settings! {
///     /// Doubles a rectifier.
///     pub struct TwiceSpec {
///         /// Whether it does.
///         really: bool = true => file,
///     }
/// }
/// impl LayerKind for TwiceSpec {
///     const NAME: &'static str = "twice";
///     fn plan(&self, input: [usize; 3], _scope: &Scope) -> foregrad::Result<Planned> {
///         Planned::of(Relu, input)
///     }
/// }
/// let registry = Registry::default().with_layer::<TwiceSpec>("a rectifier, twice");
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    layers: Kinds,
    heads: BTreeMap<String, Arc<HeadPlan>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Vec<_> = self.heads.keys().collect();
        f.debug_struct("Registry").field("layers", &self.layers).field("heads", &heads).finish()
    }
}

impl Registry {
    /// With one more kind of layer, by its [`LayerKind::NAME`].
    pub fn with_layer<K: LayerKind>(self, about: &'static str) -> Self {
        Self { layers: self.layers.with::<K>(about), ..self }
    }

    /// With one more kind of head: what is planned for a block's output.
    ///
    /// # Panics
    /// If it is called `none`, which is no head.
    pub fn with_head(
        mut self,
        name: impl Into<String>,
        plan: impl Fn([usize; 3], &HeadScope) -> Result<PlannedHead> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        assert_ne!(name, NO_HEAD, "the name of a head");
        self.heads.insert(name, Arc::new(plan));
        self
    }

    /// The kinds of layers.
    pub fn layers(&self) -> &Kinds {
        &self.layers
    }

    /// A head of a name behind a block's output.
    pub(super) fn head(&self, name: &str, input: [usize; 3], scope: &HeadScope) -> Result<PlannedHead> {
        if let Some(plan) = self.heads.get(name) {
            return plan(input, scope);
        }
        match HeadKind::ALL.iter().find(|kind| kind.name() == name) {
            Some(kind) => kind.plan(input, scope),
            None => {
                let own = HeadKind::ALL.iter().map(|kind| kind.name());
                let known: Vec<&str> = own.chain([NO_HEAD]).chain(self.heads.keys().map(String::as_str)).collect();
                Err(Error::unknown_name("head", name, &known))
            }
        }
    }
}
