//! Runs of settings alone: network and data are made of them.

use std::path::{Path, PathBuf};

use super::builder::{TrainerBuilder, plan_for};
use super::checkpoint::Checkpoint;
use super::{RunConfig, RunFolder, Trainer, evaluate::data_for};
use crate::data::{Description, Splits};
use crate::ranks::Team;
use crate::{Error, Result};
use foregrad::estimate::Plan;
use foregrad::models::Network;
use foregrad::rng::Placement;

/// What may change when a run is resumed; without any change it continues to the same bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Passes over the training images; schedules that end with the run end with the new last pass.
    pub epochs: Option<u64>,
    /// Where the data set's files are now.
    pub data_dir: Option<PathBuf>,
    /// The data set under another name: data of one's own that have been moved.
    pub dataset: Option<String>,
    /// Parts of a batch that a process computes: the same bits if the number of all processes' parts stays.
    pub micro_batches: Option<usize>,
}

impl Trainer {
    /// Starts a run in a folder.
    ///
    /// # Errors
    /// Settings that have no meaning, data that cannot be loaded, a folder that holds a run or cannot be written.
    pub fn start(config: &RunConfig, placement: Placement, folder: &Path, overwrite: bool) -> Result<Self> {
        Self::start_among(Team::default(), config, placement, folder, overwrite)
    }

    /// As [`Self::start`], as one of several processes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_among(
        team: Team,
        config: &RunConfig,
        placement: Placement,
        folder: &Path,
        overwrite: bool,
    ) -> Result<Self> {
        let config = RunConfig { ranks: team.count(), ..config.clone() };
        prepared(&config, None, &placement)?.team(team).folder(folder).overwrite(overwrite).start()
    }

    /// Resumes the run in a folder from its newest checkpoint, or a given one, to the same bits.
    ///
    /// # Errors
    /// No run there, a damaged checkpoint, one of another model, data that cannot be loaded or are not those that it began with.
    pub fn resume(folder: &Path, from: Option<&Path>, changes: &Changes, placement: Placement) -> Result<Self> {
        Self::resume_among(Team::default(), folder, from, changes, placement)
    }

    /// As [`Self::resume`], as one of several processes, whatever their number was.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn resume_among(
        team: Team,
        folder: &Path,
        from: Option<&Path>,
        changes: &Changes,
        placement: Placement,
    ) -> Result<Self> {
        let checkpoint = match from {
            Some(file) => Checkpoint::load(file, &placement)?,
            None => RunFolder::newest(folder, &placement)?,
        };
        let mut config = checkpoint.config.clone();
        config.epochs = changes.epochs.unwrap_or(config.epochs);
        config.ranks = team.count();
        config.micro_batches = changes.micro_batches.unwrap_or(config.micro_batches);
        config.data.dir = changes.data_dir.clone().or(config.data.dir);
        config.data.dataset = changes.dataset.clone().unwrap_or(config.data.dataset);
        check_epochs(&config, &checkpoint)?;
        let builder = prepared(&config, checkpoint.data.as_ref(), &placement)?.team(team).folder(folder);
        builder.go_on(checkpoint, from.unwrap_or(folder))
    }
}

/// Refuses fewer epochs than are done, before anything is loaded.
pub(super) fn check_epochs(config: &RunConfig, checkpoint: &Checkpoint) -> Result<()> {
    if config.epochs >= checkpoint.position.epoch {
        return Ok(());
    }
    let expected = format!("at least the {} epochs that are done", checkpoint.position.epoch);
    Err(Error::out_of_range("epochs", config.epochs, expected))
}

/// Network and data of a run whose settings have been found valid.
pub(super) fn prepared(
    config: &RunConfig,
    known: Option<&Description>,
    placement: &Placement,
) -> Result<TrainerBuilder> {
    config.validate()?;
    let splits = data_for(config, known)?;
    let network = config.model.init(splits.train.shape(), splits.train.kind(), config.seed, placement)?;
    Ok(TrainerBuilder::of(network, splits, config.clone()))
}

/// The network of a run and the course of its steps, for images that are loaded.
///
/// # Errors
/// Settings that have no meaning, or do not go with the images.
pub fn network_for(config: &RunConfig, splits: &Splits, placement: &Placement) -> Result<(Network, Plan)> {
    config.validate()?;
    let network = config.model.init(splits.train.shape(), splits.train.kind(), config.seed, placement)?;
    let plan = plan_for(config, splits, &network)?;
    Ok((network, plan))
}
