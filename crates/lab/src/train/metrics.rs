//! What a run writes down: one object an epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use foregrad::metrics::Accuracy;
use foregrad::models::Evaluation;

/// Loss and metrics over a set of images.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss.
    #[serde(with = "foregrad::numbers")]
    pub loss: f64,
    /// Means of metrics by name: `accuracy`, the part of the images classified rightly, 0 to 1; `mean-absolute-error` of values.
    #[serde(flatten, with = "foregrad::numbers::by_name")]
    pub metrics: BTreeMap<String, f64>,
}

impl Score {
    /// Of classified images.
    pub fn classified(loss: f64, accuracy: f64) -> Self {
        Self { loss, metrics: BTreeMap::from([(Accuracy::NAME.to_string(), accuracy)]) }
    }

    /// The part of the images classified rightly, where they have classes.
    pub fn accuracy(&self) -> Option<f64> {
        self.metrics.get(Accuracy::NAME).copied()
    }

    /// What runs are compared by: accuracy, or where there is none the loss below 0. More is better.
    pub fn quality(&self) -> f64 {
        self.accuracy().unwrap_or(-self.loss)
    }

    /// Its metric's name and value as people read them: `accuracy`, `98.10 %`.
    pub fn metric(&self) -> Option<[String; 2]> {
        let (name, value) = self.metrics.iter().next()?;
        let text = if name == Accuracy::NAME { format!("{:.2} %", 100.0 * value) } else { format!("{value:.4}") };
        Some([name.replace('-', " "), text])
    }

    /// Its metric in words: `accuracy 98.10 %`; nothing without one.
    pub fn judged(&self) -> String {
        self.metric().map_or(String::new(), |words| words.join(" "))
    }
}

/// The network's own score, the last of every block's.
pub fn of_network(scores: &[Option<Score>]) -> Option<&Score> {
    scores.last()?.as_ref()
}

/// Sums that make a [`Score`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Tally {
    #[serde(with = "foregrad::numbers")]
    loss: f64,
    #[serde(with = "foregrad::numbers::by_name")]
    metrics: BTreeMap<String, f64>,
    images: usize,
}

/// A tally as a file may hold it: older ones count rightly classified images only.
#[derive(Deserialize)]
struct Stored {
    #[serde(with = "foregrad::numbers")]
    loss: f64,
    #[serde(default, with = "foregrad::numbers::by_name")]
    metrics: BTreeMap<String, f64>,
    correct: Option<usize>,
    images: usize,
}

impl From<Stored> for Tally {
    fn from(Stored { loss, mut metrics, correct, images }: Stored) -> Self {
        metrics.extend(correct.filter(|_| images > 0).map(|correct| (Accuracy::NAME.to_string(), correct as f64)));
        Self { loss, metrics, images }
    }
}

impl Tally {
    /// Adds a mini-batch.
    pub fn add(&mut self, evaluation: &Evaluation, images: usize) {
        self.loss += evaluation.loss * images as f64;
        if let Some(measured) = evaluation.metric {
            *self.metrics.entry(measured.name.to_string()).or_default() += measured.sum;
        }
        self.images += images;
    }

    /// The sums of its metrics, in the order of their names.
    pub(super) fn metric_sums(&self) -> impl Iterator<Item = f64> {
        self.metrics.values().copied()
    }

    /// Replaces the sums of its metrics by as many others.
    pub(super) fn set_metric_sums(&mut self, sums: &mut impl Iterator<Item = f64>) {
        self.metrics.values_mut().zip(sums).for_each(|(own, sum)| *own = sum);
    }

    /// The score so far, if there was any image.
    pub fn score(&self) -> Option<Score> {
        let images = self.images as f64;
        let metrics = || self.metrics.iter().map(|(name, sum)| (name.clone(), sum / images)).collect();
        (self.images > 0).then(|| Score { loss: self.loss / images, metrics: metrics() })
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
    /// Operations of the epoch's training steps, products only; 0 where they are not counted.
    #[serde(default)]
    pub operations: u64,
    /// The process's largest resident memory so far, bytes; 0 where it is not known.
    pub peak_memory: u64,
    /// Bytes that a process other than the first has sent a step, the most of any; 0 where there is one process.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_a_step: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregrad::metrics::Measured;

    fn record(loss: f64) -> EpochRecord {
        let scores = vec![None, Some(Score::classified(loss, 0.5))];
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
            operations: 3,
            peak_memory: 0,
            bytes_a_step: 0,
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
            tally.add(&Evaluation { loss: value, metric: Some(Measured { name: "accuracy", sum: 1.0 }) }, 2);
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
        assert!(read.rate.is_nan() && read.test[1].as_ref().expect("a score").loss.is_nan() && read.test[0].is_none());
    }

    #[test]
    fn an_older_tally_is_one_of_accuracy() {
        let read = |text: &str| serde_json::from_str::<Tally>(text).expect("a tally");
        let mut older = read(r#"{"loss": 6.0, "correct": 3, "images": 4}"#);
        assert_eq!(older.score(), Some(Score::classified(1.5, 0.75)));
        older.add(&Evaluation { loss: 0.5, metric: Some(Measured { name: "accuracy", sum: 4.0 }) }, 4);
        assert_eq!(older.score(), Some(Score::classified(1.0, 0.875)));
        assert_eq!(read(r#"{"loss": 0.0, "correct": 0, "images": 0}"#), Tally::default());
    }

    #[test]
    fn a_score_of_values_has_their_metric() {
        let mut tally = Tally::default();
        tally.add(&Evaluation { loss: 0.5, metric: Some(Measured { name: "mean-absolute-error", sum: 3.0 }) }, 4);
        let score = tally.score().expect("images");
        assert_eq!(serde_json::to_string(&score).expect("text"), r#"{"loss":0.5,"mean-absolute-error":0.75}"#);
        assert_eq!(score.accuracy(), None);
    }
}
