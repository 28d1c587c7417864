//! A combination that this library does not know is one by its name, in both modes.

mod common;

use common::{Case, largest_deviation};
use foregrad::estimate::{Along, AnyCombination, Combination, EstimatorConfig, Granularity, Mode, Space};
use foregrad::models::{HeadKind, Norm};
use foregrad::settings::Settings;

/// The direction of the largest inner product alone.
#[derive(Debug)]
struct Steepest;

impl Combination for Steepest {
    fn name(&self) -> &str {
        "steepest"
    }

    fn about(&self) -> &str {
        "the direction of the largest inner product alone"
    }

    fn coefficients(&self, along: &Along<'_>) -> Vec<f64> {
        let directions = 0..along.b.len();
        let slope = |direction: usize| along.slope(direction).abs();
        let steepest = directions.clone().max_by(|d, e| slope(*d).total_cmp(&slope(*e)));
        directions.map(|own| if Some(own) == steepest { along.alone(own) } else { 0.0 }).collect()
    }
}

#[test]
fn it_combines_alike_in_both_modes_and_takes_one_direction_a_slot() {
    let combination = AnyCombination::of(Steepest).expect("a name of its own");
    let case = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Linear);
    for (space, granularity) in [
        (Space::Weight, Granularity::Tensor),
        (Space::Weight, Granularity::Network),
        (Space::Activity, Granularity::Sample),
        (Space::Activity, Granularity::Batch),
    ] {
        let guess = "ntk".parse().expect("a guess");
        let granularity = Some(granularity);
        let config = EstimatorConfig { guess, directions: 3, combination, space, granularity, ..Default::default() };
        let [forward, oracle] =
            [Mode::Forward, Mode::Oracle].map(|mode| case.step(&EstimatorConfig { mode, ..config.clone() }));
        let deviation = largest_deviation(&forward, &oracle);
        assert!(deviation < 1e-9, "{space}, {granularity:?}: {deviation:e}");
        let mean = case.step(&EstimatorConfig { combination: AnyCombination::MEAN, ..config });
        assert!(mean.update.axpy(-1.0, &forward.update).norm() > 0.0, "{space}: another update than the mean's");
    }
}

#[test]
fn its_name_stands_in_settings_once_it_has_been_made() {
    let combination = AnyCombination::of(Steepest).expect("a name of its own");
    let mut config = EstimatorConfig::default();
    config.set("combination", "steepest").expect("a known name");
    assert_eq!(config.combination, combination);
    let text = serde_json::to_string(&config).expect("settings");
    assert_eq!(serde_json::from_str::<EstimatorConfig>(&text).expect("settings"), config);
    let error = config.set("combination", "steapest").expect_err("no such name").to_string();
    assert!(error.contains("unknown combination `steapest` (did you mean `steepest`?)"), "{error}");
}
