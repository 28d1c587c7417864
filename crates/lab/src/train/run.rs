//! The loop: batches, steps, scores, checkpoints.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::{Checkpoint, Position};
use super::evaluate::{evaluate_among, on_device};
use super::metrics::of_network;
use super::timetable::Timetable;
use super::{Control, EpochRecord, Observer, Outcome, RunConfig, RunFolder, Score, StepReport, Tally};
use crate::data::{BatchOptions, Batches, Description, HostBatch, Order, Source, Splits};
use crate::ranks::Team;
use crate::{Error, Result};
use foregrad::estimate::{EstimatorState, MicroBatch, Plan, StepInput, StepOutput};
use foregrad::models::Network;
use foregrad::optim::{Optimizer, clip};
use foregrad::rng::Placement;
use foregrad::vector::{self, ParamVector};

/// The weight of a batch in the moving averages (PyTorch's default).
const AVERAGE_MOMENTUM: f64 = 0.1;

/// A run. [`Trainer::new`] makes one of parts that a program brings; [`Trainer::start`] and [`Trainer::resume`] of settings alone.
pub struct Trainer {
    pub(super) config: RunConfig,
    pub(super) placement: Placement,
    pub(super) network: Network,
    pub(super) optimizer: Optimizer,
    pub(super) state: EstimatorState,
    pub(super) position: Position,
    pub(super) plan: Plan,
    pub(super) data: Splits,
    pub(super) description: Description,
    /// None for a run in memory alone.
    pub(super) folder: Option<RunFolder>,
    pub(super) timetable: Timetable,
    pub(super) last: Option<EpochRecord>,
    pub(super) team: Team,
    /// Whether a rank was asked for a checkpoint.
    pub(super) saves: Cell<bool>,
    /// Bytes sent in steps, and those steps, of this epoch in this process.
    pub(super) sent_in_steps: Cell<u64>,
    pub(super) steps_since: Cell<u64>,
}

impl Trainer {
    /// The network as it is now.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network, when the run is over.
    pub fn into_network(self) -> Network {
        self.network
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

    /// Trains to the end, or until it is asked to stop: it ends after the block under way, and drops the unfinished step or evaluation.
    ///
    /// # Errors
    /// A loss or update that is not finite, files that cannot be written.
    pub fn run(&mut self, control: &Control, observer: &mut dyn Observer) -> Result<Outcome> {
        self.check_alike()?;
        while self.position.epoch < self.config.epochs {
            match self.epoch(control, observer) {
                Err(Error::Stopped) if control.is_abandoned() => return Ok(Outcome::Abandoned),
                Err(Error::Stopped) => return self.save().map(Outcome::Stopped),
                record => self.last = Some(record?),
            }
        }
        match self.last.take() {
            Some(record) => Ok(Outcome::Done(Box::new(record))),
            None => {
                let expected = format!("more than the {} that are done", self.position.epoch);
                Err(Error::out_of_range("epochs", self.config.epochs, expected))
            }
        }
    }

    /// The rest of the epoch under way, with its scores; the next one's beginning.
    fn epoch(&mut self, control: &Control, observer: &mut dyn Observer) -> Result<EpochRecord> {
        self.steps(control, observer)?;
        let record = self.scored(control, observer)?;
        self.check_replicas()?;
        may_write(control)?;
        self.folder.as_mut().map(|folder| folder.epoch(&record)).transpose()?;
        observer.epoch(&record);
        self.check_scores(&record)?;
        self.turn(&record);
        let every = self.config.checkpoint_every;
        if (every > 0 && self.position.epoch.is_multiple_of(every)) || self.position.epoch == self.config.epochs {
            may_write(control)?;
            self.save()?;
        }
        Ok(record)
    }

    /// The epoch's steps that are left.
    fn steps(&mut self, control: &Control, observer: &mut dyn Observer) -> Result<()> {
        self.pause(control, observer)?;
        let total = self.config.epochs * self.steps_per_epoch() as u64;
        for batch in self.batches()? {
            let loss = self.step(batch?, control, observer)?;
            let (epoch, steps) = (self.position.epoch, [self.position.step, total]);
            observer.step(&StepReport { epoch, steps, batch: self.config.batch, loss });
            if self.timetable.is_due_at(self.position.step) {
                may_write(control)?;
                self.save()?;
            }
            self.pause(control, observer)?;
        }
        Ok(())
    }

    /// The epoch's batches that are left.
    pub(super) fn batches(&self) -> Result<Batches> {
        let order = Order::Shuffled { seed: self.config.seed, epoch: self.position.epoch };
        let augment = self.config.data.augment.unwrap_or(self.data.augment);
        let part = MicroBatch { index: self.team.rank(), count: self.team.count() };
        let options = BatchOptions { size: self.config.batch, order, augment, skip: self.position.batch, part };
        Batches::new(self.data.train.clone(), options)
    }

    /// One step, with its probe; gives the network's loss.
    pub(super) fn step(&mut self, batch: HostBatch, control: &Control, observer: &mut dyn Observer) -> Result<f64> {
        let began = Instant::now();
        let (images, labels) = on_device(batch, &self.placement);
        let buffer = self.optimizer.buffer().clone();
        let mut input = StepInput::new(images, &labels, self.config.seed, self.position.step);
        (input.momentum, input.stop) = (Some(&buffer), Some(control.stopping()));
        let is_asked = self.config.probe_every > 0 && self.position.step.is_multiple_of(self.config.probe_every);
        let probed = (is_asked && self.team.is_root()).then(|| self.probe(&input)).transpose()?;
        observer.operations(); // those of a probe or a test are not the step's
        let output = self.output(&input, control)?;
        self.position.operations += observer.operations();
        // Written only now: a step that was asked to stop leaves nothing behind.
        if let Some(record) = probed {
            may_write(control)?;
            self.folder.as_mut().map(|folder| folder.probe(&record)).transpose()?;
            observer.probe(&record);
        }
        let loss = self.apply(output)?;
        self.steps_since.set(self.steps_since.get() + 1);
        self.position.seconds += began.elapsed().as_secs_f64();
        Ok(loss)
    }

    /// Answers what was asked for meanwhile.
    fn pause(&self, control: &Control, observer: &mut dyn Observer) -> Result<()> {
        // Of several ranks each is told with the step what the others were asked.
        if self.team.is_alone() && control.is_stopping() {
            return Err(Error::Stopped);
        }
        let is_asked = if self.team.is_alone() { control.takes_checkpoint() } else { self.saves.take() };
        if is_asked || (self.team.is_alone() && self.timetable.is_overdue(Instant::now())) {
            let path = self.save()?;
            if let Some(path) = path.filter(|_| is_asked) {
                observer.checkpoint(&path);
            }
        }
        Ok(())
    }

    /// Moves the parameters and averages by one step's output; gives the network's loss.
    fn apply(&mut self, output: StepOutput) -> Result<f64> {
        let loss = output.evaluations.last().copied().flatten().map_or(f64::NAN, |evaluation| evaluation.loss);
        self.check_finite("the loss", loss.is_finite())?;
        let update = clip(output.update, self.config.optimizer.clip);
        self.check_finite("the update", update.is_finite())?;
        let updated = self.optimizer.step(self.rate(self.position.step), &self.network.parameters(), &update);
        let averages = averaged(&self.network.averages(), &output.statistics);
        let finite = vector::are_finite(&[&updated, &averages]);
        self.check_finite("a parameter after the update", finite[0])?;
        self.check_finite("a moving average", finite[1])?;
        self.network.assign(&updated);
        self.network.assign(&averages);
        self.network.follow();
        for (tally, evaluation) in self.position.tallies.iter_mut().zip(&output.evaluations) {
            evaluation.iter().for_each(|evaluation| tally.add(evaluation, self.config.batch));
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
        let kept = match self.folder.as_ref().map(RunFolder::newest_file).transpose() {
            Ok(Some(Some(file))) => format!("the last good checkpoint is {}", file.display()),
            Ok(_) => "no checkpoint was written yet".to_string(),
            Err(error) => format!("its checkpoints cannot be listed: {error}"),
        };
        let advice = format!("try a lower `optimizer.rate`, or `optimizer.clip = 1`; {kept}");
        Err(Error::NotFinite { what: what.into(), step: self.position.step, advice })
    }

    /// The learning rate of a step.
    fn rate(&self, step: u64) -> f64 {
        let per_epoch = self.steps_per_epoch() as u64;
        let factor = self.config.schedule.factor(step, per_epoch, self.config.epochs, &self.position.plateau);
        self.config.optimizer.rate * factor
    }

    /// The record of the epoch whose steps are done.
    fn scored(&self, control: &Control, observer: &mut dyn Observer) -> Result<EpochRecord> {
        let scores = |tallies: &[Tally]| tallies.iter().map(Tally::score).collect::<Vec<Option<Score>>>();
        let mut score = |set: &Arc<dyn Source>| -> Result<Vec<Option<Score>>> {
            if set.is_empty() {
                return Ok(Vec::new());
            }
            let pause = &mut || match self.team.is_alone() {
                true => self.pause(control, observer),
                false if control.is_stopping() => Err(Error::Stopped),
                false => Ok(()),
            };
            Ok(scores(&evaluate_among(&self.team, &self.network, set, &self.plan.trains, &self.placement, pause)?))
        };
        let (test, validation) = (score(&self.data.test)?, score(&self.data.validation)?);
        let Position { epoch, batch, step, tallies, zero_guesses, seconds, operations, .. } = &self.whole_position()?;
        Ok(EpochRecord {
            epoch: epoch + 1,
            step: *step,
            rate: self.rate(step.saturating_sub(1)),
            train: scores(tallies),
            test,
            validation,
            zero_guesses: *zero_guesses,
            images_per_second: (batch * self.config.batch) as f64 / seconds.max(1e-9),
            seconds: *seconds,
            operations: *operations,
            peak_memory: observer.peak_memory(),
            bytes_a_step: self.bytes_a_step()?,
        })
    }

    /// A run whose network scores no number has failed, though its last update was finite; heads may score what they like.
    fn check_scores(&self, record: &EpochRecord) -> Result<()> {
        let sets = [("training", &record.train), ("test", &record.test), ("validation", &record.validation)];
        sets.into_iter().try_for_each(|(set, scores)| {
            let own = of_network(scores);
            let what = format!("the {set} loss of epoch {}", record.epoch);
            self.check_finite(&what, own.is_none_or(|score| score.loss.is_finite()))
        })
    }

    /// Turns to the next epoch.
    fn turn(&mut self, record: &EpochRecord) {
        let watched = if record.validation.is_empty() { &record.train } else { &record.validation };
        let loss = of_network(watched).map_or(f64::INFINITY, |score| score.loss);
        self.position = Position {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            tallies: vec![Tally::default(); self.network.depth()],
            plateau: self.position.plateau.observe(loss, &self.config.schedule),
            ..Default::default()
        };
    }

    /// Writes a checkpoint, if there is a folder for it.
    fn save(&self) -> Result<Option<PathBuf>> {
        let position = self.whole_position()?;
        let Some(folder) = &self.folder else { return Ok(None) };
        let path = folder.checkpoint(&Checkpoint {
            config: self.config.clone(),
            data: Some(self.description.clone()),
            position: Position { ages: self.optimizer.ages(), ..position },
            state: self.network.state(),
            optimizer: self.optimizer.tensors(),
            estimator: self.state.clone(),
        })?;
        self.timetable.written(Instant::now());
        Ok(Some(path))
    }
}

/// Nothing is written into a folder that another process has taken over.
fn may_write(control: &Control) -> Result<()> {
    if control.is_abandoned() { Err(Error::Stopped) } else { Ok(()) }
}

/// Moving averages after a batch: `0.9 average + 0.1 statistic`.
fn averaged(averages: &ParamVector, statistics: &ParamVector) -> ParamVector {
    let seen = averages.filtered(|path| statistics.entry(path).is_some());
    seen.scaled(1.0 - AVERAGE_MOMENTUM).axpy(AVERAGE_MOMENTUM, statistics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::train::Silent;

    #[test]
    fn an_epoch_that_lacks_images_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = RunConfig { epochs: 1, batch: 8, ..Default::default() };
        (config.data.train_limit, config.data.test_limit, config.model.width) = (Some(40), Some(8), 0.05);
        let placement = Placement { device: Default::default(), dtype: burn::tensor::DType::F32 };
        let mut trainer = Trainer::start(&config, placement, dir.path(), false).expect("a run");
        // The thread that makes batches ends within the third one.
        let shape = trainer.data.train.shape();
        let (pixels, labels) = (vec![0u8; 20 * 28 * 28], vec![0; 40]);
        let classes = trainer.data.train.classes();
        let (mean, deviation, augmentation) = (vec![0.5], vec![0.5], Default::default());
        let broken = Dataset { pixels, labels, shape, classes, mean, deviation, augmentation };
        trainer.data.train = Arc::new(broken);
        let outcome = trainer.run(&Control::default(), &mut Silent);
        assert!(matches!(&outcome, Err(Error::Worker(_))), "a part of the images was an epoch: {outcome:?}");
        assert_eq!(RunFolder::epochs(dir.path()).expect("records"), [], "no epoch counts");
    }
}
