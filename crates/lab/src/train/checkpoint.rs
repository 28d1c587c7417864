//! Checkpoints: everything a run needs to continue to the same bits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RunConfig, Tally};
use crate::data::Description;
use crate::{Error, Result};
use foregrad::estimate::EstimatorState;
use foregrad::files;
use foregrad::optim::Plateau;
use foregrad::rng::Placement;
use foregrad::vector::ParamVector;
use foregrad::weights::{self, Metadata};

/// The version of the files written now.
pub const FORMAT_VERSION: u32 = 1;

/// The text that tells a checkpoint from a file of weights: its version.
const VERSION_KEY: &str = "foregrad-checkpoint";

/// What a file of weights may be.
#[derive(Debug)]
pub enum Loaded {
    /// A run's checkpoint.
    Checkpoint(Box<Checkpoint>),
    /// Tensors alone.
    Weights(ParamVector),
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Position {
    /// The epoch under way, from 0.
    pub epoch: u64,
    /// Batches of it that are done.
    pub batch: usize,
    /// Optimiser steps done.
    pub step: u64,
    /// The epoch's training scores so far.
    pub tallies: Vec<Tally>,
    /// Zero guesses of the epoch so far.
    pub zero_guesses: usize,
    /// Seconds of training in the epoch so far.
    #[serde(with = "foregrad::numbers")]
    pub seconds: f64,
    /// Operations of training in the epoch so far.
    #[serde(default)]
    pub operations: u64,
    /// The plateau schedule's state.
    pub plateau: Plateau,
    /// The numbers of the estimator's state, by path.
    #[serde(default, with = "foregrad::numbers::by_name")]
    pub numbers: BTreeMap<String, f64>,
    /// Mixing's baselines, as older checkpoints hold them.
    #[serde(default, skip_serializing, with = "foregrad::numbers::by_name")]
    pub(super) baselines: BTreeMap<String, f64>,
    /// Steps that Adam's moments have seen.
    pub ages: BTreeMap<String, usize>,
}

impl Position {
    /// The numbers of the estimator's state.
    fn take_numbers(&mut self) -> BTreeMap<String, f64> {
        let mut numbers = std::mem::take(&mut self.numbers);
        // Older checkpoints call the slot of a block `block.J`.
        let slot = |name: String| name.strip_prefix("block.").map_or(name.clone(), |block| format!("blocks.{block}"));
        let older = std::mem::take(&mut self.baselines).into_iter();
        numbers.extend(older.map(|(name, mean)| (format!("mix.{}", slot(name)), mean)));
        numbers
    }
}

/// A checkpoint in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The run's settings.
    pub config: RunConfig,
    /// The data it began with; older files do not tell.
    pub data: Option<Description>,
    /// Where the run stands.
    pub position: Position,
    /// Parameters and moving averages.
    pub state: ParamVector,
    /// The optimiser's tensors.
    pub optimizer: ParamVector,
    /// What the estimator carries from step to step.
    pub estimator: EstimatorState,
}

impl Checkpoint {
    /// Writes the checkpoint, whole or not at all.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = self.state.clone();
        for (name, apart) in weights::APART.into_iter().zip([&self.optimizer, &self.estimator.tensors]) {
            tensors.extend(apart.clone().prefixed(name));
        }
        let position = Position { numbers: self.estimator.numbers.clone(), ..self.position.clone() };
        let position = serde_json::to_string(&position).expect("a position is plain values");
        let mut metadata = Metadata::from([
            (VERSION_KEY.to_string(), FORMAT_VERSION.to_string()),
            ("config".to_string(), self.config.to_toml()),
            ("position".to_string(), position),
        ]);
        let data = self.data.as_ref().map(|data| serde_json::to_string(data).expect("a description is plain values"));
        metadata.extend(data.map(|data| ("data".to_string(), data)));
        weights::save(path, &tensors, metadata)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A damaged file, a file of weights that is no checkpoint, a checkpoint of another version.
    pub fn load(path: &Path, placement: &Placement) -> Result<Self> {
        let (tensors, metadata) = weights::load(path, placement)?;
        Self::decode(path, tensors, &metadata)
    }

    /// Reads a checkpoint, or a file of weights alone.
    ///
    /// # Errors
    /// A damaged file, a checkpoint of another version.
    pub fn load_or_weights(path: &Path, placement: &Placement) -> Result<Loaded> {
        Self::from_bytes(path, &files::read(path)?, placement)
    }

    /// As [`Self::load_or_weights`], of a file's bytes.
    ///
    /// # Errors
    /// As [`Self::load_or_weights`].
    pub fn from_bytes(path: &Path, bytes: &[u8], placement: &Placement) -> Result<Loaded> {
        let (tensors, metadata) = weights::from_bytes(path, bytes, placement)?;
        if metadata.contains_key(VERSION_KEY) {
            return Ok(Loaded::Checkpoint(Box::new(Self::decode(path, tensors, &metadata)?)));
        }
        Ok(Loaded::Weights(tensors))
    }

    fn decode(path: &Path, tensors: ParamVector, metadata: &Metadata) -> Result<Self> {
        let text = |key: &str| {
            metadata.get(key).ok_or_else(|| Error::bad_file(path, "a checkpoint of a run", "weights alone"))
        };
        let version = text(VERSION_KEY)?;
        if *version != FORMAT_VERSION.to_string() {
            let expected = format!("a checkpoint of format {FORMAT_VERSION}");
            return Err(Error::bad_file(path, expected, format!("format {version}")));
        }
        let damaged = |what: &str, error: String| Error::bad_file(path, what, error);
        let config = RunConfig::from_toml(text("config")?).map_err(|error| damaged("a run's settings", error))?;
        let mut position: Position =
            serde_json::from_str(text("position")?).map_err(|error| damaged("a run's position", error.to_string()))?;
        let data = metadata.get("data").map(|text| serde_json::from_str(text)).transpose();
        let data = data.map_err(|error| damaged("the description of a run's data", error.to_string()))?;
        let [optimizer, of_estimator] = weights::APART.map(|name| tensors.scoped(name));
        let state =
            tensors.filtered(|name| !name.split_once('.').is_some_and(|(first, _)| weights::APART.contains(&first)));
        let estimator = EstimatorState { tensors: of_estimator, numbers: position.take_numbers() };
        Ok(Self { config, data, position, state, optimizer, estimator })
    }
}

/// The checkpoints of a folder by their steps, oldest first; none of a folder that is missing.
///
/// # Errors
/// A folder that is there and cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let paths = files::list_if_there(folder)?.unwrap_or_default();
    let mut found: Vec<_> = paths.into_iter().filter_map(|path| Some((step_of(&path)?, path))).collect();
    found.sort();
    Ok(found)
}

/// The step in a checkpoint's name; none for any other file, such as a copy that a user keeps beside them.
fn step_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The file of a step's checkpoint.
pub fn path_of(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("checkpoint-{step:08}.safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_is_not_finite_comes_back_as_it_was() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let plateau = Plateau { best: Some(value), waited: 1, factor: value };
            let numbers = BTreeMap::from([("mix.blocks.0".to_string(), value)]);
            let position = Position { seconds: value, plateau, numbers, ..Default::default() };
            let text = serde_json::to_string(&position).expect("text");
            assert!(!text.contains("null"), "{text}");
            let read: Position = serde_json::from_str(&text).expect("a position");
            assert_eq!(serde_json::to_string(&read).expect("text"), text);
        }
    }

    #[test]
    fn the_baselines_of_older_checkpoints_are_read_on() {
        let mut older = serde_json::to_value(Position::default()).expect("a position");
        let fields = older.as_object_mut().expect("an object");
        fields.remove("numbers").expect("today's place");
        fields
            .insert("baselines".into(), serde_json::json!({ "block.3": 0.5, "blocks.4": 2.0, "conv1.weight": "NaN" }));
        let mut read: Position = serde_json::from_value(older).expect("a position");
        let numbers = read.take_numbers();
        let paths: Vec<_> = numbers.keys().map(String::as_str).collect();
        assert_eq!(paths, ["mix.blocks.3", "mix.blocks.4", "mix.conv1.weight"]);
        assert!(numbers["mix.blocks.3"] == 0.5 && numbers["mix.conv1.weight"].is_nan());
        assert_eq!(
            serde_json::to_value(&read).expect("text"),
            serde_json::to_value(Position::default()).expect("text")
        );
    }
}
