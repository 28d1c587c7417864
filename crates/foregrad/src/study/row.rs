//! What a study keeps of a run that has ended.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::planned::Planned;
use crate::files;
use crate::train::{EpochRecord, Score};
use crate::{Error, Result};

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
        /// On the training images.
        train: Vec<Option<Score>>,
        /// On the test images.
        test: Vec<Option<Score>>,
        /// On the validation images; empty without any.
        validation: Vec<Option<Score>>,
    },
    /// It could not go on.
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
    pub seconds: f64,
    /// Training images a second, the mean over epochs.
    pub images_per_second: f64,
    /// Largest resident memory of the run's process, bytes.
    pub peak_memory: u64,
    /// When it ended, seconds since 1970.
    pub ended: u64,
}

impl Row {
    /// The row of a run that is done, from its epochs; `None` if there is none.
    pub fn done(planned: &Planned, epochs: &[EpochRecord], mut machine: Machine) -> Option<Self> {
        let last = epochs.last()?.clone();
        machine.seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        machine.images_per_second =
            epochs.iter().map(|epoch| epoch.images_per_second).sum::<f64>() / epochs.len() as f64;
        machine.peak_memory = epochs.iter().map(|epoch| epoch.peak_memory).max().unwrap_or(0);
        let EpochRecord { epoch, step, train, test, validation, .. } = last;
        Some(Self::of(planned, Ending::Done { epochs: epoch, steps: step, train, test, validation }, machine))
    }

    /// The row of a run that failed.
    pub fn failed(planned: &Planned, error: &Error, machine: Machine) -> Self {
        Self::of(planned, Ending::Failed { error: error.to_string() }, machine)
    }

    fn of(planned: &Planned, ending: Ending, machine: Machine) -> Self {
        let (run, choices, seed) = (planned.name.clone(), planned.choices.clone(), planned.config.seed);
        Self { run, choices, seed, ending, machine }
    }

    /// The network's accuracy on the test images, 0 to 1, if the run is done.
    pub fn test_accuracy(&self) -> Option<f64> {
        let Ending::Done { test, .. } = &self.ending else { return None };
        Some(test.last()?.as_ref()?.accuracy)
    }

    /// The network's accuracy on the validation images, 0 to 1, if the run is done and there are any.
    pub fn validation_accuracy(&self) -> Option<f64> {
        let Ending::Done { validation, .. } = &self.ending else { return None };
        Some(validation.last()?.as_ref()?.accuracy)
    }

    /// Whether the run failed.
    pub fn is_failed(&self) -> bool {
        matches!(self.ending, Ending::Failed { .. })
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
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
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

    /// Removes the row in a run's folder, so that the run goes on.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        std::fs::remove_file(&path).map_err(Error::io("write", path))
    }
}
