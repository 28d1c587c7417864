//! Gradient estimation: a target, known only through inner products, measured along a guess.
//!
//! [`step`] computes one step's update for any combination of an [`EstimatorConfig`]. In forward mode the inner
//! products are directional derivatives pushed through the network, in mode finite-difference differences of losses; in the
//! other modes the target comes from reverse mode. Everything else - guesses, scaling, combination of directions, mixing - is shared.

mod choices;
pub mod combination;
mod config;
mod correct;
mod engine;
mod finish;
mod finite;
mod given;
mod gram;
pub mod guess;
mod known;
mod measuring;
mod merged;
mod methods;
mod micro_batch;
mod mix;
mod oracle;
mod orthogonal;
mod parts;
mod plan;
mod prepared;
mod rehearsal;
mod slot;
mod stage;
mod state;
mod sum;
mod sweep;
mod target;
mod view;

pub use choices::{
    Correction, CorrectionScale, Granularity, LastBlock, Memory, Mode, Space, StatisticsTangent, TrainHeads,
};
pub use combination::{Along, AnyCombination, COMBINATIONS, Combination};
pub use config::EstimatorConfig;
pub use gram::Gram;
pub use guess::{
    AnyGuess, Context, Directions, DrawnHead, FeedbackConfig, FeedbackFollows, FeedbackRule, FeedbackSource,
    FeedbackStart, GUESSES, Gradients, Guess, GuessSettings, HeadUse, Measured, Needs, NtkConfig, Support,
    UpstreamConfig, UpstreamWeights,
};
pub use methods::{METHODS, Method};
pub use micro_batch::{MicroBatch, Tree, step_in_parts, sum_of_parts};
pub use plan::{Course, Plan};
pub use state::EstimatorState;
pub use sum::Sum;
pub use target::{HORIZONS, Horizon};
pub use view::{Block, View};

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Tensor;

use crate::losses::Labels;
use crate::models::{Evaluation, Network};
use crate::ops;
use crate::vector::ParamVector;
use crate::{Error, Result};
use engine::Engine;
use finite::Differences;
use oracle::Oracle;
use sweep::Sweep;

/// Which guesses and targets a step's output holds; each takes as much memory as what it is a vector of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collect {
    /// None.
    #[default]
    Nothing,
    /// Every slot's first guess.
    FirstGuess,
    /// The targets (reverse mode).
    Targets,
    /// All guesses (with a correction, `D.PATH` are its random directions and `corrected.PATH` is the guess), and in reverse mode the targets.
    Everything,
}

impl Collect {
    /// How many of a slot's directions are kept.
    fn directions(self, all: usize) -> usize {
        match self {
            Collect::Nothing | Collect::Targets => 0,
            Collect::FirstGuess => 1,
            Collect::Everything => all,
        }
    }

    /// The name under which a guess that is corrected is kept: `0` where it is the only one, else one of its own beside the numbers of the
    /// correction's directions.
    fn base(self) -> Option<&'static str> {
        match self {
            Collect::Nothing | Collect::Targets => None,
            Collect::FirstGuess => Some("0"),
            Collect::Everything => Some(given::CORRECTED),
        }
    }

    fn has_targets(self) -> bool {
        matches!(self, Collect::Targets | Collect::Everything)
    }
}

/// A mini-batch and what identifies its step.
#[derive(Debug, Clone)]
pub struct StepInput<'a> {
    /// Images, `[n, channels, height, width]`, normalised.
    pub images: Tensor<4>,
    /// Their classes, or the values that are wanted.
    pub labels: &'a Labels,
    /// The run's seed: names the guesses' streams.
    pub seed: u64,
    /// The optimiser step, from 0.
    pub step: u64,
    /// The optimiser's momentum buffer, for the guess `momentum`.
    pub momentum: Option<&'a ParamVector>,
    /// Guesses to use instead of the estimator's own: `D.PATH` in weight space, `D.blocks.J` in activity space. Of a block that
    /// has none the estimator's own are used; of one that has some, a tensor that is missing counts as zero. `noise.blocks.J` is the
    /// noise at a block's output that a guess learns from.
    pub given: Option<&'a ParamVector>,
    /// What the output holds of the guesses used, and in reverse mode of the targets.
    pub collect: Collect,
    /// The place of these samples in the whole batch, if they are a part of one: [`step`] then gives what belongs to a [`Sum`].
    pub micro_batch: MicroBatch,
    /// A switch that ends the step at the next block, with [`Error::Stopped`].
    pub stop: Option<&'a AtomicBool>,
}

impl<'a> StepInput<'a> {
    /// A mini-batch at a step of a run.
    pub fn new(images: Tensor<4>, labels: &'a Labels, seed: u64, step: u64) -> Self {
        let (collect, micro_batch) = (Collect::Nothing, MicroBatch::WHOLE);
        Self { images, labels, seed, step, momentum: None, given: None, collect, micro_batch, stop: None }
    }

    /// The place of the first sample in the whole batch.
    pub fn first_sample(&self) -> usize {
        self.micro_batch.index * self.labels.len()
    }

    /// Called between blocks: a step that was asked to stop ends there, and nothing of it counts.
    fn check_stop(&self) -> Result<()> {
        let stopped = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        if stopped { Err(Error::Stopped) } else { Ok(()) }
    }
}

/// The scalars of one slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalars {
    /// The slot: a tensor's path, `blocks.J`, `classifier` or `network`.
    pub slot: String,
    /// One value a direction, each one value a sample (granularity `sample`), one a part of each sample, sample by sample, or a single one:
    /// `<target, guess>`.
    pub values: Vec<Vec<f64>>,
}

/// What one step gives.
#[derive(Debug, Clone, Default)]
pub struct StepOutput {
    /// The gradient estimate by global path: trunk, classifier and trained heads. Without weight decay.
    pub update: ParamVector,
    /// Each head's loss and metric by block, where there is one and it ran, of two the guess's if that ran; the network's last.
    pub evaluations: Vec<Option<Evaluation>>,
    /// The batch statistics of every batch norm that ran, by global path.
    pub statistics: ParamVector,
    /// Every scalar.
    pub scalars: Vec<Scalars>,
    /// Of a part of a batch: scalars along directions that all parts share, before the update is made of their mean.
    pub awaiting: Vec<Scalars>,
    /// Slots whose guess was zero.
    pub zero_guesses: usize,
    /// The guesses used, as far as they were asked for: `D.PATH`, or `D.blocks.J` in activity space; with all of them the noise that a
    /// guess has learnt from, `noise.blocks.J`.
    pub guesses: ParamVector,
    /// The targets, if they were asked for in reverse mode: by path, and `blocks.J` in activity space.
    pub targets: ParamVector,
    /// What the next step needs.
    pub state: EstimatorState,
}

impl StepOutput {
    /// Lets the guess learn from what the whole step has measured.
    fn learn(&mut self, config: &EstimatorConfig, step: u64) {
        let measured = Measured { step, update: &self.update, scalars: &self.scalars };
        config.guess.learn(&measured, &mut self.state);
    }
}

/// One step's update of a network, by the estimator of `config`.
///
/// # Errors
/// A combination without meaning, labels that do not go with the images, given guesses that no slot takes;
/// [`Error::Stopped`] if it was asked to stop.
///
/// # Panics
/// If the images are not of the channels and size that the network was made for.
pub fn step(
    config: &EstimatorConfig,
    network: &Network,
    input: &StepInput<'_>,
    state: &EstimatorState,
) -> Result<StepOutput> {
    ops::on_a_worker(input.images.clone(), |_| step_on(config, &View::new(network), input, state))
}

/// [`step`] on anything with the maps of a network.
///
/// # Errors
/// As [`step`]; parts of the view that do not go together.
///
/// # Panics
/// As [`step`].
pub fn step_on(
    config: &EstimatorConfig,
    view: &View<'_>,
    input: &StepInput<'_>,
    state: &EstimatorState,
) -> Result<StepOutput> {
    view.validate()?;
    input.labels.validate(input.images.dims()[0])?;
    view.losses.iter().chain(&view.targets).flatten().try_for_each(|loss| loss.validate(input.labels))?;
    config.validate(view.count_losses())?;
    config.validate_losses(view)?;
    config.validate_copies(view)?;
    input.micro_batch.validate(input.collect)?;
    given::validate(config, view, input)?;
    config.guess.validate_state(view, input, state)?;
    let engine = Engine::new(config, view, input, state)?;
    let mut output = match config.mode {
        Mode::Forward => Sweep::run(engine),
        // Without a target to look at there is nothing to go back for.
        Mode::Oracle if !engine.needs_target() => Sweep::run(engine),
        Mode::Oracle | Mode::Checkpointed => Oracle::run(engine),
        Mode::FiniteDifference if !engine.measured => Sweep::run(engine),
        Mode::FiniteDifference => Differences::run(engine),
    }?;
    if input.micro_batch.is_whole() {
        output.learn(config, input.step);
    }
    Ok(output)
}
