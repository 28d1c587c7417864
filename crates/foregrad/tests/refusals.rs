//! What the library refuses at its door, so that nothing is computed from it; and settings that every part must honour.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::Case;
use foregrad::Error;
use foregrad::estimate::{
    self, AnyGuess, Block, Collect, EstimatorConfig, EstimatorState, Granularity, GuessSettings, Horizon, Mode,
    NtkConfig, Space, StatisticsTangent, StepInput, TrainHeads, View,
};
use foregrad::layers::{Gelu, Residual, Sequential};
use foregrad::losses::Labels;
use foregrad::models::{HeadKind, LossHead, Norm};
use foregrad::rng::Stream;
use foregrad::settings::Settings;
use foregrad::vector::ParamVector;

fn case(norm: Norm) -> Case {
    Case::new("small-net", norm, norm, HeadKind::Cnn)
}

#[test]
fn labels_that_do_not_go_with_the_images_are_refused() {
    let case = case(Norm::Group);
    for (indices, named) in [
        (vec![0, 1, 2, 0, 3], "the label of sample 4 is 3"),
        (vec![usize::MAX, 1, 2, 0, 1], "the label of sample 0"),
        (vec![0, 1, 2, 0], "the number of labels is 4"),
        (vec![0, 1, 2, 0, 1, 2], "the number of labels is 6"),
        (vec![], "the number of labels is 0"),
    ] {
        let labels = Labels::classes(indices, 3);
        for mode in [Mode::Forward, Mode::Oracle] {
            let config = EstimatorConfig { mode, ..Default::default() };
            let input = StepInput::new(case.images.clone(), &labels, 0, 0);
            let refused = estimate::step(&config, &case.network, &input, &EstimatorState::default());
            let error = refused.expect_err("the labels do not fit");
            assert!(error.is_usage() && error.to_string().contains(named), "{error}");
        }
    }
}

#[test]
#[should_panic(expected = "the label of sample 1 is 3")]
fn a_label_beyond_the_classes_never_becomes_another_samples() {
    Labels::classes(vec![0, 3, 1], 3).rows(&common::double());
}

#[test]
fn blocks_that_would_overwrite_each_others_updates_are_refused() {
    let case = case(Norm::Group);
    let step = |view: &View<'_>| {
        estimate::step_on(&EstimatorConfig::default(), view, &case.input(), &EstimatorState::default()).map(drop)
    };
    step(&View::new(&case.network)).expect("a network's own view");
    let refused = |view: View<'_>, why: &str| match step(&view) {
        Err(Error::Meaningless { reason, .. }) => assert!(reason.contains(why), "{reason}"),
        other => panic!("{why}: {other:?}"),
    };
    refused(View { prefixes: Vec::new(), ..View::new(&case.network) }, "two parameters have the path");
    refused(
        View { prefixes: vec!["all"; case.depth()], ..View::new(&case.network) },
        "two parameters have the path `all.",
    );
    // A block under the name of a head.
    let mut prefixes = View::new(&case.network).prefixes;
    prefixes[2] = "heads.0";
    refused(View { prefixes, ..View::new(&case.network) }, "two parameters have the path `heads.0.");
    let mut losses = View::new(&case.network).losses;
    losses.pop();
    refused(View { losses, ..View::new(&case.network) }, "6 blocks, 5 losses");
    let nothing = View {
        blocks: Vec::<&Block>::new(),
        losses: Vec::<Option<&dyn LossHead>>::new(),
        prefixes: Vec::new(),
        targets: Vec::new(),
    };
    refused(nothing, "0 blocks");
}

#[test]
#[should_panic(expected = "both have a layer `conv`")]
fn two_chains_of_a_sum_never_share_a_parameters_path() {
    let chain = || Sequential::new().with("conv", Gelu);
    Residual::new(chain(), chain());
}

#[test]
fn numbers_of_tangents_that_no_memory_holds_are_refused() {
    for (config, flag) in [
        (
            EstimatorConfig {
                guess: "gaussian".parse().expect("a guess"),
                directions: usize::MAX,
                ..Default::default()
            },
            "estimator.directions",
        ),
        (EstimatorConfig { mix: Some(usize::MAX), ..Default::default() }, "estimator.mix"),
    ] {
        let error = config.validate(6).expect_err(flag).to_string();
        assert!(error.starts_with(&format!("{flag} is {}", usize::MAX)), "{error}");
    }
    let never = EstimatorConfig {
        guesses: GuessSettings { ntk: NtkConfig { redraw_every: 0 }, ..Default::default() },
        ..Default::default()
    };
    let error = never.validate(6).expect_err("heads that are never drawn").to_string();
    assert!(error.starts_with("estimator.guesses.ntk.redraw-every is 0"), "{error}");
}

#[test]
fn what_a_composite_guess_cannot_be_names_the_part() {
    for (guess, named) in [
        ("local+", "unknown guess ``"),
        ("local+gausian", "did you mean `gaussian`?"),
        ("local+gaussian:0", "guess is local+gaussian:0; expected a number of directions of `gaussian` from 1 to"),
        ("local+gaussian:many", "guess is local+gaussian:many; expected a number of directions"),
        ("local+gaussian:99999999999999999999", "expected a number of directions"),
        ("gaussian:4", "nearest combination that has a meaning: `guess = gaussian` `directions = 4`"),
        ("gaussian:2+gaussian:2", "expected guesses that differ"),
    ] {
        let error = guess.parse::<AnyGuess>().expect_err(guess).to_string();
        assert!(error.contains(named), "{guess}: {error}");
    }
    // As a setting of a table in a table, its places are whole.
    let error =
        foregrad::settings::field::set_within(&mut EstimatorConfig::default(), "estimator", "guess", "gaussian:4");
    let error = error.expect_err("a single guess").to_string();
    assert!(error.ends_with("`estimator.guess = gaussian` `estimator.directions = 4`"), "{error}");
    let config = |guess: &str| EstimatorConfig { guess: guess.parse().expect("a guess"), ..Default::default() };
    let activity = |guess| EstimatorConfig { space: Space::Activity, ..config(guess) };
    for (config, reason, way_out) in [
        (config("gaussian+local:2"), "the guess `local` has one direction", "= gaussian+local`"),
        (config("local+momentum"), "the guess `momentum` needs at least 2", "= local+momentum:2`"),
        (config("local+exact"), "the guess `exact` is the target itself", "= exact`"),
        (
            config("local+fixed-ntk"),
            "the heads of `fixed-ntk` keep their first weights, those of `local`",
            "= local+ntk`",
        ),
        (config("local+span"), "the guess `span` does not exist in weight space", "= activity`"),
        (activity("low-rank+span"), "the guess `low-rank` does not exist in activity space", "= weight`"),
        (EstimatorConfig { directions: 3, ..config("local+gaussian:4") }, "has 5 directions, not 3", "directions = 5`"),
        (EstimatorConfig { mix: Some(1), ..config("local+gaussian") }, "one guess a slot", "mix = off`"),
        (
            EstimatorConfig { granularity: Some(Granularity::Batch), ..activity("local+span") },
            "the span's coefficients are per sample",
            "granularity = sample`",
        ),
        (
            EstimatorConfig { guess_horizon: Horizon::blocks(1), ..config("gaussian+upstream") },
            "the guess `gaussian+upstream` is no gradient of a head",
            "guess-horizon = 0`",
        ),
        (
            EstimatorConfig { train_heads: TrainHeads::Yes, ..config("gaussian+fixed-ntk") },
            "the heads of `fixed-ntk` are never trained",
            "train-heads = auto`",
        ),
    ] {
        let error = config.validate(6).expect_err(reason).to_string();
        assert!(error.contains(reason) && error.contains(way_out), "{error}");
    }
    for agreed in [1, 5] {
        EstimatorConfig { directions: agreed, ..config("local+gaussian:4") }.validate(6).expect("a meaning");
    }
    let most = config("gaussian:65536+rademacher").validate(6).expect_err("no memory holds them").to_string();
    assert!(most.starts_with("estimator.directions is 65537"), "{most}");
}

#[test]
fn what_cannot_be_left_unmeasured_or_corrected_says_what_can() {
    for (settings, reason, way_out) in [
        ("guess gaussian, projection off", "the guess `gaussian` is no gradient by itself", "= local`"),
        ("guess upstream, projection off", "the guess `upstream` is no gradient by itself", "projection = on`"),
        ("guess local+ntk, projection off", "the guess `local+ntk` is no gradient by itself", "= local`"),
        ("guess ntk, directions 2, projection off", "there is one guess a slot, not 2", "directions = 1`"),
        ("projection off, mix 1", "no tangent runs, so there is nothing to mix", "mix = off`"),
        ("projection off, measure-every 2", "nothing is measured, at no step", "measure-every = 1`"),
        ("guess exact, target local, measure-every 2", "nothing is measured, at no step", "measure-every = 1`"),
        ("guess gaussian, measure-every 2", "the guess `gaussian` says nothing of the next step's", "= local`"),
        ("guess local+gaussian, measure-every 2", "`local+gaussian` says nothing", "measure-every = 1`"),
        ("guess momentum, directions 2, measure-every 2", "`momentum` says nothing", "= local`"),
        ("space activity, measure-every 2", "the next step has other samples", "granularity = batch`"),
        ("measure-every 2, correct gaussian", "every step is measured", "measure-every = 1`"),
        ("granularity block, mix 1, measure-every 2", "holds every other slot's too", "mix = off`"),
        ("target local, projection off", "the target `local` says nothing", "target = global`"),
        ("mode finite-difference, projection off", "the mode `finite-difference` says nothing", "mode = forward`"),
        ("space activity, granularity patch, projection off", "the granularity `patch` says nothing", "= sample`"),
        ("correct gaussian, directions 2, combination projection", "a correction by `projection` is biased", "= mean`"),
        ("correct gaussian, directions 2, combination max", "a correction by `max` is biased", "correct = off`"),
        ("correct-scale one", "no guess is corrected", "correct = gaussian`"),
        ("measure-every 0", "estimator.measure-every is 0", "at least 1 step"),
        ("guess exact, target local, correct gaussian", "is the target itself", "correct = off`"),
        ("guess gaussian, correct gaussian", "no single estimate of the gradient", "guess = local`"),
        ("guess local+ntk, correct gaussian", "no single estimate of the gradient", "guess = local`"),
        ("space activity, correct low-rank", "the correction `low-rank` does not exist in activity space", "= weight`"),
        ("granularity block, mix 1, correct gaussian", "cannot carry a mixture's signs", "mix = off`"),
    ] {
        let mut config = EstimatorConfig::default();
        for setting in settings.split(", ") {
            let (key, value) = setting.split_once(' ').expect("a key and a value");
            config.set(key, value).expect("a setting");
        }
        let error = config.validate(6).expect_err(settings).to_string();
        assert!(error.contains(reason) && error.contains(way_out), "{settings}: {error}");
    }
}

#[test]
fn heads_that_cannot_be_drawn_afresh_are_refused() {
    let case = case(Norm::Group);
    let mut view = View::new(&case.network);
    view.losses[0] = Some(&*case.network.classifier);
    let config =
        EstimatorConfig { guess: "ntk".parse().expect("a guess"), train_heads: TrainHeads::No, ..Default::default() };
    for mode in [Mode::Forward, Mode::Oracle] {
        let config = EstimatorConfig { mode, ..config.clone() };
        let refused = estimate::step_on(&config, &view, &case.input(), &EstimatorState::default());
        let error = refused.map(drop).expect_err("a classifier is not drawn").to_string();
        assert!(error.contains("the head of block 0 cannot be drawn afresh"), "{error}");
    }
}

#[test]
fn detached_statistics_are_refused_in_weight_space() {
    let detached = EstimatorConfig { batch_norm_tangent: StatisticsTangent::Detached, ..Default::default() };
    let error = detached.validate(6).expect_err("samples are not kept apart in weight space");
    assert!(
        matches!(error, Error::Meaningless { .. }) && error.to_string().contains("estimator.space = activity"),
        "{error}"
    );
    EstimatorConfig { space: Space::Activity, ..detached }.validate(6).expect("a meaning");
}

/// The first sample's scalars of a block, and their change when the guess at all other samples changes.
fn disturbed(case: &Case, config: &EstimatorConfig) -> f64 {
    let step = |given: &ParamVector| {
        let input = StepInput { given: Some(given), ..case.input() };
        let output = estimate::step(config, &case.network, &input, &EstimatorState::default()).expect("a step");
        let of_first = |scalars: &estimate::Scalars| scalars.values[0][0];
        output.scalars.iter().map(of_first).collect::<Vec<_>>()
    };
    let input = StepInput { collect: Collect::Everything, ..case.input() };
    let own = estimate::step(config, &case.network, &input, &EstimatorState::default()).expect("a step").guesses;
    let mut other = ParamVector::default();
    for (path, entry) in own.iter() {
        let guess: Tensor<4> = entry.tensor();
        let samples = guess.dims()[0];
        let rest = guess.clone().narrow(0, 1, samples - 1);
        let drawn = Stream::new(5, path).normal_tensor::<4>(rest.dims(), &common::double());
        other.insert(path, Tensor::cat(vec![guess.narrow(0, 0, 1), rest + drawn], 0));
    }
    let (own, other) = (step(&own), step(&other));
    let size = own.iter().map(|a| a.abs()).sum::<f64>();
    own.iter().zip(&other).map(|(a, b)| (a - b).abs() / size).sum()
}

/// Whatever measures a tangent - blocks, heads of the network, heads drawn for the step - holds its statistics if told to.
#[test]
fn the_estimators_statistics_are_those_of_every_block_and_head() {
    let case = case(Norm::Batch);
    for guess in ["local", "ntk"] {
        for target in [Horizon::LOCAL, Horizon::blocks(1), Horizon::GLOBAL] {
            let config = |batch_norm_tangent| EstimatorConfig {
                guess: guess.parse().expect("a guess"),
                target,
                space: Space::Activity,
                batch_norm_tangent,
                ..Default::default()
            };
            let [coupled, detached] = [StatisticsTangent::Coupled, StatisticsTangent::Detached]
                .map(|tangent| disturbed(&case, &config(tangent)));
            assert!(coupled > 1e-6, "{guess}, {target}: samples are coupled, and differ by {coupled:e}");
            assert!(detached < 1e-12, "{guess}, {target}: samples are apart, but differ by {detached:e}");
        }
    }
}

#[test]
fn a_batch_that_is_not_finite_gives_an_update_that_is_not_and_ends() {
    let mut case = case(Norm::Group);
    case.images = case.images.clone().slice_fill([0..1, 0..1, 0..1, 0..1], f64::NAN);
    for (guess, directions) in [("span", 3), ("ntk", 2)] {
        for mode in [Mode::Forward, Mode::Oracle] {
            let config = EstimatorConfig {
                guess: guess.parse().expect("a guess"),
                space: Space::Activity,
                directions,
                combination: estimate::AnyCombination::PROJECTION,
                mode,
                ..Default::default()
            };
            let update = case.step(&config).update;
            for block in 0..case.depth() - 1 {
                let own = case.network.block_parameters(block);
                let part = update.filtered(|path| own.entry(path).is_some());
                assert!(!part.is_finite(), "{guess}, {mode}, block {block}");
            }
        }
    }
}

#[test]
fn given_guesses_that_no_slot_takes_are_refused() {
    let case = case(Norm::Group);
    let step = |config: &EstimatorConfig, given: &ParamVector| {
        let input = StepInput { given: Some(given), collect: Collect::Everything, ..case.input() };
        estimate::step(config, &case.network, &input, &EstimatorState::default())
    };
    for (space, directions) in [(Space::Weight, 1), (Space::Weight, 2), (Space::Activity, 2)] {
        let config =
            EstimatorConfig { guess: "gaussian".parse().expect("a guess"), space, directions, ..Default::default() };
        let own = step(&config, &ParamVector::default()).expect("no guess is given").guesses;
        let again = step(&config, &own).expect("a step's own guesses").guesses;
        assert!(again.axpy(-1.0, &own).norm() == 0.0 && !own.is_empty());
        let renamed = |from: &str, to: &str| {
            let mut changed = own.filtered(|path| path != from);
            changed.insert_entry(to, own.entry(from).expect("a guess").clone());
            step(&config, &changed).map(drop).expect_err(to).to_string()
        };
        let first = own.paths().next().expect("a guess").to_string();
        let misspelt = renamed(&first, &first.replacen("0.block", "0.blok", 1));
        assert!(misspelt.contains(&format!("did you mean `{first}`?")), "{misspelt}");
        for to in ["", "0", "guess", "0.", "0.fc.weight", "0.heads.0.0.weight"] {
            assert!(renamed(&first, to).contains(&format!("unknown guess `{to}`")));
        }
        let beyond = format!("{directions}{}", &first[1..]);
        assert!(renamed(&first, &beyond).contains("unknown guess"));
        let mut longer = own.clone();
        let entry = own.entry(&first).expect("a guess");
        longer.insert(first.as_str(), Tensor::cat(vec![entry.values(), entry.values()], 0));
        let error = step(&config, &longer).map(drop).expect_err("another shape").to_string();
        assert!(error.contains(&format!("`{first}` is of shape")), "{error}");
        if directions > 1 {
            let error = step(&config, &own.filtered(|path| !path.starts_with("1.block"))).map(drop);
            let error = error.expect_err("a direction is missing").to_string();
            assert!(error.contains("the directions 0 only; expected all 2 directions"), "{error}");
        }
    }
}

#[test]
fn a_step_holds_the_guesses_and_targets_that_were_asked_for() {
    let case = case(Norm::Group);
    let config = EstimatorConfig {
        guess: "span".parse().expect("a guess"),
        space: Space::Activity,
        directions: 4,
        mode: Mode::Oracle,
        ..Default::default()
    };
    let blocks = case.depth() - 1;
    for (collect, guesses, has_targets) in [
        (Collect::Nothing, 0, false),
        (Collect::FirstGuess, blocks, false),
        (Collect::Targets, 0, true),
        (Collect::Everything, 4 * blocks, true),
    ] {
        let input = StepInput { collect, ..case.input() };
        let output = estimate::step(&config, &case.network, &input, &EstimatorState::default()).expect("a step");
        assert_eq!((output.guesses.len(), !output.targets.is_empty()), (guesses, has_targets), "{collect:?}");
    }
}
