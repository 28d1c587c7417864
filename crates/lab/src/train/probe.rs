//! Probes: how good guess and estimate are, block by block, measured against the exact target on one mini-batch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Result;
use foregrad::estimate::{
    self, AnyGuess, Collect, EstimatorConfig, EstimatorState, Mode, Space, StepInput, StepOutput,
};
use foregrad::models::Network;
use foregrad::ops;
use foregrad::vector::ParamVector;

/// One block's measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockProbe {
    /// The block, from 0.
    pub block: usize,
    /// Cosine between guess and target, in activity space the mean over samples (Eq. 6). None for the exact guess.
    #[serde(default, with = "foregrad::numbers::optional")]
    pub guess_alignment: Option<f64>,
    /// Cosine between the block's update and the exact gradient of its target in the weights.
    #[serde(default, with = "foregrad::numbers::optional")]
    pub estimate_alignment: Option<f64>,
    /// `|target|`, in the weights.
    #[serde(with = "foregrad::numbers")]
    pub target_norm: f64,
    /// `|guess|` of the first direction, in its own space.
    #[serde(default, with = "foregrad::numbers::optional")]
    pub guess_norm: Option<f64>,
    /// `|estimate|`, in the weights.
    #[serde(with = "foregrad::numbers")]
    pub estimate_norm: f64,
    /// `|forward - oracle| / |oracle|` of the block's update: 0 where both are exact.
    #[serde(default, with = "foregrad::numbers::optional")]
    pub deviation: Option<f64>,
    /// `|forward - oracle| / |oracle|` of the scalars of the block's slots; none for the exact guess and for `network`.
    #[serde(default, with = "foregrad::numbers::optional")]
    pub scalar_deviation: Option<f64>,
}

/// All blocks at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// The optimiser step, from 0.
    pub step: u64,
    /// The estimated blocks, in order.
    pub blocks: Vec<BlockProbe>,
}

/// Measures an estimator on a mini-batch: three more steps' work, of which nothing changes the run.
///
/// # Errors
/// A combination without meaning.
pub fn probe(
    config: &EstimatorConfig,
    network: &Network,
    input: &StepInput<'_>,
    state: &EstimatorState,
) -> Result<ProbeRecord> {
    let exact_guess: AnyGuess = "exact".parse().expect("exact is a guess");
    let run = |config: &EstimatorConfig, collect| {
        estimate::step(config, network, &StepInput { collect, ..input.clone() }, state)
    };
    let granularity = Some(config.granularity());
    // What a forward mode measures, by tangents or by differences, is compared with the oracle.
    let measuring = if config.mode == Mode::FiniteDifference { config.mode } else { Mode::Forward };
    // Of all guesses one direction is looked at, in the output of the mode that is chosen.
    let in_mode = |mode: Mode| {
        let is_chosen = (mode == measuring) == (config.mode == measuring);
        let collect = if is_chosen { Collect::FirstGuess } else { Collect::Nothing };
        run(&EstimatorConfig { mode, granularity, ..config.clone() }, collect)
    };
    // A probe takes no more memory than the step it looks at.
    let reverse = if config.mode == Mode::Checkpointed { Mode::Checkpointed } else { Mode::Oracle };
    let oracle = in_mode(reverse)?;
    // Forward mode has nothing to measure where the guess is the target itself.
    let is_exact = config.guess.support().is_target;
    let measured = if is_exact { None } else { Some(in_mode(measuring)?) };
    let forward = measured.as_ref().unwrap_or(&oracle);
    let exact_config = EstimatorConfig {
        guess: exact_guess,
        mode: reverse,
        checkpoint_spacing: config.checkpoint_spacing,
        target: config.target,
        space: config.space,
        train_heads: config.train_heads,
        batch_norm_tangent: config.batch_norm_tangent,
        ..Default::default()
    };
    // In weight space the update is the target.
    let targets = if config.space == Space::Activity { Collect::Targets } else { Collect::Nothing };
    let exact = run(&exact_config, targets)?;
    let chosen = if config.mode == measuring { forward } else { &oracle };
    let block = |block| measure(block, network, config, chosen, [forward, &oracle], &exact);
    Ok(ProbeRecord { step: input.step, blocks: (0..network.depth() - 1).map(block).collect() })
}

fn measure(
    block: usize,
    network: &Network,
    config: &EstimatorConfig,
    chosen: &StepOutput,
    [forward, oracle]: [&StepOutput; 2],
    exact: &StepOutput,
) -> BlockProbe {
    let own = network.block_parameters(block);
    let part = |vector: &ParamVector| vector.filtered(|path| own.entry(path).is_some());
    let (target, estimate) = (part(&exact.update), part(&chosen.update));
    let difference = part(&forward.update).axpy(-1.0, &part(&oracle.update)).norm();
    let guess = chosen.guesses.scoped("0");
    let (guess_alignment, guess_norm) = match config.space {
        Space::Weight => {
            let guess = part(&guess);
            (cosine(&guess, &target), (!guess.is_empty()).then(|| guess.norm()))
        }
        Space::Activity => {
            let name = format!("blocks.{block}");
            let only = guess.filtered(|path| path == name);
            let pair = guess.get::<4>(&name).zip(exact.targets.get::<4>(&name));
            (pair.and_then(|(guess, target)| sample_cosine(&guess, &target)), (!only.is_empty()).then(|| only.norm()))
        }
    };
    BlockProbe {
        block,
        guess_alignment,
        estimate_alignment: cosine(&estimate, &target),
        target_norm: target.norm(),
        guess_norm,
        estimate_norm: estimate.norm(),
        deviation: ratio(difference, part(&oracle.update).norm()),
        scalar_deviation: scalar_deviation([forward, oracle], |slot| {
            slot == format!("blocks.{block}") || own.entry(slot).is_some()
        }),
    }
}

fn scalar_deviation(outputs: [&StepOutput; 2], is_own: impl Fn(&str) -> bool) -> Option<f64> {
    let values = |output: &StepOutput| -> BTreeMap<String, Vec<f64>> {
        let own = output.scalars.iter().filter(|scalars| is_own(&scalars.slot));
        own.map(|scalars| (scalars.slot.clone(), scalars.values.concat())).collect()
    };
    let [forward, oracle] = outputs.map(values);
    let pairs = forward.values().flatten().zip(oracle.values().flatten());
    let (difference, size) =
        pairs.fold((0.0, 0.0), |(d, s), (forward, oracle)| (d + (forward - oracle).powi(2), s + oracle * oracle));
    ratio(difference.sqrt(), size.sqrt())
}

fn cosine(a: &ParamVector, b: &ParamVector) -> Option<f64> {
    ratio(a.dot(b), a.norm() * b.norm())
}

/// The mean over samples of the cosine; samples with a zero guess or target count as 0.
fn sample_cosine(a: &burn::tensor::Tensor<4>, b: &burn::tensor::Tensor<4>) -> Option<f64> {
    let [aa, ab, bb] = [(a, a), (a, b), (b, b)].map(|(a, b)| ops::row_dots(a, b));
    let cosines = ab.iter().zip(aa.iter().zip(&bb)).map(|(ab, (aa, bb))| ratio(*ab, (aa * bb).sqrt()).unwrap_or(0.0));
    ratio(cosines.sum(), ab.len() as f64)
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_that_are_not_finite_come_back_as_they_were() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let block = BlockProbe {
                block: 0,
                guess_alignment: Some(value),
                estimate_alignment: Some(value),
                target_norm: value,
                guess_norm: Some(value),
                estimate_norm: value,
                deviation: Some(value),
                scalar_deviation: Some(value),
            };
            let text = serde_json::to_string(&ProbeRecord { step: 3, blocks: vec![block] }).expect("text");
            assert!(!text.contains("null"), "{text}");
            let read: ProbeRecord = serde_json::from_str(&text).expect("a record");
            assert_eq!(serde_json::to_string(&read).expect("text"), text);
        }
    }
}
