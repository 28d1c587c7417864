//! What a study keeps of a run that has ended.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::planned_run::PlannedRun;
use crate::train::{EpochRecord, RunConfig, RunFolder, Score, of_network};
use crate::{Error, Result};
use foregrad::files;

/// The file of a row in a run's folder.
const FILE: &str = "row.json";

/// A run that has ended: one row of a study's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The run's name.
    pub run: String,
    /// The axes' names with the values' names, in order.
    pub choices: Vec<(String, String)>,
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub ending: Ending,
    /// Where and how long it ran: all that differs between two runs of the same settings.
    pub machine: Machine,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All epochs are done; the last one's scores, by block, the network's last.
    Done {
        /// Epochs.
        epochs: u64,
        /// Optimiser steps.
        steps: u64,
        /// Operations of all training steps, products only; 0 where they were not counted.
        #[serde(default)]
        operations: u64,
        /// On the training images.
        train: Vec<Option<Score>>,
        /// On the test images.
        test: Vec<Option<Score>>,
        /// On the validation images; empty without any.
        validation: Vec<Option<Score>>,
    },
    /// It failed.
    Failed {
        /// Why.
        error: String,
    },
}

/// Where a run ran, and what it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The host's name.
    pub host: String,
    /// Its processor.
    pub processor: String,
    /// Worker threads.
    pub threads: usize,
    /// The device.
    pub device: String,
    /// The kernels' instruction set.
    pub instructions: String,
    /// The program's version and source revision.
    pub version: String,
    /// Seconds of training, tests not counted.
    #[serde(with = "foregrad::numbers")]
    pub seconds: f64,
    /// Training images a second, the mean over epochs.
    #[serde(with = "foregrad::numbers")]
    pub images_per_second: f64,
    /// Largest resident memory of the run's process, bytes.
    pub peak_memory: u64,
    /// When it ended, seconds since 1970.
    pub ended: u64,
}

impl Row {
    /// The row of a run whose epochs are done, from these; `None` if there is none. It has failed if the network's own last
    /// loss is not finite.
    pub fn done(planned: &PlannedRun, epochs: &[EpochRecord], mut machine: Machine) -> Option<Self> {
        let last = epochs.last()?.clone();
        machine.seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        machine.images_per_second =
            epochs.iter().map(|epoch| epoch.images_per_second).sum::<f64>() / epochs.len() as f64;
        machine.peak_memory = epochs.iter().map(|epoch| epoch.peak_memory).max().unwrap_or(0);
        let operations = epochs.iter().map(|epoch| epoch.operations).sum();
        let EpochRecord { epoch, step, train, test, validation, .. } = last;
        let row = Self::of(
            planned,
            Ending::Done { epochs: epoch, steps: step, operations, train, test, validation },
            machine,
        );
        let failed = row.failure().map(|error| Ending::Failed { error });
        Some(Self { ending: failed.unwrap_or(row.ending), ..row })
    }

    /// The row of a run that failed.
    pub fn failed(planned: &PlannedRun, error: &Error, machine: Machine) -> Self {
        Self::of(planned, Ending::Failed { error: error.to_string() }, machine)
    }

    fn of(planned: &PlannedRun, ending: Ending, machine: Machine) -> Self {
        let (run, choices, seed) = (planned.name.clone(), planned.choices.clone(), planned.config.seed);
        Self { run, choices, seed, ending, machine }
    }

    /// The network's score on the test images, if the run is done.
    pub fn test_score(&self) -> Option<&Score> {
        let Ending::Done { test, .. } = &self.ending else { return None };
        of_network(test)
    }

    /// The network's score on the validation images, if the run is done and there are any.
    pub fn validation_score(&self) -> Option<&Score> {
        let Ending::Done { validation, .. } = &self.ending else { return None };
        of_network(validation)
    }

    /// Why the run failed, if it did: a network whose own last loss is not finite has learnt nothing, whatever its row says.
    pub fn failure(&self) -> Option<String> {
        match &self.ending {
            Ending::Failed { error } => Some(error.clone()),
            Ending::Done { epochs, train, test, validation, .. } => {
                let sets = [("training", train), ("test", test), ("validation", validation)];
                let loss = |set: &[Option<Score>]| of_network(set).map(|score| score.loss);
                let wrong = sets.iter().find(|(_, set)| loss(set).is_some_and(|loss| !loss.is_finite()));
                wrong.map(|(images, _)| format!("the {images} loss is not finite after epoch {epochs}"))
            }
        }
    }

    /// Whether the run failed.
    pub fn is_failed(&self) -> bool {
        self.failure().is_some()
    }

    /// Whether the run, tried again by this machine with these settings, would fail in the same way to the last bit.
    ///
    /// # Errors
    /// Settings in the run's folder that cannot be read.
    pub fn is_replayed(&self, folder: &Path, config: &RunConfig, machine: &Machine) -> Result<bool> {
        let saved = RunFolder::config(folder)?;
        let of = |machine: &Machine| (machine.version.clone(), machine.threads, machine.instructions.clone());
        let is_same_machine = of(&self.machine) == of(machine) && self.machine.device == machine.device;
        Ok(is_same_machine && saved.data.dir == config.data.dir)
    }

    /// Writes it into a run's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).expect("a row is plain values");
        text.push(b'\n');
        files::write_atomically(&folder.join(FILE), &text)
    }

    /// The row in a run's folder, if there is one.
    ///
    /// # Errors
    /// A damaged row: the message names the file and the line.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let Some(text) = files::read_text_if_there(&path)? else { return Ok(None) };
        let row = serde_json::from_str(&text).map_err(|error| {
            let place = format!("{}:{}", path.display(), error.line());
            Error::bad_file(
                place,
                "a run's row",
                format!("{error}; delete the file to run it again from its last checkpoint"),
            )
        })?;
        Ok(Some(row))
    }

    /// Removes the row in a run's folder, so that the run can continue.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(folder: &Path) -> Result<()> {
        files::remove(&folder.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Study;

    fn planned() -> PlannedRun {
        let study = Study::from_toml("name = 's'\nquestion = '?'", Path::new("s.toml")).expect("a study");
        study.runs().expect("runs").remove(0)
    }

    fn machine() -> Machine {
        Machine::this(&RunConfig::default(), "1")
    }

    /// An epoch of a head and the network, of given losses.
    fn epoch(head: f64, [train, test, validation]: [f64; 3]) -> EpochRecord {
        let scores = |loss: f64| vec![Some(Score::classified(head, 0.5)), Some(Score::classified(loss, 0.5))];
        EpochRecord {
            epoch: 2,
            step: 20,
            rate: 0.1,
            train: scores(train),
            test: scores(test),
            validation: scores(validation),
            zero_guesses: 0,
            operations: 7,
            images_per_second: 10.0,
            seconds: 1.0,
            peak_memory: 1,
            bytes_a_step: 0,
        }
    }

    #[test]
    fn a_run_fails_by_its_networks_loss_and_not_by_a_heads() {
        let row = |head, losses| Row::done(&planned(), &[epoch(head, losses)], machine()).expect("a row");
        let healthy = row(f64::NAN, [1.0; 3]);
        assert!(!healthy.is_failed() && healthy.test_score().and_then(Score::accuracy) == Some(0.5));
        let wrong = [
            ([f64::NAN, 1.0, 1.0], "training loss"),
            ([1.0, f64::INFINITY, 1.0], "test loss"),
            ([1.0, 1.0, f64::NEG_INFINITY], "validation loss"),
        ];
        for (losses, name) in wrong {
            let failed = row(1.0, losses);
            assert!(matches!(&failed.ending, Ending::Failed { error } if error.contains(name)), "{failed:?}");
            assert_eq!(failed.test_score(), None);
        }
    }

    #[test]
    fn rows_hold_what_is_not_finite_and_older_ones_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut row = Row::done(&planned(), &[epoch(f64::INFINITY, [1.0; 3])], machine()).expect("a row");
        row.machine.seconds = f64::NAN;
        row.write(dir.path()).expect("a file");
        let text = std::fs::read_to_string(dir.path().join(FILE)).expect("a file");
        assert!(text.contains("\"Infinity\"") && text.contains("\"NaN\"") && !text.contains("null"), "{text}");
        let read = Row::read(dir.path()).expect("readable").expect("a row");
        assert!(read.machine.seconds.is_nan() && !read.is_failed());
        // As it was written before: the network's loss on the test images, too, was no number.
        std::fs::write(dir.path().join(FILE), text.replace("\"Infinity\"", "null").replace("1.0", "null"))
            .expect("a file");
        let old = Row::read(dir.path()).expect("readable").expect("a row");
        assert!(old.failure().is_some_and(|failure| failure.contains("not finite after epoch 2")), "{old:?}");
    }

    #[test]
    fn only_a_missing_row_is_none() {
        use foregrad::files::fault::{Fault, Injection, inject};
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Row::read(dir.path()).expect("none"), None);
        let _away =
            inject(Injection { under: dir.path().into(), at: 0, fault: Fault::Error(libc::EIO), lasting: true });
        assert!(Row::read(dir.path()).is_err());
    }

    #[test]
    fn a_failure_is_replayed_unless_something_differs() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = RunConfig::default();
        std::fs::write(dir.path().join("config.toml"), config.to_toml()).expect("a file");
        let error = Error::NotFinite { what: "the loss".into(), step: 1, advice: "x".into() };
        let row = Row::failed(&planned(), &error, machine());
        let is_replayed =
            |config: &RunConfig, machine: &Machine| row.is_replayed(dir.path(), config, machine).expect("settings");
        assert!(is_replayed(&config, &Machine { ended: 0, host: "another".into(), ..machine() }));
        for other in [
            Machine { version: "2".into(), ..machine() },
            Machine { threads: machine().threads + 1, ..machine() },
            Machine { device: "cuda:0".into(), ..machine() },
            Machine { instructions: "another".into(), ..machine() },
        ] {
            assert!(!is_replayed(&config, &other), "{other:?}");
        }
        let mut moved = config;
        moved.data.dir = Some("elsewhere".into());
        assert!(!is_replayed(&moved, &machine()));
    }
}
