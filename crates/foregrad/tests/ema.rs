//! Heads with a running copy of the next block: what it follows, what learns, and that it is a guess horizon of 1 where nothing lags behind.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::{Case, double, largest_deviation};
use foregrad::estimate::{
    Collect, EstimatorConfig, EstimatorState, Granularity, Horizon, Mode, Space, StepInput, StepOutput, step,
};
use foregrad::layers::{AdaptiveAvgPool, BatchNorm, Flatten, Layer, Linear, Sequential};
use foregrad::losses::CrossEntropy;
use foregrad::models::{
    AnyHead, Head, HeadKind, MODELS, Model, ModelConfig, Network, NextBlock, Norm, PlannedHead, Registry, is_of_head,
};
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;
use foregrad::weights;

fn model(head: HeadKind, head_decay: Option<f64>) -> ModelConfig {
    ModelConfig { width: 0.1, head, head_decay, ..Default::default() }
}

fn case(head_decay: Option<f64>) -> Case {
    Case::with(&model(HeadKind::Ema, head_decay), [2, 9, 11], 5)
}

fn stepped(config: &EstimatorConfig, network: &Network, case: &Case) -> StepOutput {
    let input = StepInput { collect: Collect::Everything, ..case.input() };
    step(config, network, &input, &EstimatorState::default()).expect("a valid estimator")
}

/// A network whose parameters have moved by half their size, in directions of their own.
fn moved(network: &Network) -> ParamVector {
    let draw = |path: &str, shape: &[usize]| Stream::new(5, "moved").named(path).normal(shape.iter().product());
    network.parameters().axpy(0.05, &network.parameters().filled_like(draw))
}

/// The part of a network's averages that a head's running copy is.
fn running(network: &Network, block: usize) -> ParamVector {
    let copy = network.averages().scoped(&format!("heads.{block}.next.running"));
    copy.filtered(|path| !path.contains("running_"))
}

fn is_same(a: &ParamVector, b: &ParamVector) -> bool {
    a.len() == b.len() && a.clone().axpy(-1.0, b).norm() == 0.0
}

/// A head of a running copy without decay and nothing beside it, behind which stand the layers of the next block's head, or the classifier's.
fn looking_on(network: &Network, block: usize, outputs: usize) -> AnyHead {
    let (placement, stream) = (double(), Stream::new(0, "outputs"));
    let copy = Sequential::new().with("next", NextBlock::new(network.blocks[block + 1].clone(), 0.0));
    let linear = |features| Linear::new([features, 3], true, stream, &placement);
    let net = if block + 2 < network.depth() {
        let norm = BatchNorm::new(outputs, 0.0, &placement);
        let pool = copy.with("0", norm).with("1", AdaptiveAvgPool::new(2));
        pool.with("2", Flatten).with("3", linear(4 * outputs))
    } else {
        copy.with("pool", AdaptiveAvgPool::new(1)).with("fc", linear(outputs))
    };
    Head::new(net, CrossEntropy { smoothing: 0.0 }).into()
}

#[test]
fn a_running_copy_that_does_not_lag_behind_guesses_as_a_horizon_of_one() {
    let case = Case::with(&model(HeadKind::Linear, None), [2, 9, 11], 5);
    let (first, depth) = (&case.network, case.depth());
    let outputs = |block: usize| case.images_after(block + 1)[1];
    let mut ahead = first.clone();
    let mut copying = first.clone();
    copying.heads = (0..depth - 1).map(|block| Some(looking_on(first, block, outputs(block)))).collect();
    // The optimiser's step.
    let moved = moved(first);
    ahead.assign(&moved);
    let trunk = moved.filtered(|path| !is_of_head(path));
    copying.assign(&trunk);
    let heads: Vec<_> = (1..depth - 1).map(|block| moved.scoped(&format!("heads.{block}"))).chain([trunk]).collect();
    for (head, values) in copying.heads.iter_mut().flatten().zip(&heads) {
        head.assign(values);
    }
    let lagging = copying.clone();
    copying.follow();
    for (space, granularity) in [(Space::Weight, Granularity::Tensor), (Space::Activity, Granularity::Batch)] {
        for mode in [Mode::Forward, Mode::Oracle] {
            let config = EstimatorConfig { space, granularity: Some(granularity), mode, ..Default::default() };
            let further = EstimatorConfig { guess_horizon: Horizon::blocks(1), ..config.clone() };
            let expected = stepped(&further, &ahead, &case);
            let gap = |network: &Network| {
                let found = stepped(&config, network, &case);
                let update = |output: &StepOutput| output.update.filtered(|path| !is_of_head(path));
                let guesses = found.guesses.clone().axpy(-1.0, &expected.guesses).norm() / expected.guesses.norm();
                let updates = update(&found).axpy(-1.0, &update(&expected)).norm() / update(&expected).norm();
                [guesses, updates]
            };
            let [guesses, updates] = gap(&copying);
            assert!(guesses < 1e-12 && updates < 1e-10, "{space}, {mode}: {guesses:e}, {updates:e}");
            assert!(gap(&lagging)[0] > 1e-3, "a copy of the weights before the step is another guess");
        }
    }
}

#[test]
fn a_running_copy_begins_as_the_next_block_and_follows_it() {
    for Model { name, .. } in MODELS {
        let config = ModelConfig { name: name.to_string(), width: 0.03, ..model(HeadKind::Ema, Some(0.75)) };
        let mut network = config.init([1, 17, 16], 3, 0, &double()).expect("a network");
        let own = |network: &Network, block| Layer::parameters(&network.blocks[block]);
        let before: Vec<_> = (0..network.depth()).map(|block| own(&network, block)).collect();
        for block in 0..network.depth() - 1 {
            assert!(!before[block + 1].is_empty() && is_same(&running(&network, block), &before[block + 1]), "{name}");
        }
        for _ in 0..2 {
            network.assign(&moved(&network));
            network.follow();
        }
        // Twice a quarter of the way.
        let kept = running(&network, 0).axpy(-1.0, &before[1]).norm() / own(&network, 1).axpy(-1.0, &before[1]).norm();
        assert!((0.25..0.45).contains(&kept), "{name}: {kept}");
        let state = network.state();
        network.follow();
        let learnt = network.parameters();
        assert!(is_same(&learnt, &state.filtered(|path| learnt.entry(path).is_some())), "{name}: nothing else moves");
    }
}

#[test]
fn the_trained_copy_learns_and_the_running_one_does_not() {
    let case = case(None);
    let output = case.step(&EstimatorConfig::default());
    let of_head = output.update.scoped("heads.2");
    assert!(of_head.entry("next.trained.1.weight").is_some(), "{of_head:?}");
    assert!(!of_head.paths().any(|path| path.contains("running")), "{of_head:?}");
    // Batch norm of both copies is told of its own batch.
    let seen = output.statistics.scoped("heads.2.next");
    assert!(seen.entry("running.2.running_mean").is_some() && seen.entry("trained.2.running_mean").is_some());
    let trained = case.network.parameters().scoped("heads.2.next.trained");
    assert!(!is_same(&trained, &running(&case.network, 2)), "the trained copy has first weights of its own");
}

/// Next blocks with a pool, a stride in a residual sum, several residual sums, features, and tokens.
const NETWORKS: [&str; 5] = ["small-net", "resnet18-8b", "resnet18-2b", "mlp", "local-mixer"];

#[test]
fn copies_of_every_kind_of_block_agree_with_the_oracle() {
    for name in NETWORKS {
        for (target, space, granularity, norm) in [
            (Horizon::LOCAL, Space::Weight, Granularity::Block, Norm::Batch),
            (Horizon::GLOBAL, Space::Activity, Granularity::Sample, Norm::Group),
        ] {
            let named = ModelConfig { name: name.to_string(), width: 0.05, ..model(HeadKind::Ema, None) };
            let case = Case::with(&ModelConfig { norm, head_norm: norm, ..named }, [2, 9, 11], 3);
            let config = EstimatorConfig { target, space, granularity: Some(granularity), ..Default::default() };
            let in_mode = |mode| case.step(&EstimatorConfig { mode, ..config.clone() });
            let deviation = largest_deviation(&in_mode(Mode::Forward), &in_mode(Mode::Oracle));
            assert!(deviation < 1e-10, "{name}, {space}, {target}: {deviation:e}");
        }
    }
}

#[test]
fn heads_that_are_drawn_afresh_keep_their_running_copy() {
    let mut network = case(None).network;
    network.assign(&moved(&network));
    network.follow();
    let own = network.heads[1].as_ref().expect("a head");
    let drawn = own.redrawn(Stream::new(1, "drawn")).expect("a head that can be drawn");
    let copy = |head: &AnyHead| head.averages().scoped("next.running").filtered(|path| !path.contains("running_"));
    assert!(is_same(&copy(own), &copy(&drawn)) && !is_same(&own.parameters(), &drawn.parameters()));
}

#[test]
fn state_survives_a_file_and_a_missing_head_begins_as_the_next_block_of_the_file() {
    let mut first = case(None).network;
    first.assign(&moved(&first));
    first.follow();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("w.safetensors");
    weights::save(&file, &first.state(), weights::Metadata::new()).expect("a file");
    let (read, _) = weights::load(&file, &double()).expect("a file");
    let fresh = || model(HeadKind::Ema, None).init([2, 9, 11], 3, 1, &double()).expect("a network");
    let mut whole = fresh();
    weights::assign(&mut whole, &read, &file).expect("its own weights");
    assert!(
        is_same(&first.state(), &whole.state()) && !is_same(&running(&whole, 0), &Layer::parameters(&whole.blocks[1]))
    );
    let mut part = fresh();
    weights::assign(&mut part, &read.filtered(|path| !path.starts_with("heads.0.")), &file).expect("without a head");
    assert!(is_same(&running(&part, 0), &Layer::parameters(&part.blocks[1])), "as the next block of the file");
    assert!(is_same(&running(&part, 1), &running(&first, 1)), "a head of the file is as it is there");
}

#[test]
fn what_is_planned_is_what_is_made() {
    let model = model(HeadKind::Ema, None);
    let planned = model.plan([2, 9, 11], 3, &Registry::default()).expect("a network");
    let network = planned.make(0, &double());
    let weights = |head: &Option<PlannedHead>| head.as_ref().map_or(0, |head| head.weights);
    let planned: u64 = planned.blocks.iter().map(|block| weights(&block.head)).sum();
    let made: usize = network.heads.iter().flatten().map(|head| head.parameters().dimension()).sum();
    assert_eq!(planned, made as u64);
}

#[test]
fn running_copies_that_mean_nothing_are_refused() {
    for (config, words) in [
        (model(HeadKind::Ema, Some(1.5)), "model.head-decay is 1.5; expected a number from 0 to 1"),
        (model(HeadKind::Ema, Some(f64::NAN)), "model.head-decay is NaN"),
        (model(HeadKind::Mlp, Some(0.5)), "no head of this network has a running copy"),
    ] {
        let error = config.validate().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    let other = ModelConfig { target_head: Some(HeadKind::Ema), ..model(HeadKind::Mlp, Some(0.5)) };
    other.validate().expect("a head for the target that has one");
    let blocks = Network::builder([1, 4, 4], 3).block(Sequential::new().then(Flatten)).head(HeadKind::Ema);
    let error = blocks.block(Sequential::new()).build(0, &double()).expect_err("no specs").to_string();
    assert!(error.contains("block 0: ") && error.contains("by value") && error.contains("NextBlock"), "{error}");
}
