//! Combinations: from the inner products of several directions with the target to their coefficients in the estimate.
//!
//! With directions `G_1 .. G_k` and `b_d = <target, G_d>` the estimate is `sum_d c_d G_d`. To add one: a file that implements
//! [`Combination`], a line here; or, from another crate, a type that implements it and [`AnyCombination::of`].

use std::any::{Any, TypeId};
use std::fmt;
use std::str::FromStr;

use super::EstimatorConfig;
use super::gram::Gram;
use super::known::Known;
use crate::{Error, Result, as_text};

mod max;
mod max_normalised;
mod mean;
mod projection;
mod projection_length;
mod select;

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

    /// The coefficients of a slot's directions (or of one sample's), one a direction.
    fn coefficients(&self, along: &Along<'_>) -> Vec<f64>;

    /// Refuses what this combination alone has no meaning with.
    ///
    /// # Errors
    /// [`Error::Meaningless`].
    fn validate(&self, _config: &EstimatorConfig) -> Result<()> {
        Ok(())
    }
}

/// What is known of the target along the directions `G_1 .. G_k` of a slot, or of one sample's.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Along<'a> {
    /// `b_d = <target, G_d>`.
    pub b: &'a [f64],
    /// The inner products between the directions: there if they were asked for, and always where directions have neither unit covariance
    /// nor norm 1, in the network's single slot. There a direction may be zero, and its product with itself 0.
    pub products: Option<&'a Gram>,
    /// Whether the directions are random ones of unit covariance; all others have norm 1, save in the network's single slot.
    pub has_unit_covariance: bool,
    /// The number of coordinates of a direction.
    pub dimension: usize,
}

impl Along<'_> {
    /// The coefficient that a direction has by itself: `b_d` of one of unit covariance or of norm 1, else `b_d / |G_d|^2`, and 0 where
    /// `G_d` is zero.
    pub fn alone(&self, direction: usize) -> f64 {
        match self.square_norm(direction) {
            Some(0.0) => 0.0,
            Some(square) if !self.has_unit_covariance => self.b[direction] / square,
            _ => self.b[direction],
        }
    }

    /// `b_d / |G_d|`, the derivative along the direction's unit vector; 0 where `G_d` is zero. Without products the norm is taken to be 1.
    pub fn slope(&self, direction: usize) -> f64 {
        match self.square_norm(direction) {
            Some(0.0) => 0.0,
            Some(square) => self.b[direction] / square.sqrt(),
            None => self.b[direction],
        }
    }

    fn square_norm(&self, direction: usize) -> Option<f64> {
        self.products.map(|products| products.square_norm(direction))
    }
}

/// All combinations of this library.
pub const COMBINATIONS: &[&dyn Combination] =
    &[&mean::Mean, &Projection, &projection_length::ProjectionLength, &max::Max, &max_normalised::MaxNormalised];

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

impl EstimatorConfig {
    /// Refuses a combination that the guess's directions do not have. The mean, every estimator's default, becomes the projection there.
    pub(super) fn validate_combination(&self) -> Result<()> {
        let is_projected = [AnyCombination::MEAN, AnyCombination::PROJECTION].contains(&self.combination);
        if self.along().support().projection_only && !is_projected {
            let reason = format!("the directions of `{}` are combined by orthogonal projection alone", self.guess);
            let nearest = format!("`estimator.guess = {}` `estimator.combination = projection`", self.guess);
            return Err(Error::meaningless(reason, nearest));
        }
        self.combination.validate(self)
    }
}

as_text!(AnyCombination, COMBINATIONS.iter().map(|own| (own.name(), own.about().into())).collect());
