//! Guesses: the directions along which the target is measured. To add one: a file that says what it supports, a line here.

use std::fmt;
use std::str::FromStr;

use super::choices::Space;
use crate::rng::{Placement, Stream};
use crate::vector::ParamTensor;
use crate::{Error, as_text, settings};
pub use ntk::NtkConfig;

mod exact;
mod fixed_ntk;
pub(super) mod gaussian;
mod local;
pub(crate) mod low_rank;
mod momentum;
mod ntk;
mod rademacher;
pub(super) mod span;
mod upstream;

/// Draws a direction of a shape from a stream.
pub type Draw = fn(Stream, &[usize], &Placement) -> ParamTensor;

/// Where a guess comes from; this is what the sweep and the oracle act on.
#[derive(Debug, Clone, Copy)]
pub enum Origin {
    /// The target itself.
    Target,
    /// Drawn from a stream; unit covariance, never normalised, so that `E[<g, G> G] = g`.
    Random(Draw),
    /// The gradient of a head's loss.
    Head(HeadSource),
    /// Noise pulled back through the next block.
    NextBlock,
    /// The principal directions of the batch's local guesses.
    BatchSpan,
    /// The optimiser's buffer, and gaussian directions beside it.
    Buffer,
}

/// Which head a head's guess is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadSource {
    /// The block's own, trained head.
    Trained,
    /// A head drawn afresh at every step, or after as many as the guess's settings say.
    Redrawn,
    /// The block's own head with its first weights, never trained.
    Fixed,
}

/// What a guess supports: help, refusals and tests follow from it.
#[derive(Debug)]
pub struct Support {
    /// The name users write.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// The spaces it exists in.
    pub spaces: &'static [Space],
    /// Whether several directions a slot make sense.
    pub several: bool,
    /// The least number of directions.
    pub least_directions: usize,
    /// Whether directions can only be combined by orthogonal projection.
    pub projection_only: bool,
    /// Whether forward mode can produce it for any target; if not, only for the local one.
    pub forward_any_target: bool,
}

/// A guess: one of [`GUESSES`].
#[derive(Clone, Copy)]
pub struct Guess(&'static Support);

/// All guesses.
pub const GUESSES: &[&Support] = &[
    &exact::SUPPORT,
    &local::SUPPORT,
    &ntk::SUPPORT,
    &fixed_ntk::SUPPORT,
    &gaussian::SUPPORT,
    &rademacher::SUPPORT,
    &low_rank::SUPPORT,
    &momentum::SUPPORT,
    &upstream::SUPPORT,
    &span::SUPPORT,
];

settings! {
    /// Settings that single guesses have for themselves, a table each: `[estimator.guesses.ntk]`.
    pub struct GuessSettings {
        /// Those of `ntk`.
        ntk: NtkConfig = NtkConfig::default() => table,
    }
}

impl Guess {
    /// The gradient of the block's own head.
    pub const LOCAL: Self = Self(&local::SUPPORT);

    /// What it supports.
    pub fn support(self) -> &'static Support {
        self.0
    }

    /// Where it comes from.
    pub fn origin(self) -> Origin {
        self.0.origin
    }

    /// Whether it has unit covariance and is therefore never normalised.
    pub fn is_random(self) -> bool {
        matches!(self.0.origin, Origin::Random(_))
    }

    /// Whether it is the gradient of a head's loss.
    pub fn head_source(self) -> Option<HeadSource> {
        match self.0.origin {
            Origin::Head(source) => Some(source),
            Origin::BatchSpan => Some(HeadSource::Trained),
            _ => None,
        }
    }
}

impl PartialEq for Guess {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Guess {}

impl fmt::Debug for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl FromStr for Guess {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = GUESSES.iter().find(|support| support.name == text);
        let names: Vec<_> = GUESSES.iter().map(|support| support.name).collect();
        found.map(|support| Guess(support)).ok_or_else(|| Error::unknown_name("guess", text, &names))
    }
}

as_text!(Guess, GUESSES.iter().map(|support| (support.name, support.about.into())).collect());

/// Both spaces.
const BOTH: &[Space] = &[Space::Weight, Space::Activity];
