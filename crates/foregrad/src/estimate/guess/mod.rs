//! Guesses: the directions along which the target is measured. To add one: a file that implements [`Guess`], a line here; or, from
//! another crate, a type that implements it and [`AnyGuess::of`].

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;

use super::choices::Space;
use super::plan::Course;
use super::{EstimatorConfig, EstimatorState, Scalars};
use crate::losses::LabelKind;
use crate::rng::Stream;
use crate::vector::ParamVector;
use crate::{Result, settings};

pub use any::AnyGuess;
pub use context::{Context, Directions, Gradients};
pub use feedback::{FeedbackConfig, FeedbackFollows, FeedbackRule, FeedbackSource, FeedbackStart};
pub use ntk::NtkConfig;
pub use upstream::{UpstreamConfig, UpstreamWeights};

mod any;
mod context;
mod exact;
mod feedback;
mod fixed_ntk;
mod gaussian;
mod local;
pub(crate) mod low_rank;
mod momentum;
mod named;
mod ntk;
mod rademacher;
mod span;
mod upstream;

/// A guess: what it needs, when it is known, how its directions are made, and what it learns from step to step.
///
/// Whatever it draws comes from [`Context::stream`], so that a direction can be drawn again instead of being stored and another guess
/// changes neither the order of the data nor the initial weights. Whatever it carries from step to step is in the state that
/// [`Guess::learn`] writes, so that a resumed run goes on to the same bits.
pub trait Guess: Any + Debug + Send + Sync {
    /// The name users write: letters, digits and dashes.
    fn name(&self) -> &str;

    /// One line of help.
    fn about(&self) -> &str;

    /// What it supports: help, refusals and checks follow from it.
    fn support(&self) -> Support;

    /// The heads whose gradients it is made of, for directions at these places of a slot's.
    fn heads(&self, _directions: Range<usize>) -> HeadUse {
        HeadUse::default()
    }

    /// What it needs beside heads.
    fn needs(&self, _config: &EstimatorConfig) -> Needs {
        Needs::default()
    }

    /// The loss whose gradient a block's guess is made of, if its heads are asked for: the one that the guess horizon says. A block without
    /// a head stands for the next one that has one. In a composite
    /// guess the first that asks for heads says it for all.
    fn loss(&self, block: usize, course: &Course<'_>) -> usize {
        course.guess_loss(block)
    }

    /// The block at which a block's guess becomes known: not before the loss of its gradient. Numbers beyond the last block are the last.
    fn ready(&self, block: usize, _course: &Course<'_>) -> usize {
        block
    }

    /// A block's directions, as many as [`Context::directions`] asks for, before any scaling; `gradients` are those of the heads that
    /// were asked for, at the block's output.
    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions;

    /// Moves what it carries of a block to the next step, by what the block shows; called once a block, after its directions were made.
    /// They are made from [`Context::state`], the state before the step.
    fn learn_block(&self, _context: &Context<'_, '_>, _state: &mut EstimatorState) {}

    /// Moves what it carries to the next step, by what this one measured.
    fn learn(&self, _measured: &Measured<'_>, _state: &mut EstimatorState) {}

    /// Refuses what this guess alone has no meaning with.
    ///
    /// # Errors
    /// [`Error::Meaningless`](crate::Error::Meaningless), [`Error::OutOfRange`](crate::Error::OutOfRange).
    fn validate(&self, _config: &EstimatorConfig) -> Result<()> {
        Ok(())
    }

    /// Refuses a state of its own that was left to another network: `outputs` are the shapes of the blocks' outputs, `[channels, height,
    /// width]`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange).
    fn validate_state(&self, _state: &EstimatorState, _outputs: &[[usize; 3]], _labels: LabelKind) -> Result<()> {
        Ok(())
    }
}

/// What a guess supports, and what those who use it have to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Support {
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
    /// Whether it is drawn from the context's streams alone, with unit covariance: never normalised, so that `E[<g, G> G] = g`, and
    /// drawn again instead of kept.
    pub is_random: bool,
    /// Whether it is an estimate of the gradient, with a scale of its own: it can be taken for the gradient without being measured, and,
    /// if it is not the target itself, keep its coefficient for some steps and be corrected.
    pub is_gradient: bool,
    /// Whether it is the target itself: nothing is measured.
    pub is_target: bool,
    /// Whether it is the same whatever the batch: of seed, step and the optimiser alone, as every random one in weight space is.
    pub is_shared: bool,
    /// Whether it needs the momentum buffer of the optimiser.
    pub needs_buffer: bool,
    /// Whether the inner products between its directions are the same for every sample (activity space).
    pub shares_products: bool,
}

impl Support {
    /// One direction or several in both spaces, divided by its norm, known to forward mode.
    pub const USUAL: Self = Self {
        spaces: &[Space::Weight, Space::Activity],
        several: true,
        least_directions: 1,
        projection_only: false,
        forward_any_target: true,
        is_random: false,
        is_gradient: false,
        is_target: false,
        is_shared: false,
        needs_buffer: false,
        shares_products: false,
    };
    /// A single direction.
    pub const SINGLE: Self = Self { several: false, ..Self::USUAL };
    /// Drawn with unit covariance.
    pub const RANDOM: Self = Self { is_random: true, is_shared: true, ..Self::USUAL };
}

/// The heads whose gradients a guess is made of.
#[derive(Debug, Clone, Default)]
pub struct HeadUse {
    /// The network's own head.
    pub own: bool,
    /// Heads drawn for the step, one a direction.
    pub drawn: Vec<DrawnHead>,
    /// Whether it wants them untrained: then no head learns unless the settings say so.
    pub untrained: bool,
}

impl HeadUse {
    /// The network's own head, trained.
    pub fn own() -> Self {
        Self { own: true, ..Self::default() }
    }

    /// Whether it asks for any head.
    pub fn is_any(&self) -> bool {
        self.own || !self.drawn.is_empty()
    }
}

/// What a guess asks of a step beside heads. The first two cost a *rehearsal*: the trunk and the classifier run once before the step proper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The gradient at the network's outputs: [`Context::error`].
    pub error: bool,
    /// The tangent of the network's outputs along noise at every block's output: [`Context::outputs_along_noise`].
    pub noise: bool,
    /// The block's output: [`Context::output`].
    pub output: bool,
    /// Blocks that can be copied, to go through them with other weights: [`Context::pulled_back_with`].
    pub copies: bool,
}

impl Needs {
    /// What either of two guesses needs.
    pub(in crate::estimate) fn and(self, other: Self) -> Self {
        Self {
            error: self.error || other.error,
            noise: self.noise || other.noise,
            output: self.output || other.output,
            copies: self.copies || other.copies,
        }
    }
}

/// A head that is drawn for a step.
#[derive(Debug, Clone, Copy)]
pub struct DrawnHead {
    /// The place of its direction among a slot's: part of its stream.
    pub direction: usize,
    /// The stream of a step's heads, of a seed and a step.
    pub stream: fn(&EstimatorConfig, u64, u64) -> Stream,
}

/// What a step has measured.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Measured<'a> {
    /// The optimiser step, from 0.
    pub step: u64,
    /// The step's update by global path: trunk, classifier and trained heads.
    pub update: &'a ParamVector,
    /// Every scalar.
    pub scalars: &'a [Scalars],
}

/// All guesses of this library.
pub const GUESSES: &[&dyn Guess] = &[
    &exact::Exact,
    &local::Local,
    &ntk::Ntk,
    &fixed_ntk::FixedNtk,
    &gaussian::Gaussian,
    &rademacher::Rademacher,
    &low_rank::LowRank,
    &momentum::Momentum,
    &upstream::Upstream,
    &span::Span,
    &feedback::Feedback,
];

settings! {
    /// Settings that single guesses have for themselves, a table each: `[estimator.guesses.ntk]`.
    pub struct GuessSettings {
        /// Those of `ntk`.
        ntk: NtkConfig = NtkConfig::default() => table,
        /// Those of `upstream`.
        upstream: UpstreamConfig = UpstreamConfig::default() => table,
        /// Those of `feedback`.
        feedback: FeedbackConfig = FeedbackConfig::default() => table,
    }
}
