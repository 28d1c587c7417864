//! The guess `feedback`: what its matrices expect, follow and become, each by numbers that are known.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::feedback::{ADAM, ALIGNMENT, KOLEN_POLLACK, MEAN, TARGETS, config};
use common::{double, relative};
use foregrad::estimate::{
    self, Collect, EstimatorConfig, EstimatorState, FeedbackConfig, FeedbackStart, Granularity, Mode, Space, StepInput,
    StepOutput,
};
use foregrad::layers::{Conv2dConfig, Flatten, Gelu, Layer, Linear, Phase, Sequential, Wanted};
use foregrad::losses::{CrossEntropy, Labels};
use foregrad::models::{Head, LossHead};
use foregrad::ops;
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;

/// Three blocks whose samples are apart, and a classifier: the first two are estimated.
struct Tiny {
    blocks: [Sequential; 3],
    net: Sequential,
    images: Tensor<4>,
    labels: Labels,
}

/// Channels of the outputs that are estimated: a row of a Hadamard matrix of order 8 is noise for both.
const CHANNELS: [usize; 2] = [3, 5];
const CLASSES: usize = 3;

impl Tiny {
    fn new(samples: usize) -> Self {
        let (placement, stream) = (double(), Stream::new(0, "tiny"));
        let conv = |name: &str, channels| Conv2dConfig::new(channels, 1).init(stream.named(name), &placement);
        let block = |name: &str, channels| Sequential::new().with(name, conv(name, channels)).with("gelu", Gelu);
        let linear = Linear::new([4, CLASSES], true, stream.named("fc"), &placement);
        Self {
            blocks: [block("a", [2, 3]), block("b", [3, 5]), block("c", [5, 4])],
            net: Sequential::new().with("flat", Flatten).with("fc", linear),
            images: stream.named("images").normal_tensor([samples, 2, 1, 1], &placement),
            labels: Labels::classes((0..samples).map(|sample| sample % CLASSES).collect(), CLASSES),
        }
    }

    fn step(&self, config: &EstimatorConfig, given: Option<&ParamVector>, state: &EstimatorState) -> StepOutput {
        let collect = Collect::Everything;
        let input = StepInput { given, collect, ..StepInput::new(self.images.clone(), &self.labels, 0, 0) };
        self.try_step(config, &input, state).expect("a valid estimator")
    }

    fn try_step(
        &self,
        config: &EstimatorConfig,
        input: &StepInput<'_>,
        state: &EstimatorState,
    ) -> foregrad::Result<StepOutput> {
        let classifier = Head::new(self.net.clone(), CrossEntropy::default());
        let view = estimate::View {
            blocks: self.blocks.iter().map(|block| block as &estimate::Block).collect(),
            losses: vec![None, None, Some(&classifier as &dyn LossHead)],
            prefixes: vec!["", "", ""],
            targets: Vec::new(),
        };
        estimate::step_on(config, &view, input, state)
    }

    /// The outputs of the blocks and of the classifier's net, with what each forward map saved.
    fn values(&self) -> Vec<Tensor<4>> {
        let mut x = self.images.clone();
        let through = |block: &Sequential| {
            x = block.forward(x.clone(), Phase::Train.into()).0;
            x.clone()
        };
        self.blocks.iter().chain([&self.net]).map(through).collect()
    }

    /// The gradient of the mean loss at the classifier's outputs: `(softmax - one hot) / n`.
    fn error(&self) -> Tensor<2> {
        let outputs: Tensor<2> = self.values().pop().expect("the net's").flatten(1, 3);
        let samples = outputs.dims()[0] as f64;
        (burn::tensor::activation::softmax(outputs, 1) - self.labels.rows(&double())) / samples
    }

    /// The mean over samples of the Jacobian of the outputs with respect to a block's, `[classes, c, 1, 1]`.
    fn jacobian(&self, block: usize) -> Tensor<4> {
        let samples = self.images.dims()[0];
        let values = self.values();
        let row = |class: usize| {
            let bar: Vec<f64> = (0..samples * CLASSES).map(|i| f64::from(u8::from(i % CLASSES == class))).collect();
            let mut bar = double().tensor(bar, [samples, CLASSES, 1, 1]);
            for place in (block..self.blocks.len()).rev() {
                let (maps, x) = (self.blocks.get(place + 1).unwrap_or(&self.net), &values[place]);
                let saved = maps.forward(x.clone(), Phase::Train.into()).1;
                bar = maps.cotangent(&saved, bar, Wanted::INPUT).input();
            }
            bar.mean_dim(0)
        };
        Tensor::cat((0..CLASSES).map(row).collect(), 0)
    }
}

/// A state that holds matrices.
fn holding(matrices: [Tensor<4>; 2]) -> EstimatorState {
    let mut state = EstimatorState::default();
    for (block, matrix) in matrices.into_iter().enumerate() {
        state.tensors.insert(format!("guess.feedback.blocks.{block}"), matrix);
    }
    state
}

fn matrix(output: &StepOutput, block: usize) -> Tensor<4> {
    output.state.tensors.get(&format!("guess.feedback.blocks.{block}")).expect("a matrix")
}

fn assert_close(found: Tensor<4>, expected: Tensor<4>, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let gap = ops::largest_magnitude(&(found - expected));
    assert!(gap < 1e-13, "{what}: {gap:e}");
}

/// `e_i B`, `[n, c, 1, 1]`.
fn fed_back(error: Tensor<2>, matrix: Tensor<4>) -> Tensor<4> {
    let [outputs, channels, ..] = matrix.dims();
    let samples = error.dims()[0];
    error.matmul(matrix.reshape([outputs, channels])).reshape([samples, channels, 1, 1])
}

fn direction(output: &StepOutput, block: usize) -> Tensor<4> {
    output.guesses.get(&format!("0.blocks.{block}")).expect("a direction")
}

/// The mean over the rows of a Hadamard matrix, whose mean `p p^T` is 1, is the expectation without any sampling.
#[test]
fn the_matrices_expect_the_mean_jacobian_of_each_sample() {
    let tiny = Tiny::new(4);
    let mut means = CHANNELS.map(|channels| double().zeros([CLASSES, channels, 1, 1]));
    for row in 0..8u32 {
        let mut columns = (0..8u32).map(|column| if (row & column).count_ones() % 2 == 0 { 1.0 } else { -1.0 });
        let mut noise = ParamVector::default();
        for (block, channels) in CHANNELS.into_iter().enumerate() {
            let own: Vec<f64> = columns.by_ref().take(channels).collect();
            noise.insert::<4>(format!("noise.blocks.{block}"), double().tensor(own.repeat(4), [4, channels, 1, 1]));
        }
        // From zero the first mean is the estimate itself.
        let output = tiny.step(&config(MEAN), Some(&noise), &EstimatorState::default());
        for (block, mean) in means.iter_mut().enumerate() {
            *mean = mean.clone() + matrix(&output, block) / 8.0;
        }
    }
    for (block, mean) in means.into_iter().enumerate() {
        assert_close(mean, tiny.jacobian(block), &format!("block {block}"));
    }
}

#[test]
fn a_sample_alone_with_its_own_jacobian_learns_by_its_gradient() {
    let tiny = Tiny::new(1);
    let exact = EstimatorConfig { guess: "exact".parse().expect("a guess"), mode: Mode::Oracle, ..Default::default() };
    let gradient = tiny.step(&exact, None, &EstimatorState::default()).update;
    let state = holding([tiny.jacobian(0), tiny.jacobian(1)]);
    for space in [Space::Activity, Space::Weight] {
        for projection in [true, false] {
            let granularity = (space == Space::Weight).then_some(Granularity::Block);
            let config = EstimatorConfig { space, granularity, projection, ..config(MEAN) };
            let update = tiny.step(&config, None, &state).update;
            assert!(relative(&update, &gradient) < 1e-12, "{space}, {projection}");
        }
    }
}

#[test]
fn the_direction_is_the_error_or_the_labels_by_the_matrix_before_the_step() {
    let tiny = Tiny::new(3);
    let kept = [0, 1].map(|block| {
        Stream::new(5, "kept").at(block).normal_tensor([CLASSES, CHANNELS[block as usize], 1, 1], &double())
    });
    let targets = tiny.labels.rows(&double()) / -3.0;
    for (settings, error) in [
        (MEAN, tiny.error()),
        (ADAM, tiny.error()),
        (ALIGNMENT, tiny.error()),
        (KOLEN_POLLACK, tiny.error()),
        (TARGETS, targets),
    ] {
        let output = tiny.step(&config(settings.clone()), None, &holding(kept.clone()));
        for (block, kept) in kept.iter().enumerate() {
            let expected = fed_back(error.clone(), kept.clone());
            assert_close(direction(&output, block), expected, &format!("{settings:?}, block {block}"));
            let moved = ops::largest_magnitude(&(matrix(&output, block) - kept.clone()));
            assert_eq!(moved > 0.0, settings.rate > 0.0, "{settings:?}, block {block}");
        }
    }
}

/// One step of the rule after another, from the noise that the step tells of.
#[test]
fn a_mean_from_zero_is_the_mean_of_what_it_follows_weighted_by_age() {
    let tiny = Tiny::new(3);
    let (mut state, mut weighted, mut weights) = (EstimatorState::default(), None, 0.0);
    for seed in 0..3 {
        let noise = noise(seed);
        let output = tiny.step(&config(MEAN), Some(&noise), &state);
        // From zero, the first step's matrix is what is followed.
        let followed = tiny.step(&config(MEAN), Some(&noise), &EstimatorState::default());
        weighted = Some(match weighted {
            None => matrix(&followed, 1),
            Some(past) => past * (1.0 - MEAN.rate) + matrix(&followed, 1),
        });
        weights = weights * (1.0 - MEAN.rate) + 1.0;
        assert_close(matrix(&output, 1), weighted.clone().expect("a sum") / weights, &format!("step {seed}"));
        state = output.state;
        assert_eq!(state.numbers["guess.feedback.steps.blocks.1"], seed as f64 + 1.0);
    }
    // A start that is no zero is a value of its own, and is not corrected.
    let begun = FeedbackConfig { start: FeedbackStart::Uniform, ..MEAN };
    let (output, followed) = (
        tiny.step(&config(begun), Some(&noise(0)), &holding(CHANNELS.map(|c| double().ones([CLASSES, c, 1, 1])))),
        tiny.step(&config(MEAN), Some(&noise(0)), &EstimatorState::default()),
    );
    assert_close(matrix(&output, 0), matrix(&followed, 0) * 0.25 + 0.75, "uniform start");
}

/// Noise of both blocks for three samples.
fn noise(seed: u64) -> ParamVector {
    let mut noise = ParamVector::default();
    for (block, channels) in CHANNELS.into_iter().enumerate() {
        let stream = Stream::new(seed, "noise").at(block as u64);
        noise.insert::<4>(format!("noise.blocks.{block}"), stream.normal_tensor([3, channels, 1, 1], &double()));
    }
    noise
}

/// `m = 0.9 m + 0.1 g`, `v = 0.999 v + 0.001 g^2`, `B -= a (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + 1e-8)`, `g = B - estimate`.
#[test]
fn adam_moves_the_matrices_as_the_published_code_does() {
    let tiny = Tiny::new(3);
    let mut state = EstimatorState::default();
    let mut expected = vec![0.0; CLASSES * CHANNELS[0]];
    let (mut m, mut v) = (expected.clone(), expected.clone());
    for step in 1..=3 {
        let noise = noise(step as u64);
        let output = tiny.step(&config(ADAM), Some(&noise), &state);
        let followed = ops::host(matrix(&tiny.step(&config(MEAN), Some(&noise), &EstimatorState::default()), 0));
        for (place, value) in expected.iter_mut().enumerate() {
            let gradient = *value - followed[place];
            m[place] = 0.9 * m[place] + 0.1 * gradient;
            v[place] = 0.999 * v[place] + 0.001 * gradient * gradient;
            let (first, second) = (m[place] / (1.0 - 0.9f64.powi(step)), v[place] / (1.0 - 0.999f64.powi(step)));
            *value -= 0.01 * first / (second.sqrt() + 1e-8);
        }
        let found = ops::host(matrix(&output, 0));
        let gap = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Its weights of the past are single-precision numbers.
        assert!(gap < 1e-7, "step {step}: {gap:e}");
        state = output.state;
    }
}

/// `B -= a (sum_i e_i (x) y_i + w B)`, the step of a last layer's weights on that output.
#[test]
fn kolen_pollack_moves_the_matrices_as_a_last_layers_weights() {
    let tiny = Tiny::new(3);
    let kept = CHANNELS.map(|channels| Stream::new(6, "kept").normal_tensor([CLASSES, channels, 1, 1], &double()));
    let output = tiny.step(&config(KOLEN_POLLACK), None, &holding(kept.clone()));
    for (block, kept) in kept.into_iter().enumerate() {
        let y: Tensor<2> = tiny.values()[block].clone().flatten(1, 3);
        let gradient = tiny.error().transpose().matmul(y).reshape(kept.dims()) + kept.clone() * 0.1;
        assert_close(matrix(&output, block), kept - gradient * 0.5, &format!("block {block}"));
    }
}

#[test]
fn a_state_of_another_network_is_refused() {
    let tiny = Tiny::new(3);
    let right = tiny.step(&config(ADAM), None, &EstimatorState::default()).state;
    let refused = |path: &str, tensor: Tensor<4>| {
        let mut state = right.clone();
        state.tensors.insert(path, tensor);
        let labels = &tiny.labels;
        let error = tiny.try_step(&config(ADAM), &StepInput::new(tiny.images.clone(), labels, 0, 0), &state);
        error.map(drop).expect_err(path).to_string()
    };
    for path in ["blocks.0", "moment_1.blocks.1", "moment_2.blocks.0"] {
        let path = format!("guess.feedback.{path}");
        for shape in [[CLASSES, 4, 1, 1], [CLASSES, 3, 2, 1], [2, 3, 1, 1], [1, 1, 1, 1]] {
            let error = refused(&path, double().ones(shape));
            assert!(error.contains(&format!("the state {path} is of shape {shape:?}")), "{error}");
        }
    }
}

#[test]
fn noise_that_nothing_takes_is_refused() {
    let tiny = Tiny::new(3);
    let refused = |settings, noise: &ParamVector| {
        let input = StepInput { given: Some(noise), ..StepInput::new(tiny.images.clone(), &tiny.labels, 0, 0) };
        let error = tiny.try_step(&config(settings), &input, &EstimatorState::default());
        error.map(drop).expect_err("no such noise").to_string()
    };
    for settings in [ALIGNMENT, TARGETS, KOLEN_POLLACK] {
        let error = refused(settings, &noise(0));
        assert!(error.contains("no guess of this estimator learns from noise"), "{error}");
    }
    for (path, shape, why) in [
        ("noise.blocks.2", [3, 4, 1, 1], "did you mean `noise.blocks.0`"),
        ("noise.block.0", [3, 3, 1, 1], "did you mean `noise.blocks.0`"),
        ("noise.blocks.1", [3, 4, 1, 1], "expected shape [3, 5, 1, 1]"),
        ("noise.blocks.1", [2, 5, 1, 1], "expected shape [3, 5, 1, 1]"),
    ] {
        let mut wrong = ParamVector::default();
        wrong.insert(path, double().zeros(shape));
        let error = refused(MEAN, &wrong);
        assert!(error.contains(path) && error.contains(why), "{error}");
    }
}
