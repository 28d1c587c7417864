//! The methods that have a name: the same in benchmarks, checks, recorded runs and documents. To add one: an entry here.

use serde::{Serialize, Serializer};

use super::EstimatorConfig;
use crate::settings::Settings;
use crate::{Error, Result};

/// A method: an estimator under a name.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The settings in which it differs from [`EstimatorConfig::default`]: places below `estimator` with their values.
    #[serde(serialize_with = "by_place")]
    pub settings: &'static [(&'static str, &'static str)],
}

/// Declares methods: `"name": "what it is", key = "value", ...`.
macro_rules! methods {
    ($($name:literal: $about:literal, $($key:literal = $value:literal),*;)*) => {
        /// All methods.
        pub const METHODS: &[Method] = &[$(Method { name: $name, about: $about, settings: &[$(($key, $value)),*] }),*];
    };
}

methods! {
    "backprop": "end-to-end training by reverse mode",
        "guess" = "exact", "mode" = "oracle";
    "backprop-checkpointed": "the same in less memory: blocks are computed again on the way back",
        "guess" = "exact", "mode" = "checkpointed";
    "jvp-weights": "one gaussian direction for all weights, the last block's included",
        "guess" = "gaussian", "granularity" = "network", "last-block" = "estimated";
    "jvp-weights-low-rank": "the same along directions of rank 1, which cost next to nothing to apply",
        "guess" = "low-rank", "granularity" = "network", "last-block" = "estimated";
    "jvp-activities": "a gaussian direction for every sample and block output",
        "guess" = "gaussian", "space" = "activity";
    "gaussian-weight-network": "one gaussian direction for all weights, the last block exact",
        "guess" = "gaussian", "granularity" = "network";
    "projection-length-weight-network": "four gaussian directions, projected, as long as the gradient on average",
        "guess" = "gaussian", "directions" = "4", "granularity" = "network", "combination" = "projection-length";
    "max-weight-network": "the one of four gaussian directions along which the loss changes most",
        "guess" = "gaussian", "directions" = "4", "granularity" = "network", "combination" = "max";
    "max-normalised-weight-network": "the one of four gaussian directions that is nearest to the gradient",
        "guess" = "gaussian", "directions" = "4", "granularity" = "network", "combination" = "max-normalised";
    "rademacher-weight-network": "one direction of random signs for all weights, the last block exact",
        "guess" = "rademacher", "granularity" = "network";
    "rademacher-activity": "random signs for every sample and block output",
        "guess" = "rademacher", "space" = "activity";
    "momentum-weight-network": "the optimiser's buffer and a gaussian direction, projected",
        "guess" = "momentum", "directions" = "2", "granularity" = "network";
    "local-learning": "each block by its own head's gradient: no tangent runs",
        "guess" = "exact", "target" = "local";
    "local-unprojected": "the same by the guess itself, taken for the gradient",
        "guess" = "local", "projection" = "off";
    "finite-difference-weights": "one gaussian direction for all weights, the last block's included, by two forward passes (SPSA)",
        "guess" = "gaussian", "last-block" = "estimated", "mode" = "finite-difference";
    "finite-difference-weight-network": "one gaussian direction for all weights by two forward passes, the last block exact",
        "guess" = "gaussian", "mode" = "finite-difference";
    "finite-difference-local": "local guesses, one scalar for the network by two forward passes",
        "guess" = "local", "mode" = "finite-difference";
    "local-weight-tensor-oracle": "local guesses, a scalar a tensor, measured by reverse mode (the paper's)",
        "guess" = "local", "granularity" = "tensor", "mode" = "oracle";
    "local-weight-block-oracle": "local guesses, a scalar a block, measured by reverse mode",
        "guess" = "local", "granularity" = "block", "mode" = "oracle";
    "local-weight-tensor-forward": "local guesses, a scalar and a tangent a tensor",
        "guess" = "local", "granularity" = "tensor";
    "local-weight-block-forward": "local guesses, a scalar and a tangent a block",
        "guess" = "local", "granularity" = "block";
    "local-weight-block-intermediate": "local guesses for the next head's loss, a scalar a block",
        "guess" = "local", "target" = "intermediate";
    "local-weight-network-forward": "local guesses, one scalar and one tangent for the network",
        "guess" = "local", "granularity" = "network";
    "local-weight-network-lazy": "the same, measured every 8 steps only",
        "guess" = "local", "granularity" = "network", "measure-every" = "8";
    "local-weight-network-corrected": "local guesses, made unbiased by one direction of random signs",
        "guess" = "local", "granularity" = "network", "correct" = "rademacher";
    "local-activity-corrected": "local guesses at block outputs, made unbiased by one direction of random signs",
        "guess" = "local", "space" = "activity", "correct" = "rademacher";
    "local-weight-mixed-forward": "local guesses, a scalar a block from one tangent with random signs",
        "guess" = "local", "mix" = "1";
    "local-activity-oracle": "local guesses at block outputs, a scalar a sample, measured by reverse mode (the paper's)",
        "guess" = "local", "space" = "activity", "mode" = "oracle";
    "local-activity-forward": "local guesses at block outputs, a scalar a sample",
        "guess" = "local", "space" = "activity";
    "local-activity-mixed-forward": "local guesses at block outputs, a scalar a sample from one tangent with random signs",
        "guess" = "local", "space" = "activity", "mix" = "1";
    "horizon-1-weight-network": "guesses that look one block further, one scalar for the network",
        "guess" = "local", "granularity" = "network", "guess-horizon" = "1";
    "horizon-2-weight-network": "guesses that look two blocks further, one scalar for the network",
        "guess" = "local", "granularity" = "network", "guess-horizon" = "2";
    "horizon-2-unprojected": "guesses that look two blocks further, taken for the gradient",
        "guess" = "local", "guess-horizon" = "2", "projection" = "off";
    "ntk-weight-network": "guesses from heads drawn afresh, one scalar for the network",
        "guess" = "ntk", "granularity" = "network";
    "ntk-activity": "guesses from heads drawn afresh at block outputs, a scalar a sample",
        "guess" = "ntk", "space" = "activity";
    "fixed-ntk-weight-network": "guesses from heads that keep their first weights, one scalar for the network",
        "guess" = "fixed-ntk", "granularity" = "network";
    "local-gaussian-weight-network": "the local guess and four gaussian directions, projected",
        "guess" = "local+gaussian:4", "granularity" = "network";
    "upstream-activity": "noise pulled back through the next block",
        "guess" = "upstream", "space" = "activity";
    "upstream-orthogonal-activity": "noise pulled back through the next block, its weights made semi-orthogonal",
        "guess" = "upstream", "guesses.upstream.weights" = "orthogonal", "space" = "activity";
    "local-activity-patch-group-oracle": "local guesses at block outputs, a scalar a tile and channel group, measured by reverse mode",
        "guess" = "local", "space" = "activity", "granularity" = "patch-group", "patches" = "2", "groups" = "4",
        "mode" = "oracle";
    "gaussian-activity-patch-group-local": "a gaussian direction for every tile and channel group of a block output, for the loss of the block's head",
        "guess" = "gaussian", "space" = "activity", "granularity" = "patch-group", "patches" = "2", "groups" = "4",
        "target" = "local";
    "span-activity": "the principal directions of the batch's local guesses",
        "guess" = "span", "space" = "activity", "directions" = "4";
    "feedback-activity": "the error at the network's outputs, fed back by matrices that are learnt forward, a scalar a sample",
        "guess" = "feedback", "space" = "activity";
    "feedback-unprojected": "the same, taken for the gradient (forward direct feedback alignment)",
        "guess" = "feedback", "space" = "activity", "projection" = "off";
    "feedback-alignment": "the error, fed back by random matrices that stay as they are (direct feedback alignment)",
        "guess" = "feedback", "space" = "activity", "projection" = "off",
        "guesses.feedback.start" = "uniform", "guesses.feedback.rate" = "0";
    "feedback-labels": "the labels, fed back by random matrices that stay as they are (direct random target projection)",
        "guess" = "feedback", "space" = "activity", "projection" = "off", "guesses.feedback.source" = "label",
        "guesses.feedback.start" = "uniform", "guesses.feedback.rate" = "0";
    "feedback-kolen-pollack": "the error, fed back by matrices that move as a last layer's weights would (direct Kolen-Pollack)",
        "guess" = "feedback", "space" = "activity", "projection" = "off", "guesses.feedback.follows" = "kolen-pollack",
        "guesses.feedback.decay" = "1e-6";
}

impl Method {
    /// The method of a name.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn named(name: &str) -> Result<&'static Self> {
        let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        METHODS.iter().find(|method| method.name == name).ok_or_else(|| Error::unknown_name("method", name, &names))
    }

    /// Its estimator.
    ///
    /// # Panics
    /// On settings that there are not; a test tries all methods.
    pub fn config(&self) -> EstimatorConfig {
        let mut config = EstimatorConfig::default();
        for (place, value) in self.settings {
            config.set(place, value).unwrap_or_else(|error| panic!("the method {}: {error}", self.name));
        }
        config
    }
}

fn by_place<S: Serializer>(settings: &&[(&str, &str)], target: S) -> std::result::Result<S::Ok, S::Error> {
    target.collect_map(settings.iter().map(|(place, value)| (format!("estimator.{place}"), value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::GUESSES;

    #[test]
    fn every_method_has_a_meaning_and_a_name_and_an_estimator_of_its_own() {
        for (number, method) in METHODS.iter().enumerate() {
            let config = method.config();
            config.validate(8).unwrap_or_else(|error| panic!("{}: {error}", method.name));
            for other in &METHODS[..number] {
                assert!(other.name != method.name && other.config() != config, "{} and {}", other.name, method.name);
            }
        }
        assert!(Method::named("backprob").expect_err("no name").to_string().contains("did you mean `backprop`"));
    }

    #[test]
    fn every_guess_has_a_method() {
        for guess in GUESSES {
            let name = guess.name();
            assert!(METHODS.iter().any(|method| method.config().guess.to_string() == name), "{name}");
        }
    }
}
