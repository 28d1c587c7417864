//! How several directions are combined, against what each says by itself.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::{Case, relative};
use foregrad::estimate::{
    self, AnyCombination, Collect, EstimatorConfig, EstimatorState, Granularity, Space, StepInput,
};
use foregrad::models::{HeadKind, Norm};
use foregrad::vector::ParamVector;

const DIRECTIONS: usize = 3;

fn config(guess: &str, combination: &str, granularity: Granularity) -> EstimatorConfig {
    EstimatorConfig {
        guess: guess.parse().expect("a guess"),
        space: match granularity {
            Granularity::Sample | Granularity::Batch => Space::Activity,
            _ => Space::Weight,
        },
        granularity: Some(granularity),
        directions: DIRECTIONS,
        combination: combination.parse().expect("a combination"),
        ..Default::default()
    }
}

fn case() -> Case {
    Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Linear)
}

/// The update of the first blocks: what is estimated.
fn estimated(case: &Case, update: &ParamVector) -> ParamVector {
    let own: Vec<ParamVector> = (0..case.depth() - 1).map(|block| case.network.block_parameters(block)).collect();
    update.filtered(|path| own.iter().any(|block| block.entry(path).is_some()))
}

/// `mu_n`, the mean length of `n` standard normal numbers, by its recurrence.
fn mean_length(n: usize) -> f64 {
    (1..n).fold((2.0 / std::f64::consts::PI).sqrt(), |mean, n| n as f64 / mean)
}

/// Each slot's factor is that of its own number of coordinates.
#[test]
fn the_length_of_a_projection_is_corrected_by_each_slots_dimension() {
    let case = case();
    for granularity in
        [Granularity::Tensor, Granularity::Block, Granularity::Network, Granularity::Batch, Granularity::Sample]
    {
        let [plain, long] = ["projection", "projection-length"]
            .map(|name| estimated(&case, &case.step(&config("gaussian", name, granularity)).update));
        let all = plain.dimension();
        for block in 0..case.depth() - 1 {
            let own = case.network.block_parameters(block);
            let output: usize = case.images_after(block).iter().product();
            for (path, entry) in own.iter() {
                let dimension = match granularity {
                    Granularity::Tensor => entry.shape().iter().product(),
                    Granularity::Block => own.dimension(),
                    Granularity::Network => all,
                    Granularity::Batch => output,
                    Granularity::Sample => output / case.labels.len(),
                    other => unreachable!("{other} cuts samples: tests/parts.rs"),
                };
                let factor = mean_length(dimension) / mean_length(DIRECTIONS.min(dimension));
                let part = |update: &ParamVector| update.filtered(|own| own == path);
                let gap = relative(&part(&long), &part(&plain).scaled(factor));
                assert!(gap < 1e-12, "{granularity}, {path}: {gap:e}");
            }
        }
    }
}

/// The mean length over many draws is the target's: the point of the correction.
#[test]
fn a_corrected_projection_is_as_long_as_the_target_on_average() {
    let case = Case::new("mlp", Norm::Group, Norm::Group, HeadKind::Linear);
    let target = estimated(&case, &case.gradient()).norm();
    let config = EstimatorConfig { directions: 8, ..config("gaussian", "projection-length", Granularity::Network) };
    let draws = 150;
    let length = |step| {
        let input = StepInput { step, ..case.input() };
        let output = estimate::step(&config, &case.network, &input, &EstimatorState::default()).expect("a step");
        estimated(&case, &output.update).norm() / target
    };
    let mean = (0..draws).map(length).sum::<f64>() / draws as f64;
    // One length deviates by about 1 / sqrt(2 k) = 0.25 of itself: five standard errors.
    assert!((mean - 1.0).abs() < 5.0 * 0.25 / (draws as f64).sqrt(), "{mean}");
}

/// The selected direction gives the same update alone.
#[test]
fn one_of_several_directions_is_the_step_along_it_alone() {
    let case = case();
    for guess in ["gaussian", "ntk", "rademacher"] {
        for granularity in [Granularity::Network, Granularity::Batch] {
            for name in ["max", "max-normalised"] {
                let config = config(guess, name, granularity);
                let input = StepInput { collect: Collect::Everything, ..case.input() };
                let output =
                    estimate::step(&config, &case.network, &input, &EstimatorState::default()).expect("a step");
                let alone: Vec<ParamVector> =
                    (0..DIRECTIONS).map(|own| along(&case, &config, &output.guesses, own)).collect();
                let update = estimated(&case, &output.update);
                let gaps = alone.iter().map(|own| relative(&estimated(&case, own), &update));
                let nearest = gaps.fold(f64::INFINITY, f64::min);
                match granularity {
                    Granularity::Network => assert!(nearest < 1e-12, "{guess}, {name}: {nearest:e}"),
                    // Every block has selected its own.
                    _ => assert!(chosen_by_block(&case, &update, &alone) < 1e-12, "{guess}, {name}"),
                }
            }
        }
    }
}

/// The update along one of the directions that a step used.
fn along(case: &Case, config: &EstimatorConfig, guesses: &ParamVector, direction: usize) -> ParamVector {
    let given = guesses.scoped(&direction.to_string()).prefixed("0");
    let input = StepInput { given: Some(&given), ..case.input() };
    let single = EstimatorConfig { directions: 1, combination: AnyCombination::MEAN, ..config.clone() };
    estimate::step(&single, &case.network, &input, &EstimatorState::default()).expect("a step").update
}

/// The worst block's distance from the nearest of its candidates.
fn chosen_by_block(case: &Case, update: &ParamVector, alone: &[ParamVector]) -> f64 {
    let of_block = |block: usize| {
        let own = case.network.block_parameters(block);
        let part = |update: &ParamVector| update.filtered(|path| own.entry(path).is_some());
        alone.iter().map(|own| relative(&part(own), &part(update))).fold(f64::INFINITY, f64::min)
    };
    (0..case.depth() - 1).map(of_block).fold(0.0, f64::max)
}

#[test]
fn combinations_that_a_guess_does_not_have_are_refused() {
    let refused = |guess: &str, combination: &str, space| {
        let config = EstimatorConfig {
            guess: guess.parse().expect("a guess"),
            combination: combination.parse().expect("a combination"),
            space,
            directions: if guess.contains('+') || guess == "local" { 1 } else { 2 },
            ..Default::default()
        };
        config.validate(6).expect_err(guess).to_string()
    };
    for combination in ["max", "max-normalised", "projection-length"] {
        for (guess, space) in [
            ("momentum", Space::Weight),
            ("span", Space::Activity),
            ("local+gaussian:4", Space::Weight),
            ("gaussian:2+rademacher", Space::Weight),
        ] {
            let error = refused(guess, combination, space);
            assert!(
                error.contains(&format!("the directions of `{guess}` are combined by orthogonal projection alone")),
                "{error}"
            );
            assert!(
                error.ends_with(&format!("`estimator.guess = {guess}` `estimator.combination = projection`")),
                "{error}"
            );
        }
    }
    for guess in ["local", "ntk", "upstream"] {
        let error = refused(guess, "projection-length", Space::Weight);
        assert!(error.contains(&format!("the span of `{guess}` is not known")), "{error}");
        assert!(error.contains("`estimator.combination = projection`, or `estimator.guess = gaussian`"), "{error}");
    }
}
