//! Guesses that the caller brings: each must be one that a slot takes.

use std::collections::BTreeMap;

use super::view::View;
use super::{EstimatorConfig, Plan, Space, StepInput};
use crate::vector::{ParamTensor, ParamVector};
use crate::{Error, Result};

/// What stands before the paths of given noise.
const NOISE: &str = "noise";

/// The path of the noise at a block's output, among guesses.
pub fn noise_path(block: usize) -> String {
    format!("{NOISE}.blocks.{block}")
}

/// What stands before the paths of a given guess that is corrected.
pub const CORRECTED: &str = "corrected";

/// Refuses a guess that no slot takes, one of another shape, and a block's directions that are not all there: what is not taken
/// would be replaced by the estimator's own guess, and nobody would know.
///
/// # Errors
/// [`Error::UnknownName`], [`Error::OutOfRange`].
pub fn validate(config: &EstimatorConfig, view: &View<'_>, input: &StepInput<'_>) -> Result<()> {
    let Some(given) = input.given else { return Ok(()) };
    let slots = slots(config, view, input)?;
    let (noise, given) = apart(given);
    validate_noise(&noise, config, view, input)?;
    let is_known = |path: &str| path.split_once('.').is_some_and(|(_, slot)| slots.contains_key(slot));
    let directions: Vec<String> = (0..config.directions()).map(|direction| direction.to_string()).collect();
    let corrected = config.correct.map(|_| CORRECTED.to_string());
    let taken = || directions.iter().chain(&corrected);
    for (path, entry) in given.iter() {
        let (direction, slot) = path.split_once('.').unwrap_or((path, ""));
        if !is_known(path) || !taken().any(|known| known == direction) {
            let of_slots = |direction| slots.keys().map(move |slot| format!("{direction}.{slot}"));
            return Err(unknown(path, taken().flat_map(of_slots)));
        }
        check_shape(path, entry, &slots[slot].1)?;
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
    let outputs = outputs(view, input, Plan::new(config, view).estimated)?;
    for (path, entry) in noise.iter() {
        let named = |output: &str| format!("{NOISE}.{output}");
        let (_, shape) =
            outputs.get(path).ok_or_else(|| unknown(&named(path), outputs.keys().map(|output| named(output))))?;
        check_shape(&named(path), entry, shape)?;
    }
    Ok(())
}

/// What takes a guess, by name: its block, and the guess's shape.
type Slots = BTreeMap<String, (usize, Vec<usize>)>;

/// Every slot that takes a guess.
fn slots(config: &EstimatorConfig, view: &View<'_>, input: &StepInput<'_>) -> Result<Slots> {
    let estimated = Plan::new(config, view).estimated;
    match config.space {
        Space::Weight => Ok((0..estimated)
            .flat_map(|block| {
                let parameters = view.globalised(block, view.parameters(block));
                let slot = |(path, entry): (&str, &ParamTensor)| (path.to_string(), (block, entry.shape().to_vec()));
                parameters.iter().map(slot).collect::<Vec<_>>()
            })
            .collect()),
        Space::Activity => outputs(view, input, estimated),
    }
}

/// The estimated blocks' outputs, with their blocks and shapes.
fn outputs(view: &View<'_>, input: &StepInput<'_>, estimated: usize) -> Result<Slots> {
    let samples = input.images.dims()[0];
    let output = |(block, shape): (usize, &[usize; 3])| {
        (format!("blocks.{block}"), (block, [&[samples], shape.as_slice()].concat()))
    };
    Ok(view.outputs(&input.images)?.iter().take(estimated).enumerate().map(output).collect())
}

/// Refuses a tensor of another shape than what takes it has.
fn check_shape(path: &str, entry: &ParamTensor, shape: &[usize]) -> Result<()> {
    if entry.shape() == shape {
        return Ok(());
    }
    let found = format!("of shape {:?}", entry.shape());
    Err(Error::out_of_range(format!("the guess `{path}`"), found, format!("shape {shape:?}")))
}

/// A name that no slot has, among those that some have.
fn unknown(path: &str, names: impl Iterator<Item = String>) -> Error {
    let names: Vec<String> = names.collect();
    Error::unknown_name("guess", path, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Refuses a block that has a guess for some directions only.
fn all_directions(given: &ParamVector, slots: &Slots, directions: &[String]) -> Result<()> {
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
