//! Exact unbiasedness: the mean over all sign vectors is the gradient, without any sampling.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::{Case, double, relative};
use foregrad::estimate::{
    self, AnyCombination, Correction, EstimatorConfig, EstimatorState, Granularity, Space, StepInput, StepOutput,
};
use foregrad::layers::{Conv2dConfig, Flatten, GroupNorm, Linear, Sequential};
use foregrad::losses::{CrossEntropy, Labels};
use foregrad::models::{Head, LossHead};
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;

/// Two blocks and a classifier, small enough to enumerate the signs of the first.
struct Tiny {
    blocks: Vec<Sequential>,
    classifier: Head,
    head: Head,
    images: Tensor<4>,
    labels: Labels,
}

impl Tiny {
    fn new() -> Self {
        let (placement, stream) = (double(), Stream::new(0, "tiny"));
        let conv = |name: &str, channels| Conv2dConfig::new(channels, 1).init(stream.named(name), &placement);
        let first = Sequential::new().with("conv", conv("a", [2, 3]));
        let second =
            Sequential::new().with("conv2", conv("b", [3, 4])).with("norm", GroupNorm::new(4, 1, 0.1, &placement));
        let net = |name: &str, features| {
            let linear = Linear::new([features, 3], true, stream.named(name), &placement);
            Head::new(Sequential::new().with("flat", Flatten).with("fc", linear), CrossEntropy::default())
        };
        let images = stream.named("images").normal_tensor([2, 2, 1, 1], &placement);
        let labels = Labels::classes(vec![0, 2], 3);
        Self { blocks: vec![first, second], classifier: net("c", 4), head: net("h", 3), images, labels }
    }

    fn step(&self, config: &EstimatorConfig, given: Option<&ParamVector>, state: &EstimatorState) -> StepOutput {
        let view = estimate::View {
            blocks: self.blocks.iter().map(|block| block as &estimate::Block).collect(),
            losses: vec![Some(&self.head as &dyn LossHead), Some(&self.classifier)],
            prefixes: vec!["", ""],
            targets: Vec::new(),
        };
        let input = StepInput { given, ..StepInput::new(self.images.clone(), &self.labels, 0, 0) };
        estimate::step_on(config, &view, &input, state).expect("a valid estimator")
    }

    /// The exact gradient of the first block.
    fn gradient(&self) -> ParamVector {
        let config = EstimatorConfig {
            guess: "exact".parse().expect("a guess"),
            mode: estimate::Mode::Oracle,
            ..Default::default()
        };
        first(self.step(&config, None, &EstimatorState::default()).update)
    }
}

fn first(update: ParamVector) -> ParamVector {
    update.filtered(|path| path == "conv.weight")
}

fn signs(pattern: u64, count: usize) -> Vec<f64> {
    (0..count).map(|bit| if pattern >> bit & 1 == 0 { 1.0 } else { -1.0 }).collect()
}

fn config(guess: &str, space: Space, granularity: Granularity) -> EstimatorConfig {
    let guess = guess.parse().expect("a guess");
    EstimatorConfig { guess, space, granularity: Some(granularity), ..Default::default() }
}

/// The mean update over all guesses of a list, and the mean square of its norm.
fn mean_over(tiny: &Tiny, config: &EstimatorConfig, guesses: impl Iterator<Item = ParamVector>) -> (ParamVector, f64) {
    let (mut sum, mut square, mut count) = (ParamVector::default(), 0.0, 0.0);
    for given in guesses {
        let update = first(tiny.step(config, Some(&given), &EstimatorState::default()).update);
        square += update.norm().powi(2);
        sum = sum.axpy(1.0, &update);
        count += 1.0;
    }
    (sum.scaled(1.0 / count), square / count)
}

fn weight_guess(values: Vec<f64>) -> ParamVector {
    let mut given = ParamVector::default();
    given.insert::<4>("0.conv.weight", double().tensor(values, [3, 2, 1, 1]));
    given
}

fn activity_guess(values: Vec<f64>) -> ParamVector {
    let mut given = ParamVector::default();
    given.insert::<4>("0.blocks.0", double().tensor(values, [2, 3, 1, 1]));
    given
}

#[test]
fn rademacher_in_weight_space_is_unbiased_with_variance_of_the_dimension() {
    let (tiny, gradient) = (Tiny::new(), Tiny::new().gradient());
    for granularity in [Granularity::Tensor, Granularity::Block] {
        let config = config("rademacher", Space::Weight, granularity);
        let (mean, square) = mean_over(&tiny, &config, (0..64).map(|pattern| weight_guess(signs(pattern, 6))));
        assert!(relative(&mean, &gradient) < 1e-13);
        assert!((square / gradient.norm().powi(2) - 6.0).abs() < 1e-12, "E|g|^2 = d |grad|^2");
    }
}

#[test]
fn sign_low_rank_is_unbiased() {
    let (tiny, gradient) = (Tiny::new(), Tiny::new().gradient());
    let guesses = (0..32).map(|pattern| {
        let (a, b) = (signs(pattern, 3), signs(pattern >> 3, 2));
        weight_guess(a.iter().flat_map(|a| b.iter().map(move |b| a * b)).collect())
    });
    let config = config("low-rank", Space::Weight, Granularity::Block);
    assert!(relative(&mean_over(&tiny, &config, guesses).0, &gradient) < 1e-13);
}

#[test]
fn rademacher_in_activity_space_is_unbiased() {
    let (tiny, gradient) = (Tiny::new(), Tiny::new().gradient());
    for granularity in [Granularity::Batch, Granularity::Sample] {
        let guesses = (0..64).map(|pattern| activity_guess(signs(pattern, 6)));
        let config = config("rademacher", Space::Activity, granularity);
        assert!(relative(&mean_over(&tiny, &config, guesses).0, &gradient) < 1e-13, "{granularity}");
    }
}

#[test]
fn the_mean_of_several_directions_is_the_mean_of_single_ones() {
    let tiny = Tiny::new();
    let single = config("rademacher", Space::Weight, Granularity::Block);
    let double_config = EstimatorConfig { directions: 2, ..single.clone() };
    let both = weight_guess(signs(5, 6));
    let mut pair = both.clone();
    pair.extend(weight_guess(signs(9, 6)).scoped("0").prefixed("1"));
    let state = EstimatorState::default();
    let one = |given: &ParamVector| first(tiny.step(&single, Some(given), &state).update);
    let expected = one(&both).axpy(1.0, &one(&weight_guess(signs(9, 6)))).scaled(0.5);
    assert!(relative(&first(tiny.step(&double_config, Some(&pair), &state).update), &expected) < 1e-13);
}

/// `E` over independent numbers with a normal number's moments up to the fifth: 0 with weight 2/3, and `+-sqrt 3` with 1/6 each.
fn normal_points(count: usize) -> Vec<(Vec<f64>, f64)> {
    let points = [(0.0, 2.0 / 3.0), (3f64.sqrt(), 1.0 / 6.0), (-3f64.sqrt(), 1.0 / 6.0)];
    (0..count).fold(vec![(Vec::new(), 1.0)], |all, _| {
        let longer = |(values, weight): &(Vec<f64>, f64)| {
            points.map(|(value, own)| ([values.as_slice(), &[value]].concat(), weight * own))
        };
        all.iter().flat_map(longer).collect()
    })
}

#[test]
fn a_corrected_guess_is_unbiased_with_the_variance_of_what_it_does_not_say() {
    let (tiny, gradient) = (Tiny::new(), Tiny::new().gradient());
    let guess = first(
        tiny.step(
            &EstimatorConfig { projection: false, ..config("local", Space::Weight, Granularity::Block) },
            None,
            &EstimatorState::default(),
        )
        .update,
    );
    let all_signs: Vec<_> = (0..64).map(|pattern| (signs(pattern, 6), 1.0 / 64.0)).collect();
    for (correct, draws, factor) in
        [(Correction::Rademacher, all_signs, 5.0), (Correction::Gaussian, normal_points(6), 7.0)]
    {
        for (slot, granularity) in
            [("conv.weight", Granularity::Tensor), ("blocks.0", Granularity::Block), ("network", Granularity::Network)]
        {
            for scale in [None, Some(0.3)] {
                let config = EstimatorConfig { correct: Some(correct), ..config("local", Space::Weight, granularity) };
                let number = |name: &str, value| (format!("correct.{slot}.{name}"), value);
                let numbers = scale
                    .map(|scale| [number("product", scale), number("square", 1.0), number("pairs", 20.0)])
                    .into_iter()
                    .flatten();
                let state = EstimatorState { numbers: numbers.collect(), ..Default::default() };
                let rest = gradient.clone().axpy(-scale.unwrap_or(1.0), &guess);
                let (mut mean, mut variance) = (ParamVector::default(), 0.0);
                for (values, weight) in &draws {
                    let given = weight_guess(values.clone());
                    let update = first(tiny.step(&config, Some(&given), &state).update);
                    variance += weight * update.clone().axpy(-1.0, &gradient).norm().powi(2);
                    mean = mean.axpy(*weight, &update);
                }
                assert!(relative(&mean, &gradient) < 1e-12, "{correct} {granularity} {scale:?}");
                let expected = factor * rest.norm().powi(2);
                assert!((variance / expected - 1.0).abs() < 1e-11, "{correct} {granularity} {scale:?}");
            }
        }
    }
}

#[test]
fn a_corrected_guess_is_unbiased_in_activity_space() {
    let (tiny, gradient) = (Tiny::new(), Tiny::new().gradient());
    for granularity in [Granularity::Batch, Granularity::Sample] {
        let guesses = (0..64).map(|pattern| activity_guess(signs(pattern, 6)));
        let correct = Some(Correction::Rademacher);
        let config = EstimatorConfig { correct, ..config("local", Space::Activity, granularity) };
        let (mean, square) = mean_over(&tiny, &config, guesses);
        assert!(relative(&mean, &gradient) < 1e-12, "{granularity}");
        assert!(square > gradient.norm().powi(2), "{granularity}: a correction has its noise");
    }
}

#[test]
fn as_many_projected_directions_as_dimensions_give_the_gradient() {
    let (tiny, gradient) = (Tiny::new(), Tiny::new().gradient());
    let state = EstimatorState::default();
    for (space, granularity, directions) in [
        (Space::Weight, Granularity::Tensor, 6),
        (Space::Weight, Granularity::Block, 8),
        (Space::Weight, Granularity::Network, 6),
        (Space::Activity, Granularity::Sample, 3),
        (Space::Activity, Granularity::Batch, 6),
    ] {
        let config = EstimatorConfig {
            directions,
            combination: AnyCombination::PROJECTION,
            ..config("gaussian", space, granularity)
        };
        let update = first(tiny.step(&config, None, &state).update);
        assert!(relative(&update, &gradient) < 1e-8, "{space} {granularity}");
    }
}

#[test]
fn mixing_over_all_signs_is_one_tangent_a_slot_for_any_baseline() {
    let case = Case::new(
        "mlp",
        foregrad::models::Norm::Batch,
        foregrad::models::Norm::Batch,
        foregrad::models::HeadKind::Linear,
    );
    let separate = EstimatorConfig { granularity: Some(Granularity::Block), ..Default::default() };
    let wanted = case.step(&separate).update;
    for baseline in [0.0, 0.7] {
        let names = ["blocks.0", "blocks.1"];
        let numbers = names.map(|name| (format!("mix.{name}"), baseline)).into();
        let state = EstimatorState { numbers, ..Default::default() };
        // Two slots have four sign patterns; steps are tried until each has been seen once.
        let mut seen = std::collections::BTreeMap::new();
        for step in 0..200 {
            let input = StepInput { step, ..case.input() };
            // The streams of blocks have kept the name of the first runs.
            let stream = |name: &str| Stream::new(3, "mix").at(step).named(&name.replace("blocks", "block"));
            let signs = names.map(|name| stream(name).at(0).signs(1)[0] > 0.0);
            let mixed = EstimatorConfig { mix: Some(1), ..separate.clone() };
            seen.entry(signs).or_insert_with(|| {
                estimate::step(&mixed, &case.network, &input, &state).expect("a valid estimator").update
            });
        }
        assert_eq!(seen.len(), 4);
        let sum = seen.values().fold(ParamVector::default(), |sum, update| sum.axpy(0.25, update));
        assert!(relative(&sum, &wanted) < 1e-12, "baseline {baseline}");
    }
}

#[test]
fn a_guess_that_is_the_target_reproduces_the_gradient() {
    let case = Case::new(
        "small-net",
        foregrad::models::Norm::Batch,
        foregrad::models::Norm::Batch,
        foregrad::models::HeadKind::Linear,
    );
    let gradient = case.gradient();
    let config = EstimatorConfig {
        guess_horizon: estimate::Horizon::GLOBAL,
        train_heads: estimate::TrainHeads::No,
        ..Default::default()
    };
    for granularity in [Granularity::Tensor, Granularity::Block, Granularity::Network] {
        let update = case.step(&EstimatorConfig { granularity: Some(granularity), ..config.clone() }).update;
        let update = update.filtered(|path| !path.starts_with("heads."));
        let gradient = gradient.filtered(|path| !path.starts_with("heads."));
        assert!(relative(&update, &gradient) < 1e-10, "{granularity}");
    }
}
