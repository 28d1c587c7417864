//! Forward mode equals the oracle wherever both are exact: for every guess, granularity and horizon.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::{Case, largest_deviation, relative};
use foregrad::baseline;
use foregrad::estimate::{
    self, Combination, EstimatorConfig, EstimatorState, Granularity, Horizon, Memory, Mode, Space, StepInput,
};
use foregrad::models::{HeadKind, Norm};
use foregrad::vector::ParamVector;

/// `|forward - oracle| |guess| / |target|` in f64.
const LIMIT: f64 = 1e-10;

fn guess(name: &str) -> foregrad::estimate::AnyGuess {
    name.parse().expect("a guess")
}

fn assert_agree(case: &Case, config: &EstimatorConfig) {
    let forward = case.step(&EstimatorConfig { mode: Mode::Forward, ..config.clone() });
    let oracle =
        case.step(&EstimatorConfig { mode: Mode::Oracle, granularity: Some(config.granularity()), ..config.clone() });
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
    for (name, _) in foregrad::models::MODELS {
        let case = Case::new(name, Norm::Batch, Norm::Batch, HeadKind::Cnn);
        for granularity in [Granularity::Block, Granularity::Network] {
            assert_agree(&case, &EstimatorConfig { granularity: Some(granularity), ..Default::default() });
        }
    }
}

#[test]
fn every_head_agrees() {
    for head in HeadKind::ALL {
        let case = Case::new("mlp", Norm::Batch, Norm::Batch, *head);
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
        let signs: Vec<f64> = signs.into_data().iter::<f64>().collect();
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
        combination: Combination::Projection,
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
