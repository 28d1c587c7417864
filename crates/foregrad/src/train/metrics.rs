//! What a run writes down: one object an epoch.

use serde::{Deserialize, Serialize};

use crate::models::Evaluation;

/// Loss and accuracy over a set of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Part of the images classified rightly, 0 to 1.
    pub accuracy: f64,
}

/// Sums that make a [`Score`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tally {
    loss: f64,
    correct: usize,
    images: usize,
}

impl Tally {
    /// Adds a mini-batch.
    pub fn add(&mut self, evaluation: &Evaluation, images: usize) {
        self.loss += evaluation.loss * images as f64;
        self.correct += evaluation.correct;
        self.images += images;
    }

    /// The score so far, if there was any image.
    pub fn score(&self) -> Option<Score> {
        let images = self.images as f64;
        (self.images > 0).then(|| Score { loss: self.loss / images, accuracy: self.correct as f64 / images })
    }
}

/// One epoch of a run. Scores are per block's head, the network's last; `null` for a head that does not learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Optimiser steps so far.
    pub step: u64,
    /// The learning rate of the epoch's last step.
    pub rate: f64,
    /// On the training images as they were met (train phase, while learning).
    pub train: Vec<Option<Score>>,
    /// On the test images.
    pub test: Vec<Option<Score>>,
    /// On the validation images; empty without any.
    pub validation: Vec<Option<Score>>,
    /// Slots whose guess was zero, over the epoch.
    pub zero_guesses: usize,
    /// Training images a second, tests not counted.
    pub images_per_second: f64,
    /// Seconds of training in this epoch.
    pub seconds: f64,
    /// The process's largest resident memory so far, bytes; 0 where it is not known.
    pub peak_memory: u64,
}

/// The process's largest resident memory so far, in bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}
