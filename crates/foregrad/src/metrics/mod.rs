//! Metrics: what outputs are judged by besides the loss, where no derivative is wanted.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::losses::Labels;

mod accuracy;
mod mean_absolute_error;

pub use accuracy::Accuracy;
pub use mean_absolute_error::MeanAbsoluteError;

/// A metric: a number a sample, of which means are told.
pub trait Metric: Debug + Send + Sync {
    /// Its name in records: `accuracy`.
    fn name(&self) -> &'static str;

    /// Its sum over the samples of outputs `z`, `[n, outputs, 1, 1]`; none where labels are of a kind that it does not judge.
    fn sum(&self, z: &Tensor<4>, labels: &Labels) -> Option<f64>;
}

/// A metric of a mini-batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The metric's name.
    pub name: &'static str,
    /// Its sum over the samples.
    pub sum: f64,
}

/// The metrics of a head that was given none; the first that judges the labels counts.
pub const DEFAULTS: &[&dyn Metric] = &[&Accuracy, &MeanAbsoluteError];
