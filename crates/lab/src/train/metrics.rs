//! What a run writes down: one object an epoch.

use serde::{Deserialize, Serialize};

use foregrad::models::Evaluation;

/// Loss and accuracy over a set of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss.
    #[serde(with = "foregrad::numbers")]
    pub loss: f64,
    /// Part of the images classified rightly, 0 to 1.
    #[serde(with = "foregrad::numbers")]
    pub accuracy: f64,
}

/// Sums that make a [`Score`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tally {
    #[serde(with = "foregrad::numbers")]
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
    #[serde(with = "foregrad::numbers")]
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
    #[serde(with = "foregrad::numbers")]
    pub images_per_second: f64,
    /// Seconds of training in this epoch.
    #[serde(with = "foregrad::numbers")]
    pub seconds: f64,
    /// The process's largest resident memory so far, bytes; 0 where it is not known.
    pub peak_memory: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(loss: f64) -> EpochRecord {
        let scores = vec![None, Some(Score { loss, accuracy: 0.5 })];
        let [train, test, validation] = [scores.clone(), scores.clone(), scores];
        let (images_per_second, seconds) = (loss, 1.0);
        EpochRecord {
            epoch: 1,
            step: 2,
            rate: loss,
            train,
            test,
            validation,
            zero_guesses: 0,
            images_per_second,
            seconds,
            peak_memory: 0,
        }
    }

    #[test]
    fn records_and_tallies_hold_what_is_not_finite() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.25] {
            let text = serde_json::to_string(&record(value)).expect("text");
            let read: EpochRecord = serde_json::from_str(&text).expect("a record");
            assert_eq!(serde_json::to_string(&read).expect("text"), text);
            assert!(!text.contains(":null"), "{text}");
            let mut tally = Tally::default();
            tally.add(&Evaluation { loss: value, correct: 1 }, 2);
            let text = serde_json::to_string(&tally).expect("text");
            let read: Tally = serde_json::from_str(&text).expect("a tally");
            let [own, read] = [tally, read].map(|tally| tally.score().expect("images").loss.to_bits());
            assert_eq!(own, read, "{text}");
        }
    }

    #[test]
    fn a_null_of_an_older_record_is_no_number() {
        let text = serde_json::to_string(&record(f64::NAN)).expect("text").replace("\"NaN\"", "null");
        let read: EpochRecord = serde_json::from_str(&text).expect("a record");
        assert!(read.rate.is_nan() && read.test[1].expect("a score").loss.is_nan() && read.test[0].is_none());
    }
}
