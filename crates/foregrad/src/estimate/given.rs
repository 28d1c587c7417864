//! Guesses that the caller brings: each must be one that a slot takes.

use std::collections::BTreeMap;

use super::view::View;
use super::{EstimatorConfig, Plan, Space, StepInput};
use crate::layers::Phase;
use crate::vector::ParamVector;
use crate::{Error, Result};

/// What stands before the paths of given noise.
pub const NOISE: &str = "noise";

/// What stands before the paths of a given guess that is corrected.
pub const CORRECTED: &str = "corrected";

/// Refuses a guess that no slot takes, one of another shape, and a block's directions that are not all there: what is not taken
/// would be replaced by the estimator's own guess, and nobody would know.
///
/// # Errors
/// [`Error::UnknownName`], [`Error::OutOfRange`].
pub fn validate(config: &EstimatorConfig, view: &View<'_>, input: &StepInput<'_>) -> Result<()> {
    let Some(given) = input.given else { return Ok(()) };
    let slots = slots(config, view, input);
    let (noise, given) = apart(given);
    validate_noise(&noise, config, view, input)?;
    let is_known = |path: &str| path.split_once('.').is_some_and(|(_, slot)| slots.contains_key(slot));
    let directions: Vec<String> = (0..config.directions()).map(|direction| direction.to_string()).collect();
    let corrected = config.correct.map(|_| CORRECTED.to_string());
    let taken = || directions.iter().chain(&corrected);
    for (path, entry) in given.iter() {
        let (direction, slot) = path.split_once('.').unwrap_or((path, ""));
        if !is_known(path) || !taken().any(|known| known == direction) {
            let names: Vec<String> =
                taken().flat_map(|direction| slots.keys().map(move |slot| format!("{direction}.{slot}"))).collect();
            return Err(Error::unknown_name("guess", path, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        let (_, shape) = &slots[slot];
        if entry.shape() != shape {
            let found = format!("of shape {:?}", entry.shape());
            return Err(Error::out_of_range(format!("the guess `{path}`"), found, format!("shape {shape:?}")));
        }
    }
    all_directions(&given, &slots, &directions)
}

/// The noise, by `blocks.J`, and the guesses.
fn apart(given: &ParamVector) -> (ParamVector, ParamVector) {
    (given.scoped(NOISE), given.filtered(|path| !path.starts_with(&format!("{NOISE}."))))
}

/// Refuses noise that nothing learns from, and of another shape than the output that it is added to.
fn validate_noise(noise: &ParamVector, config: &EstimatorConfig, view: &View<'_>, input: &StepInput<'_>) -> Result<()> {
    let Some((path, _)) = noise.iter().next() else { return Ok(()) };
    if !config.guess.needs(config).noise {
        let reason = format!("no guess of this estimator learns from noise, as from the given `{NOISE}.{path}`");
        return Err(Error::meaningless(
            reason,
            "`estimator.guess = feedback` `estimator.guesses.feedback.rate = 1e-4`",
        ));
    }
    let estimated = Plan::new(config, &view.has_loss()).estimated;
    let outputs = outputs(view, input, estimated);
    for (path, entry) in noise.iter() {
        let Some((_, shape)) = outputs.get(path) else {
            let names: Vec<String> = outputs.keys().map(|output| format!("{NOISE}.{output}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(Error::unknown_name("guess", &format!("{NOISE}.{path}"), &names));
        };
        if entry.shape() != shape {
            let found = format!("of shape {:?}", entry.shape());
            return Err(Error::out_of_range(format!("the guess `{NOISE}.{path}`"), found, format!("shape {shape:?}")));
        }
    }
    Ok(())
}

/// Every slot that takes a guess, with its block and the guess's shape.
fn slots(config: &EstimatorConfig, view: &View<'_>, input: &StepInput<'_>) -> BTreeMap<String, (usize, Vec<usize>)> {
    let estimated = Plan::new(config, &view.has_loss()).estimated;
    match config.space {
        Space::Weight => (0..estimated)
            .flat_map(|block| {
                let parameters = view.globalised(block, view.parameters(block));
                let slot = |(path, entry): (&str, &crate::vector::ParamTensor)| {
                    (path.to_string(), (block, entry.shape().to_vec()))
                };
                parameters.iter().map(slot).collect::<Vec<_>>()
            })
            .collect(),
        Space::Activity => outputs(view, input, estimated),
    }
}

/// The estimated blocks' outputs, with their blocks and shapes.
fn outputs(view: &View<'_>, input: &StepInput<'_>, estimated: usize) -> BTreeMap<String, (usize, Vec<usize>)> {
    let samples = input.images.dims()[0];
    let mut x = input.images.clone().narrow(0, 0, 1);
    let output = |block: usize| {
        x = view.blocks[block].forward(x.clone(), Phase::Eval.into()).0;
        let [_, channels, height, width] = x.dims();
        (format!("blocks.{block}"), (block, vec![samples, channels, height, width]))
    };
    (0..estimated).map(output).collect()
}

/// Refuses a block that has a guess for some directions only.
fn all_directions(
    given: &ParamVector,
    slots: &BTreeMap<String, (usize, Vec<usize>)>,
    directions: &[String],
) -> Result<()> {
    let mut found: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let own = given.paths().filter_map(|path| path.split_once('.'));
    for (direction, slot) in own.filter(|(direction, _)| *direction != CORRECTED) {
        let of_block = found.entry(slots[slot].0).or_default();
        if !of_block.contains(&direction) {
            of_block.push(direction);
        }
    }
    match found.into_iter().find(|(_, of_block)| of_block.len() < directions.len()) {
        Some((block, of_block)) => Err(Error::out_of_range(
            format!("the guess of block {block}"),
            format!("given for the directions {} only", of_block.join(", ")),
            format!("all {} directions, or none", directions.len()),
        )),
        None => Ok(()),
    }
}
