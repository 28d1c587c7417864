//! Noise pulled back through semi-orthogonal weights: the guess by its own formula, and forward mode against the oracle.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::{Case, largest_deviation, relative};
use foregrad::estimate::{self, Block, Collect, EstimatorConfig, EstimatorState, Mode, StepInput, View};
use foregrad::layers::{Layer, Phase};
use foregrad::models::{HeadKind, ModelConfig, NetworkSpec, Norm};
use foregrad::ops::host;
use foregrad::rng::Stream;
use foregrad::settings::Settings;
use foregrad::vector::ParamVector;
use nalgebra::{DMatrix, SVD};

/// Convolutions of every kind: 3x3 with and without groups, a stride, one output a channel.
const NETWORK: &str = r#"
name = "convolutions"
blocks = [
    { layers = [{ layer = "conv2d", outputs = 6, kernel = 3, padding = 1 }, "relu"] },
    { layers = [{ layer = "conv2d", outputs = 8, kernel = 3, padding = 1 }, "relu"] },
    { layers = [{ layer = "conv2d", outputs = 6, kernel = 3, stride = 2, groups = 2, bias = true }, "relu"] },
    { layers = [{ layer = "conv2d", outputs = 12, kernel = 3, padding = 1, groups = "inputs" }, "relu"] },
    { layers = [{ layer = "conv2d", outputs = 4, kernel = 1 }, "relu"] },
]
"#;

fn case() -> Case {
    let spec = NetworkSpec::from_toml(NETWORK).expect("a spec");
    let model =
        ModelConfig { name: spec.name.clone(), network: Some(spec), head: HeadKind::Linear, ..Default::default() };
    Case::with(&model, [3, 9, 7], 2)
}

fn orthogonal(settings: &[(&str, &str)]) -> EstimatorConfig {
    let mut config = EstimatorConfig::default();
    let all = [("guess", "upstream"), ("guesses.upstream.weights", "orthogonal")];
    all.iter().chain(settings).for_each(|(key, value)| config.set(key, value).expect("a setting"));
    config
}

/// The guesses of a step, as they were made.
fn guesses(case: &Case, config: &EstimatorConfig) -> ParamVector {
    let input = StepInput { collect: Collect::Everything, ..case.input() };
    estimate::step(config, &case.network, &input, &EstimatorState::default()).expect("a step").guesses
}

/// What a convolution is made of.
struct Convolution {
    stride: usize,
    padding: usize,
    groups: usize,
}

/// `W` as the matrix of a window of all input channels, `[outputs, inputs kh kw]`, its `rank` largest singular values 1 and all others 0.
fn with_ones(weight: &Tensor<4>, groups: usize, rank: usize) -> DMatrix<f64> {
    let [outputs, inputs, height, width] = weight.dims();
    let (values, window) = (host(weight.clone()), inputs * height * width);
    let own = outputs / groups;
    let matrix = DMatrix::from_fn(outputs, groups * window, |output, column| {
        if column / window == output / own { values[output * window + column % window] } else { 0.0 }
    });
    let SVD { u, v_t, singular_values } = SVD::new(matrix, true, true);
    let ones = singular_values.iter().filter(|value| **value > 1e-9).count().min(rank);
    u.expect("vectors").columns(0, ones) * v_t.expect("vectors").rows(0, ones)
}

/// `x_bar` of `y = x * W`, tap by tap, for the matrix of a window of all input channels.
fn transposed(matrix: &DMatrix<f64>, y_bar: &Tensor<4>, shape: [usize; 4], convolution: &Convolution) -> Vec<f64> {
    let [samples, channels, height, width] = shape;
    let [_, outputs, rows, columns] = y_bar.dims();
    let side = ((matrix.ncols() / channels) as f64).sqrt() as usize;
    let (bars, mut x_bar) = (host(y_bar.clone()), vec![0.0; samples * channels * height * width]);
    let Convolution { stride, padding, .. } = *convolution;
    for (place, bar) in bars.iter().enumerate() {
        let (column, row) = (place % columns, place / columns % rows);
        let (output, sample) = (place / (columns * rows) % outputs, place / (columns * rows * outputs));
        for tap in 0..matrix.ncols() {
            let (channel, y, x) = (tap / (side * side), tap / side % side, tap % side);
            let (y, x) = ((row * stride + y).wrapping_sub(padding), (column * stride + x).wrapping_sub(padding));
            if y < height && x < width {
                x_bar[((sample * channels + channel) * height + y) * width + x] += matrix[(output, tap)] * bar;
            }
        }
    }
    x_bar
}

#[test]
fn the_guess_is_masked_noise_through_the_nearest_semi_orthogonal_matrix() {
    let case = case();
    let convolutions =
        [(1, 1, 1), (2, 0, 2), (1, 1, 6)].map(|(stride, padding, groups)| Convolution { stride, padding, groups });
    for (rank, setting) in [(usize::MAX, "off"), (3, "3")] {
        let config = orthogonal(&[("space", "activity"), ("guesses.upstream.rank", setting), ("directions", "2")]);
        let found = guesses(&case, &config);
        for (block, convolution) in convolutions.iter().enumerate() {
            let (next, shape) = (&case.network.blocks[block + 1], case.images_after(block));
            let weight = next.parameters().get::<4>("0.weight").expect("a convolution");
            let matrix = with_ones(&weight, convolution.groups, rank);
            let inputs = case.network.blocks[..=block].iter();
            let x = inputs.fold(case.images.clone(), |x, block| block.forward(x, Phase::Train.into()).0);
            let y = next.forward(x, Phase::Train.into()).0;
            for direction in 0..2 {
                let stream = Stream::new(3, "guess").at(4).at(block as u64).named("upstream").at(direction);
                let noise = stream.normal_tensor::<4>(y.dims(), &common::double());
                let masked = noise * y.clone().greater_elem(0.0).float().cast(burn::tensor::DType::F64);
                let expected = transposed(&matrix, &masked, shape, convolution);
                let own = host(found.get::<4>(&format!("{direction}.blocks.{block}")).expect("a guess"));
                let gap = own.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                let size = expected.iter().map(|b| b * b).sum::<f64>().sqrt();
                assert!(size > 0.1 && gap / size < 1e-12, "block {block}, rank {setting}: {gap:e} of {size}");
            }
        }
    }
}

#[test]
fn forward_mode_agrees_with_the_oracle_in_every_network() {
    for (name, norm) in
        [("small-net", Norm::Batch), ("resnet18-8b", Norm::Batch), ("local-mixer", Norm::Group), ("mlp", Norm::Group)]
    {
        let case = if name == "local-mixer" {
            let model = ModelConfig { name: name.into(), width: 0.0625, head: HeadKind::Linear, ..Default::default() };
            Case::with(&model, [2, 8, 8], 4)
        } else {
            Case::new(name, norm, norm, HeadKind::Linear)
        };
        for settings in [
            &[("granularity", "network"), ("directions", "2")][..],
            &[("granularity", "block"), ("guesses.upstream.rank", "2")],
            &[("space", "activity"), ("granularity", "batch"), ("guesses.upstream.rank", "1")],
        ] {
            let config = orthogonal(settings);
            let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(|mode| {
                let granularity = Some(config.granularity());
                case.step(&EstimatorConfig { mode, granularity, ..config.clone() })
            });
            let deviation = largest_deviation(&forward, &oracle);
            assert!(deviation < 1e-10, "{name}, {settings:?}: {deviation:e}");
        }
    }
}

#[test]
fn the_networks_own_weights_give_another_guess_and_stay_as_they_are() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    let bits = || -> Vec<u64> {
        case.network.state().iter().flat_map(|(_, entry)| host(entry.values())).map(f64::to_bits).collect()
    };
    let before = bits();
    let own = guesses(&case, &orthogonal(&[("guesses.upstream.weights", "own")]));
    let full = guesses(&case, &orthogonal(&[]));
    let ranked = guesses(&case, &orthogonal(&[("guesses.upstream.rank", "2")]));
    for (a, b) in [(&own, &full), (&own, &ranked), (&full, &ranked)] {
        assert!(relative(a, b) > 0.1);
    }
    assert_eq!(bits(), before);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let case = case();
    let fixed = common::Fixed(&case.network.blocks[2]);
    let mut view = View::new(&case.network);
    view.blocks[2] = &fixed as &Block;
    let step = |config: &EstimatorConfig| {
        estimate::step_on(config, &view, &case.input(), &EstimatorState::default()).map(drop)
    };
    step(&orthogonal(&[("guesses.upstream.weights", "own")])).expect("nothing is copied");
    let error = step(&orthogonal(&[])).expect_err("a copy").to_string();
    assert!(error.contains("block 2 cannot be copied") && error.contains("upstream.weights = own`"), "{error}");
    let error = orthogonal(&[("guesses.upstream.rank", "0")]).validate(5).expect_err("no rank").to_string();
    assert!(error.starts_with("estimator.guesses.upstream.rank is 0; expected at least 1"), "{error}");
    let own = orthogonal(&[("guesses.upstream.weights", "own"), ("guesses.upstream.rank", "2")]);
    let error = own.validate(5).expect_err("a rank of what is not changed").to_string();
    assert!(error.contains("`estimator.guesses.upstream.weights = orthogonal`"), "{error}");
}
