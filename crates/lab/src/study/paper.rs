//! The paper's published figures.
//!
//! Source: Fournier et al. (2023), Tables 2 to 12.

use crate::train::RunConfig;
use foregrad::estimate::{EstimatorConfig, Horizon, Mode};
use foregrad::ops::Parts;

/// One row a figure: table, dataset, blocks, width, target, guess, aux, space, mean and deviation in per cent.
const TABLES: &str = include_str!("../../studies/paper.csv");

/// A published accuracy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// Mean over the paper's runs, per cent.
    pub mean: f64,
    /// Their standard deviation, per cent; none where there was one run.
    pub deviation: Option<f64>,
}

/// The figure of a table of the paper for a run's settings, if it has one.
pub fn published(table: u32, config: &RunConfig) -> Option<Published> {
    if !is_of_the_paper(&config.estimator) {
        return None;
    }
    let wanted = key(table, config);
    TABLES.lines().skip(1).find_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let (own, figures) = cells.split_at_checked(8)?;
        let width: f64 = own[3].parse().ok()?;
        let same = own.iter().zip(&wanted).enumerate().all(|(at, (a, b))| at == 3 || a == b);
        let mean = figures.first()?.parse().ok()?;
        (same && width == config.model.width).then(|| Published { mean, deviation: figures[1].parse().ok() })
    })
}

/// Whether an estimator is one of the paper's, which measure every guess at every step, by slots that hold whole samples or tensors.
fn is_of_the_paper(estimator: &EstimatorConfig) -> bool {
    let EstimatorConfig { projection, measure_every, correct, mix, guess_horizon, mode, .. } = estimator;
    let measures = *projection && *measure_every == 1 && correct.is_none() && mix.is_none();
    measures && *guess_horizon == Horizon::LOCAL && *mode != Mode::FiniteDifference && estimator.parts() == Parts::WHOLE
}

/// The first eight cells of a run's row.
fn key(table: u32, config: &RunConfig) -> [String; 8] {
    let estimator = &config.estimator;
    let blocks = match config.model.name.as_str() {
        "resnet18-8b" => "8",
        "resnet18-16b" => "16",
        _ => "",
    };
    let has_head = estimator.guess.looks_ahead() || estimator.target.to_string() != "global";
    let is_exact = estimator.guess.support().is_target;
    let head = if has_head { config.model.head.name() } else { "" };
    let space = if is_exact { String::new() } else { estimator.space.to_string() };
    [
        table.to_string(),
        config.data.dataset.clone(),
        blocks.to_string(),
        String::new(),
        estimator.target.to_string(),
        estimator.guess.to_string(),
        head.to_string(),
        space,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_read() {
        for line in TABLES.lines().skip(1) {
            assert_eq!(line.split(',').count(), 10, "{line}");
        }
        let mut config = RunConfig::default();
        config.data.dataset = "cifar10".into();
        (config.model.name, config.model.width) = ("resnet18-16b".into(), 1.0);
        config.estimator.space = "activity".parse().expect("a space");
        assert_eq!(published(2, &config), Some(Published { mean: 79.0, deviation: Some(1.0) }));
        config.estimator.guess = "exact".parse().expect("a guess");
        assert_eq!(published(2, &config), Some(Published { mean: 94.3, deviation: Some(0.1) }));
        assert_eq!(published(13, &config), None);
        config.estimator.projection = false;
        assert_eq!(published(2, &config), None, "the paper has no row without a projection");
    }
}
