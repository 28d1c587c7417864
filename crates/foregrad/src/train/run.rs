//! The loop: batches, steps, scores, checkpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::checkpoint::{Checkpoint, Position};
use super::evaluate::{evaluate, on_device};
use super::{
    EpochRecord, Optimizer, ProbeRecord, RunConfig, RunFolder, Score, Tally, clip, peak_memory, probe, weights,
};
use crate::data::{self, BatchOptions, Batches, Order, Splits};
use crate::estimate::{self, EstimatorState, Plan, StepInput, StepOutput};
use crate::models::Network;
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Error, Result};

/// The weight of a batch in the moving averages (PyTorch's default).
const AVERAGE_MOMENTUM: f64 = 0.1;

/// What a run tells while it goes on; a library prints nothing itself.
pub trait Observer {
    /// After every step.
    fn step(&mut self, _report: &StepReport) {}
    /// After every probe.
    fn probe(&mut self, _record: &ProbeRecord) {}
    /// After every epoch.
    fn epoch(&mut self, _record: &EpochRecord) {}
}

/// An observer that says nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A step that is done.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// The epoch under way, from 0.
    pub epoch: u64,
    /// Steps done, and steps of the whole run.
    pub steps: [u64; 2],
    /// Images a step.
    pub batch: usize,
    /// The network's loss on the batch.
    pub loss: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All epochs are done; the last one's record.
    Done(Box<EpochRecord>),
    /// It was asked to stop, and wrote this checkpoint.
    Stopped(PathBuf),
}

/// What a run may change when it goes on; without any change it goes on to the same bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Passes over the training images; schedules that end with the run end with the new last pass.
    pub epochs: Option<u64>,
    /// Where the data set's files are now.
    pub data_dir: Option<PathBuf>,
}

/// The images of a run, shared with the threads that make batches of them.
struct Data {
    train: Arc<data::Dataset>,
    validation: Arc<data::Dataset>,
    test: Arc<data::Dataset>,
}

/// A run.
pub struct Trainer {
    config: RunConfig,
    placement: Placement,
    network: Network,
    optimizer: Optimizer,
    state: EstimatorState,
    position: Position,
    plan: Plan,
    data: Data,
    folder: RunFolder,
    last: Option<EpochRecord>,
}

impl Trainer {
    /// Starts a run in a folder.
    ///
    /// # Errors
    /// Settings that mean nothing, data that cannot be loaded, a folder that holds a run or cannot be written.
    pub fn start(config: &RunConfig, placement: Placement, folder: &Path, overwrite: bool) -> Result<Self> {
        let (network, data, plan) = prepare(config, &placement)?;
        let folder = RunFolder::create(folder, config, overwrite)?;
        let position = Position { tallies: vec![Tally::default(); network.depth()], ..Default::default() };
        let optimizer = Optimizer::new(&config.optimizer);
        let (config, state) = (config.clone(), EstimatorState::default());
        Ok(Self { config, placement, network, optimizer, state, position, plan, data, folder, last: None })
    }

    /// Goes on with the run in a folder, from its newest checkpoint or a given one, to the same bits.
    ///
    /// # Errors
    /// No run there, a damaged checkpoint, one of another model, data that cannot be loaded.
    pub fn resume(folder: &Path, from: Option<&Path>, changes: &Changes, placement: Placement) -> Result<Self> {
        let checkpoint = match from {
            Some(file) => Checkpoint::load(file, &placement)?,
            None => RunFolder::newest(folder, &placement)?,
        };
        let mut config = checkpoint.config.clone();
        config.epochs = changes.epochs.unwrap_or(config.epochs);
        config.data.dir = changes.data_dir.clone().or(config.data.dir);
        if config.epochs < checkpoint.position.epoch {
            let expected = format!("at least the {} epochs that are done", checkpoint.position.epoch);
            return Err(Error::out_of_range("--epochs", config.epochs, expected));
        }
        let (mut network, data, plan) = prepare(&config, &placement)?;
        weights::assign(&mut network, &checkpoint.state, from.unwrap_or(folder))?;
        let mut optimizer = Optimizer::new(&config.optimizer);
        optimizer.restore(&checkpoint.optimizer, &checkpoint.position.ages);
        let state = checkpoint.estimator_state();
        let position = checkpoint.position;
        let folder = RunFolder::resume(folder, &config, position.epoch, position.step)?;
        Ok(Self { config, placement, network, optimizer, state, position, plan, data, folder, last: None })
    }

    /// The network as it is now.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Whether all epochs are done.
    pub fn is_complete(&self) -> bool {
        self.position.epoch >= self.config.epochs
    }

    /// The run's settings.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Steps of one epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.data.train.len() / self.config.batch
    }

    /// Goes on to the end, or until it is asked to stop.
    ///
    /// # Errors
    /// A loss or update that is not finite, files that cannot be written.
    pub fn run(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        while self.position.epoch < self.config.epochs {
            if !self.epoch(stop, observer)? {
                return Ok(Outcome::Stopped(self.save()?));
            }
            let record = self.close_epoch()?;
            observer.epoch(&record);
            let due =
                self.config.checkpoint_every > 0 && self.position.epoch.is_multiple_of(self.config.checkpoint_every);
            if due || self.position.epoch == self.config.epochs {
                self.save()?;
            }
            self.last = Some(record);
        }
        match self.last.take() {
            Some(record) => Ok(Outcome::Done(Box::new(record))),
            None => Err(Error::bad_file(self.folder.path(), "a run with epochs left", "one that is complete")),
        }
    }

    /// The rest of the epoch under way; false if it was asked to stop.
    fn epoch(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<bool> {
        let order = Order::Shuffled { seed: self.config.seed, epoch: self.position.epoch };
        let augment = self.config.data.augments()?;
        let options = BatchOptions { size: self.config.batch, order, augment, skip: self.position.batch };
        for batch in Batches::new(self.data.train.clone(), options)? {
            let began = Instant::now();
            let (images, labels) = on_device(batch, self.data.train.classes.len(), &self.placement);
            let mut input = StepInput::new(images, &labels, self.config.seed, self.position.step);
            let buffer = self.optimizer.buffer().clone();
            input.momentum = Some(&buffer);
            if self.config.probe_every > 0 && self.position.step.is_multiple_of(self.config.probe_every) {
                let record = probe(&self.config.estimator, &self.network, &input, &self.state)?;
                self.folder.probe(&record)?;
                observer.probe(&record);
            }
            let output = estimate::step(&self.config.estimator, &self.network, &input, &self.state)?;
            let loss = self.apply(output, labels.indices.len())?;
            self.position.seconds += began.elapsed().as_secs_f64();
            let total = self.config.epochs * self.steps_per_epoch() as u64;
            let (epoch, steps) = (self.position.epoch, [self.position.step, total]);
            observer.step(&StepReport { epoch, steps, batch: self.config.batch, loss });
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves the parameters and averages by one step's output; gives the network's loss.
    fn apply(&mut self, output: StepOutput, images: usize) -> Result<f64> {
        let loss = output.evaluations.last().copied().flatten().map_or(f64::NAN, |evaluation| evaluation.loss);
        self.check_finite("the loss", loss.is_finite())?;
        let update = clip(output.update, self.config.optimizer.clip);
        self.check_finite("the update", update.is_finite())?;
        let moved = self.optimizer.step(self.rate(self.position.step), &self.network.parameters(), &update);
        let averages = averaged(&self.network.averages(), &output.statistics);
        self.check_finite("a parameter after the update", moved.is_finite())?;
        self.check_finite("a moving average", averages.is_finite())?;
        self.network.assign(&moved);
        self.network.assign(&averages);
        for (tally, evaluation) in self.position.tallies.iter_mut().zip(&output.evaluations) {
            evaluation.iter().for_each(|evaluation| tally.add(evaluation, images));
        }
        self.position.zero_guesses += output.zero_guesses;
        self.position.step += 1;
        self.position.batch += 1;
        self.state = output.state;
        Ok(loss)
    }

    fn check_finite(&self, what: &str, finite: bool) -> Result<()> {
        if finite {
            return Ok(());
        }
        let kept = match self.folder.newest_file() {
            Some(file) => format!("the last good checkpoint is {}", file.display()),
            None => "no checkpoint was written yet".to_string(),
        };
        let advice = format!("try a lower --lr, or --clip 1; {kept}");
        Err(Error::NotFinite { what: what.into(), step: self.position.step, advice })
    }

    /// The learning rate of a step.
    fn rate(&self, step: u64) -> f64 {
        let per_epoch = self.steps_per_epoch() as u64;
        let factor = self.config.schedule.factor(step, per_epoch, self.config.epochs, &self.position.plateau);
        self.config.optimizer.rate * factor
    }

    /// Scores the epoch, writes its record and turns to the next.
    fn close_epoch(&mut self) -> Result<EpochRecord> {
        let rate = self.rate(self.position.step.saturating_sub(1));
        let scores = |tallies: Vec<Tally>| tallies.iter().map(Tally::score).collect::<Vec<Option<Score>>>();
        let score = |set: &Arc<data::Dataset>| -> Result<Vec<Option<Score>>> {
            if set.is_empty() {
                return Ok(Vec::new());
            }
            Ok(scores(evaluate(&self.network, set, &self.plan.trains, &self.placement)?))
        };
        let (test, validation) = (score(&self.data.test)?, score(&self.data.validation)?);
        let seconds = self.position.seconds;
        let images = (self.position.batch * self.config.batch) as f64;
        let record = EpochRecord {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            rate,
            train: scores(self.position.tallies.clone()),
            test,
            validation,
            zero_guesses: self.position.zero_guesses,
            images_per_second: images / seconds.max(1e-9),
            seconds,
            peak_memory: peak_memory(),
        };
        self.folder.epoch(&record)?;
        let watched = if record.validation.is_empty() { &record.train } else { &record.validation };
        let loss = watched.last().copied().flatten().map_or(f64::INFINITY, |score| score.loss);
        self.position = Position {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            tallies: vec![Tally::default(); self.network.depth()],
            plateau: self.position.plateau.observe(loss, &self.config.schedule),
            ..Default::default()
        };
        Ok(record)
    }

    fn save(&mut self) -> Result<PathBuf> {
        self.position.baselines = self.state.baselines.clone();
        self.position.ages = self.optimizer.ages();
        self.folder.checkpoint(&Checkpoint {
            config: self.config.clone(),
            position: self.position.clone(),
            state: self.network.state(),
            optimizer: self.optimizer.tensors(),
        })
    }
}

/// Network, data and plan of a run whose settings have been found to mean something.
fn prepare(config: &RunConfig, placement: &Placement) -> Result<(Network, Data, Plan)> {
    config.validate()?;
    let splits = data::load(&config.data.dataset, &config.data.load_options(config.seed))?;
    let (network, plan) = network_for(config, &splits, placement)?;
    let Splits { train, validation, test } = splits;
    let [train, validation, test] = [train, validation, test].map(Arc::new);
    Ok((network, Data { train, validation, test }, plan))
}

/// The network of a run and the course of its steps, for images that are loaded.
///
/// # Errors
/// Settings that mean nothing, or do not go with the images.
pub fn network_for(config: &RunConfig, splits: &Splits, placement: &Placement) -> Result<(Network, Plan)> {
    config.validate()?;
    if config.batch > splits.train.len() {
        let expected = format!("at most the {} training images", splits.train.len());
        return Err(Error::out_of_range("--batch", config.batch, expected));
    }
    let classes = splits.train.classes.len();
    let network = config.model.init(splits.train.shape, classes, config.seed, placement)?;
    config.estimator.validate(network.depth())?;
    config.estimator.validate_losses(&estimate::View::new(&network))?;
    let plan = Plan::new(&config.estimator, network.depth());
    Ok((network, plan))
}

/// Moving averages after a batch: `0.9 average + 0.1 statistic`.
fn averaged(averages: &ParamVector, statistics: &ParamVector) -> ParamVector {
    let seen = averages.filtered(|path| statistics.entry(path).is_some());
    seen.scaled(1.0 - AVERAGE_MOMENTUM).axpy(AVERAGE_MOMENTUM, statistics)
}
