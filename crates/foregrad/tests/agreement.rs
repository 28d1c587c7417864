//! Forward mode equals the oracle wherever both are exact: for every guess, granularity and horizon.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::{Case, largest_deviation, relative};
use foregrad::baseline;
use foregrad::estimate::{
    self, AnyCombination, EstimatorConfig, EstimatorState, Granularity, Horizon, Memory, Mode, Space, StepInput, View,
};
use foregrad::models::{HeadKind, ModelConfig, Norm};
use foregrad::vector::ParamVector;

/// `|forward - oracle| |guess| / |target|` in f64.
const LIMIT: f64 = 1e-10;

fn guess(name: &str) -> foregrad::estimate::AnyGuess {
    name.parse().expect("a guess")
}

fn assert_agree(case: &Case, config: &EstimatorConfig) {
    assert_agree_on(case, &View::new(&case.network), config);
}

fn assert_agree_on(case: &Case, view: &View<'_>, config: &EstimatorConfig) {
    let step = |mode| {
        let config = EstimatorConfig { mode, granularity: Some(config.granularity()), ..config.clone() };
        estimate::step_on(&config, view, &case.input(), &EstimatorState::default()).expect("a valid estimator")
    };
    let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(step);
    let deviation = largest_deviation(&forward, &oracle);
    assert!(deviation < LIMIT, "{config:?}: deviation {deviation:e}");
    assert_eq!((forward.zero_guesses, oracle.zero_guesses), (0, 0), "{config:?}: guesses of zero prove nothing");
    for block in 0..case.depth() - 1 {
        let own = case.network.block_parameters(block);
        let part = |update: &ParamVector| update.filtered(|path| own.entry(path).is_some());
        let deviation = relative(&part(&forward.update), &part(&oracle.update));
        assert!(deviation < LIMIT, "{config:?}, block {block}: deviation {deviation:e}");
    }
}

/// The number of directions to test a guess with.
fn directions(name: &str) -> usize {
    let support = guess(name).support();
    if support.several { 2.max(support.least_directions) } else { 1 }
}

const WEIGHT_GUESSES: [&str; 8] =
    ["local", "ntk", "fixed-ntk", "gaussian", "rademacher", "low-rank", "momentum", "upstream"];

#[test]
fn weight_space_agrees_for_every_guess_granularity_and_horizon() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    for name in WEIGHT_GUESSES {
        for granularity in [Granularity::Tensor, Granularity::Block, Granularity::Network] {
            for target in [Horizon::LOCAL, Horizon::blocks(1), Horizon::blocks(2), Horizon::GLOBAL] {
                let config = EstimatorConfig {
                    target,
                    guess: guess(name),
                    granularity: Some(granularity),
                    directions: directions(name),
                    ..Default::default()
                };
                if config.validate(case.depth()).is_ok() {
                    assert_agree(&case, &config);
                }
            }
        }
    }
}

#[test]
fn weight_space_agrees_with_guesses_that_look_further() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Mlp);
    for guess_horizon in [Horizon::blocks(1), Horizon::blocks(2), Horizon::GLOBAL] {
        for target in [Horizon::LOCAL, Horizon::blocks(1), Horizon::GLOBAL] {
            for granularity in [Granularity::Tensor, Granularity::Block, Granularity::Network] {
                let granularity = Some(granularity);
                let config = EstimatorConfig { target, guess_horizon, granularity, ..Default::default() };
                if config.validate(case.depth()).is_ok() {
                    assert_agree(&case, &config);
                }
            }
        }
    }
}

#[test]
fn every_model_agrees() {
    for foregrad::models::Model { name, .. } in foregrad::models::MODELS {
        let config = ModelConfig { name: name.to_string(), width: 0.1, ..Default::default() };
        let case = Case::with(&config, [2, 17, 16], 5);
        for granularity in [Granularity::Block, Granularity::Network] {
            assert_agree(&case, &EstimatorConfig { granularity: Some(granularity), ..Default::default() });
        }
    }
}

#[test]
fn every_head_agrees() {
    for head in HeadKind::ALL {
        let case = Case::new("mlp", Norm::Batch, Norm::Batch, *head).learnt();
        for target in [Horizon::LOCAL, Horizon::blocks(1), Horizon::GLOBAL] {
            assert_agree(&case, &EstimatorConfig { target, ..Default::default() });
        }
    }
}

#[test]
fn activity_space_agrees_where_samples_stay_apart() {
    let case = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Cnn);
    for name in ["local", "ntk", "fixed-ntk", "gaussian", "rademacher", "upstream", "span"] {
        for granularity in [Granularity::Sample, Granularity::Batch] {
            for target in [Horizon::LOCAL, Horizon::blocks(2), Horizon::GLOBAL] {
                for memory in [Memory::Recompute, Memory::Keep] {
                    let config = EstimatorConfig {
                        target,
                        guess: guess(name),
                        space: Space::Activity,
                        granularity: Some(granularity),
                        directions: directions(name),
                        memory,
                        ..Default::default()
                    };
                    if config.validate(case.depth()).is_ok() {
                        assert_agree(&case, &config);
                    }
                }
            }
        }
    }
}

/// The same directions brought by the caller, whose inner products are taken sample by sample, give the same update.
#[test]
fn all_samples_share_the_inner_products_of_a_span() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Cnn);
    for mode in [Mode::Oracle, Mode::Forward] {
        let config =
            EstimatorConfig { guess: guess("span"), space: Space::Activity, directions: 4, mode, ..Default::default() };
        let step = |input: StepInput<'_>| {
            estimate::step(&config, &case.network, &input, &EstimatorState::default()).expect("a valid estimator")
        };
        let shared = step(StepInput { collect: estimate::Collect::Everything, ..case.input() });
        let apart = step(StepInput { given: Some(&shared.guesses), ..case.input() });
        let signs = shared.guesses.get::<4>("0.blocks.0").expect("a direction").sum_dim(3).sum_dim(2).sum_dim(1);
        let signs = foregrad::ops::host(signs);
        assert!(signs.iter().any(|sum| *sum > 0.0) && signs.iter().any(|sum| *sum < 0.0), "signs differ: {signs:?}");
        let gap = relative(&shared.update, &apart.update);
        assert!(gap < 1e-9, "{mode}: {gap:e}");
    }
}

#[test]
fn the_batch_granularity_agrees_with_batch_norm_too() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Cnn);
    for name in ["local", "gaussian", "upstream"] {
        let config = EstimatorConfig {
            guess: guess(name),
            space: Space::Activity,
            granularity: Some(Granularity::Batch),
            ..Default::default()
        };
        assert_agree(&case, &config);
    }
}

#[test]
fn mixtures_agree() {
    let batch = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    for granularity in [Granularity::Tensor, Granularity::Block] {
        for name in ["local", "gaussian"] {
            let granularity = Some(granularity);
            assert_agree(
                &batch,
                &EstimatorConfig { mix: Some(3), granularity, guess: guess(name), ..Default::default() },
            );
        }
    }
    let group = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Linear);
    for guess_horizon in [Horizon::LOCAL, Horizon::blocks(1)] {
        let config = EstimatorConfig { mix: Some(2), space: Space::Activity, guess_horizon, ..Default::default() };
        assert_agree(&group, &config);
    }
}

#[test]
fn projection_and_chunks_change_nothing_about_agreement() {
    let case = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Linear);
    let reference = EstimatorConfig {
        guess: guess("gaussian"),
        granularity: Some(Granularity::Block),
        directions: 3,
        combination: AnyCombination::PROJECTION,
        ..Default::default()
    };
    assert_agree(&case, &reference);
    let all = case.step(&reference);
    for tangents_at_once in [1, 2, 4] {
        let chunked = case.step(&EstimatorConfig { tangents_at_once, ..reference.clone() });
        assert!(largest_deviation(&chunked, &all) < 1e-13, "{tangents_at_once} at once");
    }
}

#[test]
fn an_estimated_last_block_agrees() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    for granularity in [Granularity::Tensor, Granularity::Block, Granularity::Network] {
        let config = EstimatorConfig {
            guess: guess("rademacher"),
            granularity: Some(granularity),
            last_block: foregrad::estimate::LastBlock::Estimated,
            directions: 2,
            ..Default::default()
        };
        assert_agree(&case, &config);
        let update = case.step(&config).update;
        assert!(
            case.network.parameters().filtered(|p| !p.starts_with("heads.")).paths().all(|p| update.entry(p).is_some())
        );
    }
}

/// A network's view with heads behind some of its blocks only.
fn with_heads<'a>(case: &'a Case, blocks: &[usize]) -> View<'a> {
    let mut view = View::new(&case.network);
    let last = view.depth() - 1;
    for (block, loss) in view.losses.iter_mut().enumerate() {
        *loss = loss.filter(|_| block == last || blocks.contains(&block));
    }
    view
}

#[test]
fn composite_guesses_agree_wherever_their_parts_do() {
    let weight = ["local+gaussian:4", "gaussian+local", "local+ntk:2+upstream", "momentum:2+local", "fixed-ntk+ntk"];
    let activity = ["local+gaussian:2", "span:2+rademacher", "local+ntk:2+upstream", "gaussian:2+rademacher"];
    let both = [(Space::Weight, Norm::Batch, weight.as_slice()), (Space::Activity, Norm::Group, &activity)];
    let granularities =
        [Granularity::Tensor, Granularity::Block, Granularity::Network, Granularity::Sample, Granularity::Batch];
    let mut compared = 0;
    for (space, norm, names) in both {
        let case = Case::new("small-net", norm, norm, HeadKind::Linear);
        for (name, granularity) in names.iter().flat_map(|name| granularities.map(|granularity| (name, granularity))) {
            for (target, guess_horizon) in [(Horizon::GLOBAL, 0), (Horizon::blocks(1), 0), (Horizon::GLOBAL, 1)] {
                let config = EstimatorConfig {
                    guess: guess(name),
                    space,
                    granularity: Some(granularity),
                    target,
                    guess_horizon: Horizon::blocks(guess_horizon),
                    ..Default::default()
                };
                if config.validate(case.depth()).is_ok() {
                    assert_agree(&case, &config);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 50, "only {compared} were compared");
}

#[test]
fn blocks_without_a_head_agree() {
    for (space, norm, granularities) in [
        (Space::Weight, Norm::Batch, [Granularity::Tensor, Granularity::Network]),
        (Space::Activity, Norm::Group, [Granularity::Sample, Granularity::Batch]),
    ] {
        let case = Case::new("small-net", norm, norm, HeadKind::Linear);
        let view = with_heads(&case, &[1, 3]);
        for name in ["local", "ntk", "fixed-ntk", "gaussian", "upstream", "span", "local+gaussian:2", "local+upstream"]
        {
            for (target, ahead) in
                [(Horizon::LOCAL, 0), (Horizon::blocks(1), 0), (Horizon::GLOBAL, 0), (Horizon::GLOBAL, 1)]
            {
                for granularity in granularities {
                    let config = EstimatorConfig {
                        guess: guess(name),
                        target,
                        guess_horizon: Horizon::blocks(ahead),
                        space,
                        granularity: Some(granularity),
                        ..Default::default()
                    };
                    if config.validate(3).is_ok() {
                        assert_agree_on(&case, &view, &config);
                    }
                }
            }
        }
        let mixed = EstimatorConfig { space, mix: Some(2), ..Default::default() };
        assert_agree_on(&case, &view, &mixed);
    }
}

#[test]
fn a_horizon_counts_heads() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    let (every, some, none) = (View::new(&case.network), with_heads(&case, &[1, 3]), with_heads(&case, &[]));
    let step = |view: &View<'_>, target, mode| {
        let config = EstimatorConfig { guess: guess("exact"), target, mode, ..Default::default() };
        estimate::step_on(&config, view, &case.input(), &EstimatorState::default())
    };
    let of_block = |update: &ParamVector, block| {
        let own = case.network.block_parameters(block);
        update.filtered(|path| own.entry(path).is_some())
    };
    // The losses of heads 1 and 3 and of the classifier, for each block and each horizon, and how many blocks on they stand.
    for (block, losses) in [(0, [1, 3, 5]), (1, [1, 3, 5]), (2, [3, 5, 5]), (3, [3, 5, 5]), (4, [5, 5, 5])] {
        for (horizon, loss) in losses.into_iter().enumerate() {
            let counted = step(&some, Horizon::blocks(horizon), Mode::Oracle).expect("a step").update;
            let blocks = step(&every, Horizon::blocks(loss - block), Mode::Oracle).expect("a step").update;
            let gap = relative(&of_block(&counted, block), &of_block(&blocks, block));
            assert!(gap < 1e-13, "block {block}, horizon {horizon}: {gap:e}");
        }
    }
    let local = step(&some, Horizon::LOCAL, Mode::Forward).expect("local learning");
    let oracle = step(&some, Horizon::LOCAL, Mode::Oracle).expect("local learning");
    assert!(relative(&local.update, &oracle.update) < 1e-13);
    let evaluated: Vec<bool> = local.evaluations.iter().map(Option::is_some).collect();
    assert_eq!(evaluated, [false, true, false, true, false, true]);
    assert!(local.update.entry("heads.1.0.weight").is_some() && local.update.entry("heads.0.0.weight").is_none());
    // Without any head the next loss is the network's.
    let backprop = step(&every, Horizon::GLOBAL, Mode::Oracle).expect("backprop").update;
    assert!(relative(&step(&none, Horizon::LOCAL, Mode::Forward).expect("the next loss").update, &backprop) < 1e-13);
    let beyond = step(&some, Horizon::blocks(3), Mode::Oracle).expect_err("there are three losses").to_string();
    assert!(beyond.contains("at most 2 in a network of 3 losses"), "{beyond}");
}

#[test]
fn the_baselines_give_backprops_loss_and_gradient() {
    for model in ["small-net", "resnet18-8b", "resnet18-16b", "mlp"] {
        let case = Case::new(model, Norm::Batch, Norm::Batch, HeadKind::Linear);
        let exact = case.step(&EstimatorConfig { guess: guess("exact"), mode: Mode::Oracle, ..Default::default() });
        let loss = exact.evaluations.last().copied().flatten().expect("the network's loss").loss;
        let forward = baseline::forward(&case.network, case.images.clone(), &case.labels);
        assert_eq!(forward.loss, loss, "{model}");
        let checkpointed = EstimatorConfig { guess: guess("exact"), mode: Mode::Checkpointed, ..Default::default() };
        let again = case.step(&checkpointed);
        let gap = relative(&again.update, &exact.update);
        assert!(gap < 1e-12, "{model}: {gap:e}");
        assert_eq!(again.update.dimension(), exact.update.dimension(), "{model}: every weight has its gradient");
        assert_eq!(again.update.dimension(), case.network.trunk_dimension(), "{model}: every weight has its gradient");
        assert_eq!(
            (again.evaluations, again.statistics.dimension()),
            (exact.evaluations, exact.statistics.dimension())
        );
    }
}
