//! Estimators: forward mode against the oracle, for every guess in every space where both are exact.

use burn::tensor::Tensor;

use super::{Entry, Limits, worst};
use crate::estimate::{
    self, AnyGuess, COMBINATIONS, EstimatorConfig, EstimatorState, GUESSES, Granularity, Horizon, Mode, Space,
    StepInput, StepOutput,
};
use crate::losses::Labels;
use crate::models::{HeadKind, ModelConfig, Network, Norm};
use crate::ops::Parts;
use crate::rng::{Placement, Stream};
use crate::settings::Settings;
use crate::vector::ParamVector;

/// An estimator to check.
pub struct EstimatorExample {
    /// Guess, space, granularity and target.
    pub name: String,
    /// The estimator.
    pub config: EstimatorConfig,
    /// The heads of the network that it is checked on.
    pub head: HeadKind,
    /// Those for the target, if they are others.
    pub target_head: Option<HeadKind>,
}

/// Guesses that are several at once: of a head with random ones, of two kinds of heads, of random ones alone, known later than others.
const COMPOSITE: [&str; 4] = ["local+gaussian:2", "local+ntk:2+upstream", "gaussian:2+rademacher", "span:2+gaussian"];

/// Every guess, in every space and granularity it has.
pub fn estimator_examples() -> Vec<EstimatorExample> {
    let names = GUESSES.iter().map(|guess| guess.name()).chain(COMPOSITE);
    let mut examples: Vec<_> =
        names.flat_map(|name| guess_examples(&name.parse().expect("a guess of the list"))).collect();
    for (space, mix) in [(Space::Weight, 2), (Space::Activity, 2)] {
        let config = EstimatorConfig { space, mix: Some(mix), ..Default::default() };
        examples.push(EstimatorExample::new(format!("local, {space}, mixed m = {mix}"), config));
    }
    // The mean is every example's own.
    let others = COMBINATIONS.iter().map(|combination| combination.name()).filter(|name| *name != "mean");
    examples.extend(others.flat_map(combined));
    examples.extend(CHANGED.iter().flat_map(|settings| changed("local", settings)));
    examples.extend(FEEDBACK.iter().flat_map(|settings| changed("feedback", settings)));
    examples.extend(UPSTREAM.iter().flat_map(|settings| changed("upstream", settings)));
    // A loss that keeps parts apart: one pass carries all of them.
    let parts = examples.iter().filter(|example| example.config.parts() != Parts::WHOLE);
    let of_own_loss = parts.map(|EstimatorExample { name, config, target_head, .. }| EstimatorExample {
        name: format!("{}, mean-linear", name.replace("global", "local")),
        config: EstimatorConfig { target: Horizon::LOCAL, ..config.clone() },
        head: HeadKind::MeanLinear,
        target_head: *target_head,
    });
    let of_own_loss: Vec<_> = of_own_loss.collect();
    let others: Vec<_> = ["local", "ntk", "fixed-ntk"].into_iter().flat_map(by_other_heads).collect();
    examples.into_iter().chain(of_own_loss).chain(copying()).chain(others).collect()
}

/// Guesses of heads that copy later blocks, one scalar a block and a sample.
fn copying() -> Vec<EstimatorExample> {
    let usual = guess_examples(&AnyGuess::default()).into_iter();
    let kinds = [Granularity::Block, Granularity::Sample];
    let some = usual.filter(|example| kinds.contains(&example.config.granularity()));
    let of_copies = |EstimatorExample { name, config, target_head, .. }| {
        let copying = [HeadKind::Augmented, HeadKind::Ema];
        copying.map(|head| EstimatorExample {
            name: format!("{name}, {head}"),
            config: config.clone(),
            head,
            target_head,
        })
    };
    some.flat_map(of_copies).collect()
}

/// A guess of heads of one kind, measured by heads of another: its own block's, and the next block's.
fn by_other_heads(guess: &str) -> Vec<EstimatorExample> {
    let examples = guess_examples(&guess.parse().expect("a guess of the list"));
    let targets = [(Horizon::LOCAL, HeadKind::MeanLinear), (Horizon::blocks(1), HeadKind::Ema)];
    let all = examples.iter().flat_map(|EstimatorExample { name, config, head, .. }| {
        targets.map(|(target, other)| EstimatorExample {
            name: format!("{}, by {other}", name.replace("global", &target.to_string())),
            config: EstimatorConfig { target, ..config.clone() },
            head: *head,
            target_head: Some(other),
        })
    });
    all.filter(|example| example.config.validate(6).is_ok()).collect()
}

/// What else can be asked of a guess, as settings: not to be measured, or not at every step; to be corrected.
const CHANGED: [&[(&str, &str)]; 5] = [
    &[("projection", "off")],
    &[("measure-every", "2")],
    &[("correct", "rademacher")],
    &[("correct", "gaussian"), ("directions", "2")],
    &[("correct", "low-rank")],
];

/// What feedback can be of, can follow, and can be taken for.
const FEEDBACK: [&[(&str, &str)]; 4] = [
    &[("guesses.feedback.rule", "mean"), ("guesses.feedback.rate", "0.1"), ("projection", "off")],
    &[("guesses.feedback.start", "uniform"), ("guesses.feedback.rate", "0"), ("projection", "off")],
    &[("guesses.feedback.start", "uniform"), ("guesses.feedback.rate", "0"), ("guesses.feedback.source", "label")],
    &[("guesses.feedback.start", "uniform"), ("guesses.feedback.follows", "kolen-pollack")],
];

/// The weights through which noise can go back.
const UPSTREAM: [&[(&str, &str)]; 2] = [
    &[("guesses.upstream.weights", "orthogonal")],
    &[("guesses.upstream.weights", "orthogonal"), ("guesses.upstream.rank", "2")],
];

/// A guess with other settings, wherever that has a meaning.
fn changed(guess: &str, settings: &[(&str, &str)]) -> Vec<EstimatorExample> {
    let text: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let mut examples = guess_examples(&guess.parse().expect("a guess of the list"));
    for EstimatorExample { name, config, .. } in &mut examples {
        settings.iter().for_each(|(key, value)| config.set(key, value).expect("a setting"));
        *name = format!("{name}, {}", text.join(", "));
    }
    examples.retain(|example| example.config.validate(6).is_ok());
    examples
}

/// Several random directions and several that are not, combined in a way; one granularity of each kind stands for all.
fn combined(name: &str) -> Vec<EstimatorExample> {
    let kinds = [Granularity::Tensor, Granularity::Network, Granularity::Sample, Granularity::Batch];
    let guesses = ["gaussian", "ntk"].map(|guess| guess.parse().expect("a guess of the list"));
    let all = guesses.iter().flat_map(guess_examples).map(|example| {
        let combination = name.parse().expect("a combination of the list");
        let name = format!("{}, {name} of 3", example.name);
        EstimatorExample { name, config: EstimatorConfig { directions: 3, combination, ..example.config }, ..example }
    });
    all.filter(|own| kinds.contains(&own.config.granularity()) && own.config.validate(6).is_ok()).collect()
}

/// A guess in every space and granularity it has.
pub fn guess_examples(guess: &AnyGuess) -> Vec<EstimatorExample> {
    let support = guess.support();
    let several = support.several && !guess.is_composite();
    let granularities = support.spaces.iter().flat_map(|space| match space {
        Space::Weight => vec![Granularity::Tensor, Granularity::Block, Granularity::Network],
        Space::Activity => vec![
            Granularity::Sample,
            Granularity::Batch,
            Granularity::Patch,
            Granularity::Group,
            Granularity::PatchGroup,
        ],
    });
    let config = |granularity| EstimatorConfig {
        guess: guess.clone(),
        space: match granularity {
            Granularity::Tensor | Granularity::Block | Granularity::Network => Space::Weight,
            _ => Space::Activity,
        },
        granularity: Some(granularity),
        target: if support.forward_any_target { Horizon::GLOBAL } else { Horizon::LOCAL },
        directions: if several { 2.max(support.least_directions) } else { 1 },
        ..Default::default()
    };
    let valid = granularities.map(config).filter(|config| config.validate(6).is_ok());
    valid
        .map(|config| {
            let (space, granularity) = (config.space, config.granularity());
            let name = format!("{guess}, {space}, {granularity}, {} target", config.target);
            EstimatorExample::new(name, config)
        })
        .collect()
}

impl EstimatorExample {
    /// On a network with the usual heads.
    fn new(name: String, config: EstimatorConfig) -> Self {
        Self { name, config, head: ModelConfig::default().head, target_head: None }
    }

    /// The deviation of forward mode from the oracle on a narrow network, also in a second step if the first leaves a state.
    ///
    /// Weight space is checked with batch norm, activity space with group norm: there samples do not depend on each other.
    ///
    /// # Panics
    /// If the estimator has no meaning on the network.
    pub fn check(&self, placement: &Placement, seed: u64) -> Entry {
        let case = Case::new(self, placement, seed);
        let estimated: Vec<ParamVector> =
            (0..case.network.depth() - 1).map(|block| case.network.block_parameters(block)).collect();
        let modes = |step, state: &EstimatorState| {
            [Mode::Forward, Mode::Oracle].map(|mode| {
                let granularity = Some(self.config.granularity());
                case.step(&EstimatorConfig { mode, granularity, ..self.config.clone() }, step, state)
            })
        };
        let [forward, oracle] = modes(0, &EstimatorState::default());
        let mut outputs = vec![[forward, oracle]];
        if !outputs[0][1].state.is_empty() {
            outputs.push(modes(1, &outputs[0][1].state));
        }
        let deviations = outputs.iter().map(|[forward, oracle]| deviation(forward, oracle, &estimated));
        // What has yet to learn may stand still at first, but not for good.
        let [_, last] = outputs.last().expect("a step");
        let stands_still = estimated.iter().any(|block| own(last, block).norm() == 0.0);
        let deviations = deviations.chain(stands_still.then_some(f64::INFINITY));
        self.entry("agreement", worst(deviations), Limits::of(placement.dtype).agreement)
    }

    /// The deviation of a step that is done again from a step done once, both from the same saved state.
    ///
    /// # Panics
    /// If the estimator has no meaning on the network.
    pub fn check_state(&self, placement: &Placement, seed: u64) -> Entry {
        let case = Case::new(self, placement, seed);
        let state = case.step(&self.config, 0, &EstimatorState::default()).state;
        let [once, again] = [(); 2].map(|()| case.step(&self.config, 1, &state));
        let gap = again.update.axpy(-1.0, &once.update).norm() / once.update.norm();
        let gap = if again.state == once.state { gap } else { f64::INFINITY };
        self.entry("state", worst([gap]), Limits::of(placement.dtype).adjoint)
    }

    fn entry(&self, identity: &'static str, worst: f64, limit: f64) -> Entry {
        Entry { group: "estimator", name: self.name.clone(), identity, worst, limit }
    }
}

/// A narrow network with a batch.
struct Case {
    network: Network,
    images: Tensor<4>,
    labels: Labels,
    seed: u64,
}

impl Case {
    fn new(example: &EstimatorExample, placement: &Placement, seed: u64) -> Self {
        let norm = if example.config.space == Space::Weight { Norm::Batch } else { Norm::Group };
        // Eight channels and more: groups divide them.
        let EstimatorExample { head, target_head, .. } = *example;
        let model = ModelConfig { width: 0.125, norm, head, target_head, head_norm: norm, ..Default::default() };
        let network = model.init([2, 9, 11], 3, seed, placement).expect("a small network");
        let images = Stream::new(seed, "check").named("images").normal_tensor([5, 2, 9, 11], placement);
        Self { network, images, labels: Labels::classes(vec![0, 1, 2, 0, 1], 3), seed }
    }

    fn step(&self, config: &EstimatorConfig, step: u64, state: &EstimatorState) -> StepOutput {
        let input = StepInput::new(self.images.clone(), &self.labels, self.seed, step);
        estimate::step(config, &self.network, &input, state).expect("a valid estimator")
    }
}

/// The largest `|forward - oracle| / |oracle|` of a block's update, over the blocks that are estimated: what both modes
/// compute exactly (heads, last block, classifier) would only hide a difference.
fn deviation(forward: &StepOutput, oracle: &StepOutput, estimated: &[ParamVector]) -> f64 {
    let of_block = |block: &ParamVector| {
        let (forward, oracle) = (own(forward, block), own(oracle, block));
        match (forward.axpy(-1.0, &oracle).norm(), oracle.norm()) {
            (0.0, _) => 0.0,
            (gap, size) => gap / size,
        }
    };
    worst(estimated.iter().map(of_block))
}

/// A block's part of an update.
fn own(output: &StepOutput, block: &ParamVector) -> ParamVector {
    output.update.filtered(|path| block.entry(path).is_some())
}
