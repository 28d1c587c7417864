//! Steps that measure nothing, steps that keep what was measured, and guesses that random directions correct.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::{Case, relative};
use foregrad::estimate::{
    self, Collect, Correction, CorrectionScale, EstimatorConfig, EstimatorState, Granularity, Horizon, Mode, Space,
    StepInput, StepOutput, TrainHeads,
};
use foregrad::models::{HeadKind, Norm};
use foregrad::ops;
use foregrad::vector::ParamVector;

fn case() -> Case {
    Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Mlp)
}

fn config(guess: &str, granularity: Granularity) -> EstimatorConfig {
    let space = match granularity {
        Granularity::Sample | Granularity::Batch => Space::Activity,
        _ => Space::Weight,
    };
    EstimatorConfig {
        guess: guess.parse().expect("a guess"),
        space,
        granularity: Some(granularity),
        ..Default::default()
    }
}

fn step(case: &Case, config: &EstimatorConfig, step: u64, state: &EstimatorState) -> StepOutput {
    let input = StepInput { step, collect: Collect::Everything, ..case.input() };
    estimate::step(config, &case.network, &input, state).expect("a valid estimator")
}

fn trunk(case: &Case, update: &ParamVector) -> ParamVector {
    let own: Vec<_> = (0..case.depth() - 1).map(|block| case.network.block_parameters(block)).collect();
    update.filtered(|path| own.iter().any(|block| block.entry(path).is_some()))
}

fn same_bits(a: &ParamVector, b: &ParamVector) -> bool {
    let bits = |vector: &ParamVector| {
        vector.iter().map(|(path, entry)| (path.to_string(), ops::host(entry.values()))).collect::<Vec<_>>()
    };
    bits(a) == bits(b)
}

#[test]
fn a_guess_that_is_not_projected_is_local_learning() {
    let case = case();
    let exact = EstimatorConfig { target: Horizon::LOCAL, ..EstimatorConfig::default() };
    for granularity in [Granularity::Block, Granularity::Tensor, Granularity::Sample, Granularity::Batch] {
        let learning = EstimatorConfig { guess: "exact".parse().expect("a guess"), ..exact.clone() };
        let expected = case.step(&learning);
        for mode in [Mode::Forward, Mode::Oracle] {
            let off = EstimatorConfig { projection: false, mode, ..config("local", granularity) };
            let update = case.step(&off);
            assert!(same_bits(&update.update, &expected.update), "{granularity} {mode}");
            assert!(update.scalars.is_empty(), "{granularity} {mode}: nothing is measured");
            // With the target looked at, reverse mode goes all its way.
            let looked_at = step(&case, &off, 4, &EstimatorState::default());
            assert!(same_bits(&looked_at.update, &expected.update), "{granularity} {mode}, with targets");
            assert_eq!(looked_at.targets.is_empty(), mode == Mode::Forward);
        }
    }
}

#[test]
fn a_guess_that_sees_the_end_and_is_not_projected_is_backprop() {
    let case = case();
    let off = EstimatorConfig {
        projection: false,
        guess_horizon: Horizon::GLOBAL,
        train_heads: TrainHeads::No,
        ..config("local", Granularity::Network)
    };
    assert!(relative(&case.step(&off).update, &case.gradient()) < 1e-12);
}

/// The parts of a network's vector that one coefficient covers.
fn slots(case: &Case, granularity: Granularity, vector: &ParamVector) -> Vec<ParamVector> {
    let blocks = (0..case.depth() - 1).map(|block| {
        let own = case.network.block_parameters(block);
        vector.filtered(|path| own.entry(path).is_some())
    });
    match granularity {
        Granularity::Network => vec![trunk(case, vector)],
        Granularity::Tensor => {
            let paths: Vec<String> = trunk(case, vector).paths().map(str::to_string).collect();
            paths.iter().map(|only| vector.filtered(|path| path == only)).collect()
        }
        _ => blocks.collect(),
    }
}

#[test]
fn between_measurements_a_guess_keeps_the_coefficient_of_its_raw_gradient() {
    let case = case();
    for granularity in [Granularity::Tensor, Granularity::Block, Granularity::Network] {
        for mode in [Mode::Forward, Mode::Oracle] {
            let always = EstimatorConfig { mode, ..config("local", granularity) };
            let lazy = EstimatorConfig { measure_every: 3, ..always.clone() };
            let nothing = EstimatorState::default();
            let (first, measured) = (step(&case, &lazy, 3, &nothing), step(&case, &always, 3, &nothing));
            assert!(same_bits(&first.update, &measured.update), "{granularity} {mode}");
            let second = step(&case, &lazy, 4, &first.state);
            assert!(second.scalars.is_empty() && second.state == first.state, "{granularity} {mode}");
            let raw = |output: &StepOutput| output.guesses.scoped("0");
            let parts = |vector: &ParamVector| slots(&case, granularity, vector);
            let measured = parts(&first.update).into_iter().zip(parts(&raw(&first)));
            for ((update, guess), (next, expected)) in
                measured.zip(parts(&second.update).into_iter().zip(parts(&raw(&second))))
            {
                let c = update.dot(&guess) / guess.dot(&guess);
                assert!(relative(&next, &expected.scaled(c)) < 1e-12, "{granularity} {mode}");
            }
            // The step after those measures again, with no look at what was kept.
            let third = step(&case, &lazy, 6, &second.state);
            let always = step(&case, &always, 6, &second.state);
            assert!(same_bits(&third.update, &always.update), "{granularity} {mode}");
        }
    }
}

#[test]
fn a_step_that_knows_no_coefficient_measures() {
    let case = case();
    let always = config("local", Granularity::Block);
    let lazy = EstimatorConfig { measure_every: 3, ..always.clone() };
    let nothing = EstimatorState::default();
    assert!(same_bits(&step(&case, &lazy, 4, &nothing).update, &step(&case, &always, 4, &nothing).update));
    assert!(step(&case, &lazy, 4, &step(&case, &lazy, 3, &nothing).state).scalars.is_empty());
    // Feedback begins at zero, of which nothing can be kept: the next step measures.
    let feedback = EstimatorConfig { measure_every: 8, ..config("feedback", Granularity::Network) };
    let first = step(&case, &feedback, 0, &nothing);
    assert!(first.state.numbers.keys().all(|path| !path.starts_with("kept.")));
    let second = step(&case, &feedback, 1, &first.state);
    assert!(!second.scalars.is_empty() && second.state.numbers["kept.network.0"] != 0.0);
    assert!(step(&case, &feedback, 2, &second.state).scalars.is_empty());
}

#[test]
fn several_directions_and_whole_batches_keep_their_coefficients_too() {
    let case = case();
    for (guess, granularity) in [("local+ntk:2", Granularity::Block), ("local", Granularity::Batch)] {
        let lazy = EstimatorConfig { measure_every: 2, ..config(guess, granularity) };
        let first = step(&case, &lazy, 0, &EstimatorState::default());
        let second = step(&case, &lazy, 1, &first.state);
        let again = |factor: f64| {
            let mut state = first.state.clone();
            state.numbers.values_mut().for_each(|number| *number *= factor);
            trunk(&case, &step(&case, &lazy, 1, &state).update)
        };
        let exact_last = |update: &ParamVector| trunk(&case, update);
        assert!(relative(&again(2.0), &exact_last(&second.update).scaled(2.0)) < 1e-12, "{guess}");
        // The same batch and heads as in the step that measured: the same update.
        let repeated = EstimatorConfig { measure_every: 5, ..lazy.clone() };
        let input = StepInput { step: 0, ..case.input() };
        let measured = estimate::step(&repeated, &case.network, &input, &EstimatorState::default()).expect("a step");
        let input = StepInput { step: 1, given: Some(&first.guesses), ..case.input() };
        let kept = estimate::step(&repeated, &case.network, &input, &measured.state).expect("a step");
        assert!(kept.scalars.is_empty());
        assert!(relative(&trunk(&case, &kept.update), &trunk(&case, &measured.update)) < 1e-11, "{guess}");
    }
}

#[test]
fn the_scale_of_a_corrected_guess_fits_earlier_steps() {
    let case = case();
    let fitted = EstimatorConfig {
        correct: Some(Correction::Rademacher),
        directions: 20,
        ..config("local", Granularity::Block)
    };
    let first = step(&case, &fitted, 0, &EstimatorState::default());
    let one = EstimatorConfig { correct_scale: CorrectionScale::One, ..fitted.clone() };
    let of_one = step(&case, &one, 0, &EstimatorState::default());
    assert!(same_bits(&first.update, &of_one.update), "the first step has nothing to fit by");
    assert!(of_one.state.is_empty());
    let own = case.network.block_parameters(1);
    let part = |vector: ParamVector| vector.filtered(|path| own.entry(path).is_some());
    let scalars = |output: &StepOutput| {
        let slot = output.scalars.iter().find(|scalars| scalars.slot == "blocks.1").expect("a slot");
        slot.values.iter().map(|b| b[0]).collect::<Vec<_>>()
    };
    let guess = part(first.guesses.scoped("corrected"));
    let (mut product, mut square) = (0.0, 0.0);
    for (direction, b) in scalars(&first).into_iter().enumerate() {
        let a = first.guesses.scoped(&direction.to_string()).dot(&guess);
        (product, square) = (product + 0.05 * a * b, square + 0.05 * a * a);
    }
    for (name, expected) in [("product", product), ("square", square), ("pairs", 20.0)] {
        let found = first.state.numbers[&format!("correct.blocks.1.{name}")];
        assert!((found / expected - 1.0).abs() < 1e-12, "{name}: {found} instead of {expected}");
    }
    // In the next step the guess comes in with the factor that fits; after fewer pairs than the means remember, with 1.
    let mut few = first.state.clone();
    few.numbers.insert("correct.blocks.1.pairs".into(), 19.0);
    for (state, scale) in [(&first.state, product / square), (&few, 1.0)] {
        let second = step(&case, &fitted, 1, state);
        let guess = part(second.guesses.scoped("corrected"));
        let mut expected = guess.scaled(scale);
        for (direction, b) in scalars(&second).into_iter().enumerate() {
            let v = part(second.guesses.scoped(&direction.to_string()));
            expected = expected.axpy((b - scale * v.dot(&guess)) / 20.0, &v);
        }
        assert!(relative(&part(second.update), &expected) < 1e-12, "{scale}");
    }
}

#[test]
fn a_corrected_step_can_be_given_back_what_it_was_made_of() {
    let case = case();
    for granularity in [Granularity::Network, Granularity::Sample] {
        let corrected = EstimatorConfig { correct: Some(Correction::Gaussian), ..config("local", granularity) };
        let state = EstimatorState::default();
        let own = step(&case, &corrected, 0, &state);
        let given = |guesses: &ParamVector| {
            let input = StepInput { step: 1, given: Some(guesses), ..case.input() };
            estimate::step(&corrected, &case.network, &input, &state).expect("a step's own guesses")
        };
        assert!(same_bits(&given(&own.guesses).update, &own.update), "{granularity}");
        let doubled = own.guesses.filtered(|path| path.starts_with("0."));
        let mut doubled = doubled;
        doubled.extend(own.guesses.scoped("corrected").scaled(2.0).prefixed("corrected"));
        assert!(relative(&given(&doubled).update, &own.update) > 1e-6, "{granularity}: the guess counts");
        let plain = EstimatorConfig { correct: None, ..corrected.clone() };
        let input = StepInput { given: Some(&own.guesses), ..case.input() };
        let refused = estimate::step(&plain, &case.network, &input, &state).map(drop).expect_err("no correction");
        assert!(refused.to_string().contains("unknown guess `corrected."), "{refused}");
    }
}

#[test]
fn every_correction_draws_its_own_directions() {
    let case = case();
    let kinds = [Correction::Gaussian, Correction::Rademacher, Correction::LowRank];
    let guesses = kinds.map(|correct| {
        let config = EstimatorConfig { correct: Some(correct), ..config("local", Granularity::Network) };
        let random =
            EstimatorConfig { guess: correct.name().parse().expect("a guess"), correct: None, ..config.clone() };
        let [corrected, plain] = [&config, &random].map(|config| step(&case, config, 0, &EstimatorState::default()));
        let drawn = corrected.guesses.scoped("0");
        assert!(same_bits(&drawn, &plain.guesses.scoped("0")), "{correct}: the directions of the guess of that name");
        drawn
    });
    assert!(!same_bits(&guesses[0], &guesses[1]) && !same_bits(&guesses[0], &guesses[2]));
}
