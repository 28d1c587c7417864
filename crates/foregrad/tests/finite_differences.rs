//! Finite differences: the derivative's error, what is moved and what is not, what it costs, what is refused.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::{DType, Device};
use common::{Case, double, relative};
use foregrad::check::{MapCounts, count_maps};
use foregrad::estimate::{
    self, Block, Collect, EstimatorConfig, EstimatorState, LastBlock, Mode, Space, StepInput, StepOutput, TrainHeads,
    View,
};
use foregrad::layers::{Layer, Phase};
use foregrad::losses::Labels;
use foregrad::models::{HeadKind, ModelConfig, Network, NetworkSpec, Norm};
use foregrad::ops::host;
use foregrad::rng::{Placement, Stream};
use foregrad::settings::Settings;
use foregrad::vector::ParamVector;

/// Smooth maps throughout, batch statistics, and draws that both sides have to share.
const SMOOTH: &str = r#"
name = "smooth"
blocks = [
    { layers = [{ layer = "conv2d", outputs = 4, kernel = 3, padding = 1 }, "batch-norm", "gelu"] },
    { layers = [{ layer = "conv2d", outputs = 5, kernel = 3, stride = 2 }, "gelu", { layer = "dropout", rate = 0.3 }] },
    { layers = [{ layer = "conv2d", outputs = 6, kernel = 3, padding = 1 }, "batch-norm", "gelu"] },
]
"#;

fn smooth() -> Case {
    let spec = NetworkSpec::from_toml(SMOOTH).expect("a spec");
    let model =
        ModelConfig { name: spec.name.clone(), network: Some(spec), head: HeadKind::Linear, ..Default::default() };
    Case::with(&model, [2, 9, 11], 6)
}

/// An estimator of these settings.
fn config(settings: &[(&str, &str)]) -> EstimatorConfig {
    let mut config = EstimatorConfig { mode: Mode::FiniteDifference, ..Default::default() };
    settings.iter().for_each(|(key, value)| config.set(key, value).expect("a setting"));
    config
}

/// Of every kind of guess that there is in weight space, by settings.
const GUESSES: &[&[(&str, &str)]] = &[
    &[("guess", "gaussian")],
    &[("guess", "gaussian"), ("last-block", "estimated")],
    &[("guess", "gaussian"), ("last-block", "estimated"), ("train-heads", "yes")],
    &[("guess", "rademacher"), ("directions", "3"), ("combination", "max-normalised")],
    &[("guess", "low-rank"), ("directions", "2"), ("last-block", "estimated")],
    &[("guess", "gaussian"), ("directions", "3"), ("combination", "projection-length")],
    &[("guess", "local")],
    &[("guess", "local"), ("guess-horizon", "1")],
    &[("guess", "ntk"), ("directions", "2")],
    &[("guess", "fixed-ntk")],
    &[("guess", "upstream"), ("directions", "2")],
    &[("guess", "momentum"), ("directions", "2")],
    &[("guess", "local+gaussian:2")],
    &[("guess", "gaussian:2+rademacher"), ("last-block", "estimated")],
    &[("guess", "upstream"), ("guesses.upstream.weights", "orthogonal")],
    &[("guess", "feedback"), ("guesses.feedback.start", "uniform")],
    &[("guess", "local"), ("correct", "gaussian")],
];

#[test]
fn the_error_is_of_the_order_of_the_steps_square() {
    let case = smooth();
    for settings in GUESSES {
        let differences = config(settings);
        let exact = case.step(&EstimatorConfig { mode: Mode::Forward, ..differences.clone() });
        let error = |finite_difference_step| {
            let update = case.step(&EstimatorConfig { finite_difference_step, ..differences.clone() }).update;
            relative(&update, &exact.update)
        };
        let [wide, half] = [2e-3, 1e-3].map(|step| error(Some(step)));
        assert!(wide < 0.02, "{settings:?}: {wide:e}");
        assert!((3.9..4.1).contains(&(wide / half)), "{settings:?}: half the step has {:.3} of the error", half / wide);
        let by_default = error(None);
        assert!(by_default < 1e-5, "{settings:?}: {by_default:e} by default");
    }
}

/// Rectifiers that switch ask for a small step, the losses' rounding for one that is not too small.
#[test]
fn the_default_step_suits_rectifiers_in_single_precision() {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let model = ModelConfig { width: 0.1, head: HeadKind::Linear, ..Default::default() };
    let network = model.init([2, 9, 11], 3, 7, &placement).expect("a model");
    let images = Stream::new(1, "images").normal_tensor([32, 2, 9, 11], &placement);
    let labels = Labels::classes((0..32).map(|sample| sample % 3).collect(), 3);
    let scalar = |config: &EstimatorConfig, step| {
        let input = StepInput::new(images.clone(), &labels, 3, step);
        let output = estimate::step(config, &network, &input, &EstimatorState::default()).expect("a step");
        output.scalars[0].values[0][0]
    };
    let differences = config(&[("guess", "rademacher")]);
    let forward = EstimatorConfig { mode: Mode::Forward, ..differences.clone() };
    let exact: Vec<f64> = (0..4).map(|step| scalar(&forward, step)).collect();
    let error = |finite_difference_step| {
        let config = EstimatorConfig { finite_difference_step, ..differences.clone() };
        let gaps = exact.iter().zip(0..).map(|(exact, step)| (scalar(&config, step) - exact).powi(2));
        (gaps.sum::<f64>() / exact.iter().map(|exact| exact * exact).sum::<f64>()).sqrt()
    };
    let [wide, by_default, narrow] = [Some(1e-2), None, Some(1e-8)].map(error);
    assert!(by_default < 0.1 && by_default < wide && by_default < narrow, "{wide:e}, {by_default:e}, {narrow:e}");
}

/// The part of an update that is estimated.
fn estimated(case: &Case, update: &ParamVector) -> ParamVector {
    let own: Vec<ParamVector> = (0..case.depth() - 1).map(|block| case.network.block_parameters(block)).collect();
    update.filtered(|path| own.iter().any(|block| block.entry(path).is_some()))
}

/// The network with its weights moved.
fn moved(case: &Case, along: f64, direction: &ParamVector) -> Network {
    let mut network = case.network.clone();
    network.assign(&case.network.parameters().axpy(along, direction));
    network
}

/// Loss and batch statistics of a network without dropout, by its blocks' own forward maps.
fn evaluate(case: &Case, network: &Network) -> (f64, ParamVector) {
    let (mut x, mut statistics) = (case.images.clone(), ParamVector::default());
    for (number, block) in network.blocks.iter().enumerate() {
        let (y, saved) = block.forward(x, Phase::Train.into());
        statistics.extend(block.statistics(&saved).prefixed(network.prefix(number)));
        x = y;
    }
    (network.classifier.forward(x, &case.labels, Phase::Train.into()).0.loss, statistics)
}

#[test]
fn both_sides_are_moved_by_the_step_and_moving_averages_take_their_mean() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    for settings in
        [&[("guess", "gaussian")][..], &[("guess", "rademacher"), ("last-block", "estimated")], &[("guess", "local")]]
    {
        let step = 0.01;
        let config = EstimatorConfig { finite_difference_step: Some(step), ..config(settings) };
        let input = StepInput { collect: Collect::Everything, ..case.input() };
        let output = estimate::step(&config, &case.network, &input, &EstimatorState::default()).expect("a step");
        let direction = output.guesses.scoped("0");
        let along = step * (direction.dimension() as f64).sqrt() / direction.norm();
        let [above, below] = [along, -along].map(|along| evaluate(&case, &moved(&case, along, &direction)));
        let derivative = (above.0 - below.0) / (2.0 * along);
        let found = output.scalars[0].values[0][0];
        let expected = if config.guess.support().is_random { derivative } else { derivative / direction.norm() };
        assert!((found / expected - 1.0).abs() < 1e-9, "{settings:?}: {found} instead of {expected}");
        let trunk = output.statistics.filtered(|path| !path.starts_with("heads."));
        let mean = above.1.axpy(1.0, &below.1).scaled(0.5);
        assert!(relative(&trunk, &mean) < 1e-12, "{settings:?}");
        let loss = output.evaluations.last().copied().flatten().expect("the network's loss").loss;
        let at_rest = evaluate(&case, &case.network).0;
        let expected = if config.last_block == LastBlock::Exact { at_rest } else { (above.0 + below.0) / 2.0 };
        assert!((loss - expected).abs() < 1e-12, "{settings:?}: {loss} instead of {expected}");
    }
}

#[test]
fn no_bit_of_the_networks_own_weights_changes() {
    let case = smooth();
    let bits = |network: &Network| -> Vec<u64> {
        let state = network.state();
        state.iter().flat_map(|(_, entry)| host(entry.values())).map(f64::to_bits).collect()
    };
    let before = bits(&case.network);
    for settings in GUESSES {
        let output = case.step(&config(settings));
        assert!(estimated(&case, &output.update).norm() > 0.0, "{settings:?}");
        assert_eq!(bits(&case.network), before, "{settings:?}");
    }
}

#[test]
fn a_direction_of_zero_moves_nothing_and_gives_nothing() {
    let case = smooth();
    let config = config(&[("guess", "gaussian")]);
    let input = StepInput { collect: Collect::Everything, ..case.input() };
    let step = |input: &StepInput<'_>| -> StepOutput {
        estimate::step(&config, &case.network, input, &EstimatorState::default()).expect("a step")
    };
    let zero = step(&input).guesses.zeros_like();
    let output = step(&StepInput { given: Some(&zero), ..input });
    assert_eq!(estimated(&case, &output.update).norm(), 0.0);
    assert_eq!(output.scalars[0].values, [[0.0]]);
}

#[test]
fn two_forward_passes_are_all_that_it_takes() {
    let case = Case::new("resnet18-8b", Norm::Batch, Norm::Batch, HeadKind::Linear);
    let depth = case.depth();
    let counts =
        |settings: &[(&str, &str)]| count_maps(&config(settings), &case.network, &case.input()).expect("a step");
    let [two, three] = [2, 3].map(|passes| MapCounts { forward: passes * depth, ..Default::default() });
    assert_eq!(counts(&[("guess", "gaussian"), ("last-block", "estimated")]), two);
    // The exact last block is a third one.
    let exact = counts(&[("guess", "rademacher")]);
    assert_eq!(exact, MapCounts { cotangent_inside: 1, classifier_cotangent: 1, ..three });
    let directions = counts(&[("guess", "gaussian"), ("last-block", "estimated"), ("directions", "3")]);
    assert_eq!(directions, MapCounts { forward: 6 * depth, ..Default::default() });
    let local = counts(&[("guess", "local")]);
    assert_eq!((local.forward, local.tangent, local.cotangent_across), (3 * depth, 0, 0), "{local:?}");
}

#[test]
fn a_block_without_copies_is_refused() {
    let case = smooth();
    let fixed = common::Fixed(&case.network.blocks[1]);
    let mut view = View::new(&case.network);
    view.blocks[1] = &fixed as &Block;
    let step = |mode| {
        let config = EstimatorConfig { mode, ..config(&[("guess", "gaussian")]) };
        estimate::step_on(&config, &view, &case.input(), &EstimatorState::default()).map(drop)
    };
    step(Mode::Forward).expect("nothing is copied");
    let error = step(Mode::FiniteDifference).expect_err("a copy").to_string();
    assert!(error.contains("block 1 cannot be copied") && error.contains("`estimator.mode = forward`"), "{error}");
}

#[test]
fn what_has_no_meaning_names_the_nearest_that_has() {
    for (settings, reason, way_out) in [
        (&[("space", "activity")][..], "move weights, not outputs", "`estimator.space = weight`"),
        (&[("target", "local")], "the target must be global", "`estimator.target = global`"),
        (&[("granularity", "tensor")], "the network is one slot", "`estimator.granularity = network`"),
        (&[("granularity", "block")], "the network is one slot", "`estimator.granularity = network`"),
        (&[("mix", "2")], "nothing to mix", "`estimator.mix = off`"),
        (&[("guess", "exact")], "needs no difference", "`estimator.guess = gaussian`, or `estimator.mode = oracle`"),
    ] {
        let error = config(settings).validate(6).expect_err(reason).to_string();
        assert!(error.contains(reason) && error.contains(way_out), "{error}");
    }
    for wrong in [0.0, -1e-3, f64::NAN, f64::INFINITY] {
        let config = EstimatorConfig { finite_difference_step: Some(wrong), ..Default::default() };
        let error = config.validate(6).expect_err("no step").to_string();
        assert!(error.starts_with("estimator.finite-difference-step is"), "{error}");
    }
    let fits = config(&[("guess", "gaussian")]);
    assert_eq!((fits.granularity().name(), fits.space, fits.train_heads), ("network", Space::Weight, TrainHeads::Auto));
    fits.validate(6).expect("a meaning");
    assert_eq!(double().dtype, DType::F64, "the default step is that of double precision here");
}
