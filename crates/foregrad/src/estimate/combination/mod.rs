//! Combinations: from the inner products of several directions with the target to their coefficients in the estimate.
//!
//! With directions `G_1 .. G_k` and `b_d = <target, G_d>` the estimate is `sum_d c_d G_d`. To add one: a file that implements
//! [`Combination`], a line here; or, from another crate, a type that implements it and [`AnyCombination::of`].

use std::any::{Any, TypeId};
use std::fmt;
use std::str::FromStr;

use super::gram::Gram;
use super::known::Known;
use crate::{Error, Result, as_text};

mod mean;
mod projection;

pub(super) use projection::Projection;

/// How several directions are combined.
pub trait Combination: Any + fmt::Debug + Send + Sync {
    /// The name users write: letters, digits and dashes.
    fn name(&self) -> &str;

    /// One line of help.
    fn about(&self) -> &str;

    /// Whether it needs the inner products between directions.
    fn needs_products(&self) -> bool {
        false
    }

    /// The coefficients of a slot's directions (or of one sample's) from their inner products `b` with the target. Random directions have
    /// unit covariance, all others norm 1. `products` are the inner products between them, there if they were asked for, and always
    /// where all others do not have norm 1: in the network's single slot. There a direction may be zero, and its product with itself 0.
    fn coefficients(&self, b: &[f64], products: Option<&Gram>) -> Vec<f64>;
}

/// All combinations of this library.
pub const COMBINATIONS: &[&dyn Combination] = &[&mean::Mean, &Projection];

/// Those whose names are known to this process.
static KNOWN: Known<dyn Combination> = Known::new("combination", COMBINATIONS, name, id);

fn name(combination: &dyn Combination) -> &str {
    combination.name()
}

fn id(combination: &dyn Combination) -> TypeId {
    (combination as &dyn Any).type_id()
}

/// A combination by its name.
///
/// ```
/// use foregrad::estimate::AnyCombination;
/// let combination: AnyCombination = "projection".parse()?;
/// assert!(combination.needs_products());
/// # Ok::<(), foregrad::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct AnyCombination(&'static dyn Combination);

impl AnyCombination {
    /// The mean of the single estimates.
    pub const MEAN: Self = Self(&mean::Mean);
    /// The orthogonal projection on the span of the directions.
    pub const PROJECTION: Self = Self(&Projection);

    /// A combination of any crate. From now on its name can be read by this process, in settings and in files; it stays in memory for
    /// good.
    ///
    /// # Errors
    /// A name that is no name; one that another combination has.
    pub fn of(combination: impl Combination) -> Result<Self> {
        KNOWN.of(Box::new(combination)).map(Self)
    }
}

impl std::ops::Deref for AnyCombination {
    type Target = dyn Combination;

    fn deref(&self) -> &(dyn Combination + 'static) {
        self.0
    }
}

impl PartialEq for AnyCombination {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl fmt::Debug for AnyCombination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl fmt::Display for AnyCombination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for AnyCombination {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        KNOWN.find(text).map(Self)
    }
}

as_text!(AnyCombination, COMBINATIONS.iter().map(|own| (own.name(), own.about().into())).collect());
