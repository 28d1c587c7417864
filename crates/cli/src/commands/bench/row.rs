//! What `foregrad bench` measures in one row: a method by its name, or the same with a number of directions.

use std::fmt;

use foregrad::estimate::{EstimatorConfig, METHODS, Method, Mode};
use foregrad::{Error, Result};
use foregrad_lab::train::RunConfig;
use serde::{Deserialize, Serialize};

/// What is measured besides the methods of [`METHODS`].
pub(super) const BASELINES: [(&str, &str); 2] = [
    (LOADING, "mini-batches as they are loaded: shuffled, cropped, flipped, normalised"),
    (FORWARD, "the network's loss alone"),
];

pub(super) const LOADING: &str = "loading";
pub(super) const FORWARD: &str = "forward";

/// A row of the bench.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// A baseline or a method.
    pub method: String,
    /// Directions in place of the method's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directions: Option<usize>,
}

/// The names of all that can be measured.
fn names() -> Vec<&'static str> {
    BASELINES.iter().map(|(name, _)| *name).chain(METHODS.iter().map(|method| method.name)).collect()
}

/// All that can be measured, as it is.
pub(super) fn all() -> Vec<Row> {
    names().into_iter().map(|name| Row { method: name.into(), directions: None }).collect()
}

/// The rows that texts ask for, each once, in the order of [`all`]; those of one method as they were asked for.
///
/// # Errors
/// [`Error::UnknownName`], and numbers that are none of directions.
pub(super) fn asked(texts: &[String]) -> Result<Vec<Row>> {
    let known = names();
    let mut rows = Vec::new();
    for text in texts {
        let row = Row::parse(text, &known)?;
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows.sort_by_key(|row| known.iter().position(|name| row.method == *name));
    Ok(rows)
}

impl Row {
    fn parse(text: &str, known: &[&str]) -> Result<Self> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        if !known.contains(&name) {
            return Err(Error::unknown_name("method", name, known));
        }
        let row = |directions| Self { method: name.into(), directions };
        let Some(number) = number else { return Ok(row(None)) };
        if BASELINES.iter().any(|(baseline, _)| *baseline == name) {
            return Err(Error::meaningless(format!("`{name}` has no directions"), format!("`--methods {name}`")));
        }
        let directions = number.parse().ok().filter(|directions| *directions > 0);
        let wrong = || Error::out_of_range(format!("the K of `{name}:K`"), number, "a number of directions, from 1");
        directions.map(|directions| row(Some(directions))).ok_or_else(wrong)
    }

    /// Its estimator, with what a run's settings say of all methods; none of a baseline.
    pub fn estimator(&self, config: &RunConfig) -> Option<EstimatorConfig> {
        let mut estimator = Method::named(&self.method).ok()?.config();
        estimator.directions = self.directions.unwrap_or(estimator.directions);
        if estimator.mode == Mode::Checkpointed {
            estimator.checkpoint_spacing = config.estimator.checkpoint_spacing;
        }
        Some(estimator)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directions {
            Some(directions) => write!(f, "{}:{directions}", self.method),
            None => f.write_str(&self.method),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> Result<Vec<String>> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        Ok(asked(&texts)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rows_are_those_that_were_asked_for_once_each() {
        let asked = rows(&["jvp-weights:16", "backprop", "jvp-weights", "jvp-weights:2", "backprop", "forward"]);
        assert_eq!(
            asked.expect("rows"),
            ["forward", "backprop", "jvp-weights:16", "jvp-weights", "jvp-weights:2"],
            "in the order of the methods, those of one in their own"
        );
        for (text, said) in [
            ("jvp-weights:0", "the K of `jvp-weights:K` is 0; expected a number of directions, from 1"),
            ("jvp-weights:", "the K of `jvp-weights:K` is ; expected"),
            ("jvp-weights:-1", "is -1"),
            ("jvp-weights:two", "is two"),
            ("jvp-weight:2", "did you mean `jvp-weights`"),
            ("forward:2", "`forward` has no directions"),
        ] {
            let error = rows(&[text]).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn directions_and_checkpoints_reach_the_methods_that_have_them() {
        let mut config = RunConfig::default();
        config.estimator.checkpoint_spacing = 3;
        let of = |text: &str| {
            let row = asked(&[text.to_string()]).expect("a row").remove(0);
            row.estimator(&config).map(|estimator| (estimator.directions, estimator.checkpoint_spacing))
        };
        assert_eq!(of("jvp-weights:5"), Some((5, 1)));
        assert_eq!(of("span-activity"), Some((4, 1)));
        assert_eq!(of("backprop-checkpointed"), Some((1, 3)));
        assert_eq!(of("loading"), None);
    }
}
