//! A run of parts that a program brings: a network, data, an estimator, an optimiser, a schedule.
//!
//! ```
//! use foregrad::{estimate::EstimatorConfig, models::ModelConfig, optim::{OptimizerConfig, ScheduleConfig}, rng::Placement};
//! use foregrad_lab::{data, train::{Control, Silent, Trainer}};
//! let options = data::LoadOptions { train_limit: Some(32), test_limit: Some(8), ..Default::default() };
//! let splits = data::load("glyphs", &options)?;
//! let placement = Placement { device: Default::default(), dtype: burn::tensor::DType::F32 };
//! let model = ModelConfig { name: "mlp".into(), width: 0.05, ..Default::default() };
//! let network = model.init(splits.train.shape(), splits.train.kind(), 0, &placement)?;
//! let (estimator, optimizer) = (EstimatorConfig::default(), OptimizerConfig::default());
//! let mut trainer = Trainer::new(network, splits, estimator, optimizer, ScheduleConfig::default()).epochs(1).batch(8).start()?;
//! trainer.run(&Control::default(), &mut Silent)?;
//! let trained = trainer.into_network();
//! # Ok::<(), foregrad::Error>(())
//! ```

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::checkpoint::{Checkpoint, Position};
use super::config::{FREE, OWN};
use super::settings::check_epochs;
use super::timetable::Timetable;
use super::{RunConfig, RunFolder, Tally, Trainer};
use crate::data::{BatchOptions, Batches, Description, Order, Source, Splits};
use crate::ranks::Team;
use crate::{Error, Result};
use foregrad::estimate::{EstimatorConfig, EstimatorState, MicroBatch, Plan, View};
use foregrad::layers::{Layer, Sequential, size_text};
use foregrad::models::Network;
use foregrad::optim::{Optimizer, OptimizerConfig, ScheduleConfig};
use foregrad::rng::Placement;
use foregrad::weights;

/// A run before it starts or goes on.
pub struct TrainerBuilder {
    network: Network,
    data: Splits,
    config: RunConfig,
    folder: Option<PathBuf>,
    overwrite: bool,
    team: Team,
}

impl Trainer {
    /// A run of these parts, in memory until it is given a folder. It trains where the network's parameters are.
    #[expect(clippy::new_ret_no_self, reason = "what a run is made of is known before the run is")]
    pub fn new(
        network: Network,
        data: Splits,
        estimator: EstimatorConfig,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
    ) -> TrainerBuilder {
        let mut config = RunConfig { estimator, optimizer, schedule, ..Default::default() };
        config.data.dataset = OWN.into();
        config.model.name = OWN.into();
        TrainerBuilder::of(network, data, config)
    }
}

/// Declares what is set by giving it.
macro_rules! setters {
    ($($(#[$about:meta])* $name:ident: $type:ty,)*) => {$(
        $(#[$about])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.config.$name = $name;
            self
        }
    )*};
}

impl TrainerBuilder {
    /// Of parts and all settings.
    pub(super) fn of(network: Network, data: Splits, config: RunConfig) -> Self {
        Self { network, data, config, folder: None, overwrite: false, team: Team::default() }
    }

    setters! {
        /// Passes over the training samples.
        epochs: u64,
        /// Samples a step.
        batch: usize,
        /// Equal parts of a batch that one process computes one after the other, in the memory of one.
        micro_batches: usize,
        /// Names every random draw of the run: order, variations, guesses.
        seed: u64,
        /// Steps between two probes of alignment and deviation (0: none).
        probe_every: u64,
        /// Epochs between two checkpoints (0: only at the end).
        checkpoint_every: u64,
        /// Steps between two checkpoints, besides (0: none).
        checkpoint_steps: u64,
        /// Minutes between two checkpoints, besides (0: none).
        checkpoint_minutes: f64,
        /// Checkpoints to keep.
        keep_checkpoints: usize,
    }

    /// Whether training samples are varied, in place of what the data say.
    pub fn augment(mut self, augment: bool) -> Self {
        self.config.data.augment = Some(augment);
        self
    }

    /// The processes that train the network together; the first writes into the folder.
    pub fn team(mut self, team: Team) -> Self {
        self.team = team;
        self
    }

    /// Where settings, metrics, probes and checkpoints are written.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Whether a run that is in the folder already is removed.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Starts the run.
    ///
    /// # Errors
    /// Settings that have no meaning, parts that do not go together, a folder that holds a run or cannot be written.
    pub fn start(self) -> Result<Trainer> {
        let folder = self.folder.clone();
        let overwrite = self.overwrite;
        let mut trainer = self.ready()?;
        let config = &trainer.config;
        let folder = folder.filter(|_| trainer.team.is_root());
        trainer.folder = folder.map(|folder| RunFolder::create(&folder, config, overwrite)).transpose()?;
        Ok(trainer)
    }

    /// Resumes the run in the folder from its newest checkpoint, to the same bits: with the network, the data and the settings that it
    /// began with, but for more epochs, other parts of a batch and what is kept of it.
    ///
    /// # Errors
    /// No run there, a damaged checkpoint, other settings, another network, other data.
    pub fn resume(self) -> Result<Trainer> {
        let folder = self.own_folder()?;
        let checkpoint = RunFolder::newest(&folder, &placement_of(&self.network))?;
        self.go_on_alike(checkpoint, &folder)
    }

    /// As [`Self::resume`], from a given checkpoint of the folder.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn resume_from(self, file: &Path) -> Result<Trainer> {
        let checkpoint = Checkpoint::load(file, &placement_of(&self.network))?;
        self.go_on_alike(checkpoint, file)
    }

    fn own_folder(&self) -> Result<PathBuf> {
        self.folder.clone().ok_or_else(|| Error::out_of_range("the folder", "missing", "that of the run that goes on"))
    }

    /// Goes on if the settings are those of a checkpoint.
    fn go_on_alike(self, checkpoint: Checkpoint, from: &Path) -> Result<Trainer> {
        let differences = checkpoint.config.differences(&self.config);
        match differences.into_iter().find(|own| !FREE.contains(&own.setting.as_str()) && !own.is_of_keeping()) {
            Some(own) => Err(Error::out_of_range(own.setting, own.other, format!("{}, as the run began", own.own))),
            None => {
                check_epochs(&self.config, &checkpoint)?;
                self.go_on(checkpoint, from)
            }
        }
    }

    /// Goes on from a checkpoint, which errors about its tensors call `from`.
    pub(super) fn go_on(self, checkpoint: Checkpoint, from: &Path) -> Result<Trainer> {
        let folder = self.own_folder()?;
        let mut trainer = self.ready()?;
        if let Some(data) = &checkpoint.data {
            data.check(&trainer.description)?;
        }
        weights::assign(&mut trainer.network, &checkpoint.state, from)?;
        trainer.optimizer.restore(&checkpoint.optimizer, &checkpoint.position.ages);
        trainer.state = checkpoint.estimator;
        trainer.position = checkpoint.position;
        trainer.leave_counts_to_root();
        let Position { epoch, step, .. } = trainer.position;
        if trainer.team.is_root() {
            trainer.folder = Some(RunFolder::resume(&folder, &trainer.config, epoch, step)?);
        }
        Ok(trainer)
    }

    /// The run at its beginning, without a folder.
    fn ready(self) -> Result<Trainer> {
        let Self { network, data, mut config, team, .. } = self;
        config.ranks = team.count();
        config.validate_training()?;
        if !config.budget.is_met() {
            let expected = "one that epochs and batch were found for: RunConfig::within_budget";
            return Err(Error::out_of_range("budget", "given", expected));
        }
        let plan = plan_for(&config, &data, &network)?;
        let position = Position { tallies: vec![Tally::default(); network.depth()], ..Default::default() };
        Ok(Trainer {
            placement: placement_of(&network),
            optimizer: Optimizer::new(&config.optimizer),
            state: EstimatorState::default(),
            description: Description::of(&data)?,
            timetable: Timetable::new(&config, Instant::now()),
            folder: None,
            last: None,
            config,
            network,
            position,
            plan,
            data,
            team,
            saves: Cell::default(),
            sent_in_steps: Cell::default(),
            steps_since: Cell::default(),
        })
    }
}

/// Where a network's parameters are.
fn placement_of(network: &Network) -> Placement {
    network
        .parameters()
        .placement()
        .unwrap_or(Placement { device: Default::default(), dtype: burn::tensor::DType::F32 })
}

/// Refuses samples to judge by that are not of the kind of those to learn from.
fn check_alike(data: &Splits) -> Result<()> {
    let of = |set: &dyn Source| format!("{} with {}", size_text(set.shape()), set.kind());
    let others = [("test", &data.test), ("validation", &data.validation)];
    let wrong = others.into_iter().find(|(_, set)| !set.is_empty() && of(&***set) != of(&*data.train));
    wrong.map_or(Ok(()), |(name, set)| {
        let expected = format!("{}, as the training samples are", of(&*data.train));
        Err(Error::out_of_range(format!("a sample of the {name} set"), of(&**set), expected))
    })
}

/// The outputs of a network's blocks, `[channels, height, width]`; refuses inputs that it does not take.
fn outputs(data: &Splits, network: &Network) -> Result<Vec<[usize; 3]>> {
    let mut shape = data.train.shape();
    let output = |(number, block): (usize, &Sequential)| {
        shape = block.output(shape).map_err(|error| Error::within(format!("block {number}"), error))?;
        Ok(shape)
    };
    network.blocks.iter().enumerate().map(output).collect()
}

/// The course of a run's steps, for a network and data that go together.
///
/// # Errors
/// Settings that do not go with either, labels that the network does not take.
pub(super) fn plan_for(config: &RunConfig, data: &Splits, network: &Network) -> Result<Plan> {
    if config.batch > data.train.len() {
        let expected = format!("at most the {} training images", data.train.len());
        return Err(Error::out_of_range("batch", config.batch, expected));
    }
    check_alike(data)?;
    let view = View::new(network);
    config.estimator.validate(view.count_losses())?;
    if view.has_target().contains(&true) {
        config.estimator.validate_target_heads(view.count_losses())?;
    }
    config.estimator.validate_outputs(&outputs(data, network)?)?;
    config.estimator.validate_losses(&view)?;
    config.estimator.validate_untrained(&view)?;
    let first = BatchOptions { size: 1, order: Order::InOrder, augment: false, skip: 0, part: MicroBatch::WHOLE };
    for batch in Batches::new(data.train.clone(), first)?.take(1) {
        let labels = batch?.labels;
        view.losses.iter().chain(&view.targets).flatten().try_for_each(|loss| loss.validate(&labels))?;
    }
    Ok(Plan::new(&config.estimator, &view))
}
