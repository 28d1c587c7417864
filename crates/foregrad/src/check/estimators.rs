//! Estimators: forward mode against the oracle, for every guess in every space where both are exact.

use super::{Entry, Limits, worst};
use crate::estimate::{
    self, EstimatorConfig, EstimatorState, GUESSES, Granularity, Horizon, Mode, Origin, Space, StepInput, StepOutput,
};
use crate::losses::Labels;
use crate::models::{ModelConfig, Norm};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// An estimator to check.
pub struct EstimatorExample {
    /// Guess, space, granularity and target.
    pub name: String,
    /// The estimator.
    pub config: EstimatorConfig,
}

/// Every guess, in every space and granularity it has.
pub fn estimator_examples() -> Vec<EstimatorExample> {
    let mut examples = Vec::new();
    for support in GUESSES {
        for space in support.spaces {
            let granularities: &[Granularity] = match space {
                Space::Weight => &[Granularity::Tensor, Granularity::Block, Granularity::Network],
                Space::Activity => &[Granularity::Sample, Granularity::Batch],
            };
            for granularity in granularities {
                let local_only = matches!(support.origin, Origin::Target);
                let config = EstimatorConfig {
                    guess: support.name.parse().expect("a guess of the list"),
                    space: *space,
                    granularity: Some(*granularity),
                    target: if local_only { Horizon::LOCAL } else { Horizon::GLOBAL },
                    directions: if support.several { 2 } else { 1 },
                    ..Default::default()
                };
                if config.validate(6).is_ok() {
                    let name = format!("{}, {space}, {granularity}, {} target", support.name, config.target);
                    examples.push(EstimatorExample { name, config });
                }
            }
        }
    }
    for (space, mix) in [(Space::Weight, 2), (Space::Activity, 2)] {
        let config = EstimatorConfig { space, mix: Some(mix), ..Default::default() };
        examples.push(EstimatorExample { name: format!("local, {space}, mixed m = {mix}"), config });
    }
    examples
}

impl EstimatorExample {
    /// The deviation of forward mode from the oracle on a narrow network.
    ///
    /// Weight space is checked with batch norm, activity space with group norm: there samples do not depend on each other.
    ///
    /// # Panics
    /// If the estimator has no meaning on the network.
    pub fn check(&self, placement: &Placement, seed: u64) -> Entry {
        let norm = if self.config.space == Space::Weight { Norm::Batch } else { Norm::Group };
        let model = ModelConfig { width: 0.1, norm, head_norm: norm, ..Default::default() };
        let network = model.init([2, 9, 11], 3, seed, placement).expect("a small network");
        let images = Stream::new(seed, "check").named("images").normal_tensor([5, 2, 9, 11], placement);
        let labels = Labels::classes(vec![0, 1, 2, 0, 1], 3);
        let input = StepInput::new(images, &labels, seed, 0);
        let run = |mode| {
            let config = EstimatorConfig { mode, granularity: Some(self.config.granularity()), ..self.config.clone() };
            estimate::step(&config, &network, &input, &EstimatorState::default()).expect("a valid estimator")
        };
        let estimated: Vec<ParamVector> =
            (0..network.depth() - 1).map(|block| network.block_parameters(block)).collect();
        let worst = deviation(&run(Mode::Forward), &run(Mode::Oracle), &estimated);
        let limit = Limits::of(placement.dtype).agreement;
        Entry { group: "estimator", name: self.name.clone(), identity: "agreement", worst, limit }
    }
}

/// The largest `|forward - oracle| / |oracle|` of a block's update, over the blocks that are estimated: what both modes
/// compute exactly (heads, last block, classifier) would only hide a difference.
fn deviation(forward: &StepOutput, oracle: &StepOutput, estimated: &[ParamVector]) -> f64 {
    let of_block = |block: &ParamVector| {
        let part = |output: &StepOutput| output.update.filtered(|path| block.entry(path).is_some());
        part(forward).axpy(-1.0, &part(oracle)).norm() / part(oracle).norm()
    };
    worst(estimated.iter().map(of_block))
}
