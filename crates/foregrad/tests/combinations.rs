//! The whole grid: every combination either runs, finite and complete, or is refused with a reason and a way out.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::Case;
use foregrad::Error;
use foregrad::estimate::{
    self, AnyCombination, COMBINATIONS, EstimatorConfig, EstimatorState, GUESSES, Granularity, Horizon, Mode, Space,
    View,
};
use foregrad::models::{HeadKind, Norm};
use foregrad::settings::Settings;

/// Every combination of the axes.
fn grid() -> Vec<EstimatorConfig> {
    let mut all = vec![];
    for name in GUESSES.iter().map(|guess| guess.name()).chain(["local+gaussian"]) {
        let base = EstimatorConfig { guess: name.parse().expect("a guess"), ..Default::default() };
        all.push(base);
    }
    let widen = |all: Vec<EstimatorConfig>, change: &dyn Fn(&EstimatorConfig) -> Vec<EstimatorConfig>| {
        all.iter().flat_map(change).collect::<Vec<_>>()
    };
    all = widen(all, &|c| [Space::Weight, Space::Activity].map(|space| EstimatorConfig { space, ..c.clone() }).into());
    let granularities = [
        None,
        Some(Granularity::Tensor),
        Some(Granularity::Block),
        Some(Granularity::Network),
        Some(Granularity::Sample),
        Some(Granularity::Batch),
        Some(Granularity::Patch),
        Some(Granularity::Group),
        Some(Granularity::PatchGroup),
    ];
    // Features have one pixel, and the narrow network's are a multiple of 3.
    let parts = |granularity| {
        let tiles = matches!(granularity, Some(Granularity::Patch | Granularity::PatchGroup)).then_some(1);
        let groups = matches!(granularity, Some(Granularity::Group | Granularity::PatchGroup)).then_some(3);
        (tiles, groups)
    };
    all = widen(all, &|c| {
        let with = |granularity| {
            let (patches, groups) = parts(granularity);
            EstimatorConfig { granularity, patches, groups, ..c.clone() }
        };
        granularities.map(with).into()
    });
    let targets = [Horizon::LOCAL, Horizon::blocks(1), Horizon::GLOBAL];
    all = widen(all, &|c| targets.map(|target| EstimatorConfig { target, ..c.clone() }).into());
    let modes = [Mode::Forward, Mode::Oracle, Mode::Checkpointed, Mode::FiniteDifference];
    all = widen(all, &|c| modes.map(|mode| EstimatorConfig { mode, ..c.clone() }).into());
    all = widen(all, &|c| [1, 2].map(|directions| EstimatorConfig { directions, ..c.clone() }).into());
    all = widen(all, &|c| [None, Some(1)].map(|mix| EstimatorConfig { mix, ..c.clone() }).into());
    let horizons = [Horizon::LOCAL, Horizon::blocks(1)];
    all = widen(all, &|c| horizons.map(|guess_horizon| EstimatorConfig { guess_horizon, ..c.clone() }).into());
    let combinations: Vec<AnyCombination> =
        COMBINATIONS.iter().map(|own| own.name().parse().expect("a combination")).collect();
    // One direction is combined alike by most: the mean and the projection stand for all.
    let of = |directions| if directions == 1 { &combinations[..2] } else { &combinations };
    let of_each =
        |combination: &AnyCombination, c: &EstimatorConfig| EstimatorConfig { combination: *combination, ..c.clone() };
    widen(all, &|c| of(c.directions).iter().map(|combination| of_each(combination, c)).collect())
}

/// Every way of measuring a guess, or not.
fn measured_grid() -> Vec<EstimatorConfig> {
    let axes: [&[[&str; 2]]; 6] = [
        &[["space", "weight"], ["space", "activity"]],
        &[["granularity", "off"], ["granularity", "tensor"], ["granularity", "network"], ["granularity", "batch"]],
        &[["mode", "forward"], ["mode", "oracle"], ["mode", "finite-difference"]],
        &[["directions", "1"], ["directions", "2"], ["mix", "1"]],
        &[["projection", "on"], ["projection", "off"]],
        &[["measure-every", "1"], ["measure-every", "2"], ["correct", "gaussian"], ["correct", "low-rank"]],
    ];
    let guesses = GUESSES.iter().map(|guess| guess.name()).chain(["local+gaussian", "local+ntk"]);
    let guesses: Vec<[&str; 2]> = guesses.map(|name| ["guess", name]).collect();
    [guesses.as_slice()].into_iter().chain(axes).fold(vec![EstimatorConfig::default()], |all, axis| {
        let with = |config: &EstimatorConfig, [key, value]: &[&str; 2]| {
            let mut config = config.clone();
            config.set(key, value).expect("a setting");
            config
        };
        all.iter().flat_map(|config| axis.iter().map(|choice| with(config, choice))).collect()
    })
}

/// Whether a refusal names settings that there are, under their places.
fn names_a_way_out(error: &Error) -> bool {
    let known: Vec<String> = EstimatorConfig::settings().into_iter().map(|setting| setting.place).collect();
    let named: Vec<String> = error.settings().into_iter().filter(|place| place.contains('.')).collect();
    let is_known =
        |place: &String| place.strip_prefix("estimator.").is_some_and(|key| known.iter().any(|own| own == key));
    !named.is_empty() && named.iter().all(is_known)
}

fn check(case: &Case, config: &EstimatorConfig) -> bool {
    match estimate::step(config, &case.network, &case.input(), &EstimatorState::default()) {
        Ok(output) => {
            assert!(output.update.is_finite(), "{config:?}");
            let trunk = case.network.parameters().filtered(|path| !path.starts_with("heads."));
            assert!(trunk.paths().all(|path| output.update.entry(path).is_some()), "{config:?} leaves weights out");
            true
        }
        Err(error @ Error::Meaningless { .. }) => {
            assert!(names_a_way_out(&error), "{config:?}: no way out in `{error}`");
            false
        }
        Err(error) => panic!("{config:?}: {error}"),
    }
}

#[test]
fn every_combination_runs_or_is_refused() {
    let case = Case::new("mlp", Norm::Batch, Norm::Batch, HeadKind::Linear);
    let ran = grid().iter().filter(|config| check(&case, config)).count();
    assert!(ran > 500, "only {ran} combinations ran");
    let ran = measured_grid().iter().filter(|config| check(&case, config)).count();
    assert!(ran > 200, "only {ran} ways of measuring ran");
}

#[test]
fn a_loss_that_is_no_sum_is_refused_as_a_target_of_samples_beyond_its_block() {
    let case = Case::new("mlp", Norm::Batch, Norm::Batch, HeadKind::Predsim);
    let ran = grid().iter().filter(|config| check(&case, config)).count();
    assert!(ran > 400, "only {ran} combinations ran");
    let refused = EstimatorConfig { space: Space::Activity, target: Horizon::blocks(1), ..Default::default() };
    refused.validate(case.depth()).expect("a meaning with other heads");
    let error = refused.validate_losses(&View::new(&case.network)).expect_err("no sum over samples").to_string();
    assert!(error.contains("estimator.granularity = batch"), "{error}");
}
