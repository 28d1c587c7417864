//! Losses: each with its three maps, from a net's output `[n, outputs, 1, 1]` to one number. To add one: a file here, or a type of another
//! crate.
//!
//! Losses are batch means. A sample's derivative is that of `l_i / n`, so that a batch's is their sum.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::ops::{self, Pending};
use crate::{Error, Result};

mod any;
mod cross_entropy;
mod labels;
mod mean_squared_error;
mod similarity;

pub use any::AnyLoss;
pub use cross_entropy::CrossEntropy;
pub use labels::{LabelKind, Labels};
pub use mean_squared_error::MeanSquaredError;
pub use similarity::Similarity;

/// A loss: its three maps. Anything that implements it (and `Clone`) stands behind any net.
///
/// # Panics
/// The maps panic on outputs that do not go with the labels.
pub trait Loss: Debug + Send + Sync {
    /// What `forward` keeps.
    type Saved: Debug + Send + 'static;

    /// The batch mean of the loss of outputs `z`, `[n, c, h, w]`.
    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Self::Saved);

    /// The derivative of each sample's `l_i / n` along `k` stacked tangents, `[k][n]`; `[k][1]` if it is no sum over samples.
    fn tangent(&self, saved: &Self::Saved, z_dot: Tensor<4>) -> Vec<Vec<f64>>;

    /// `z_bar`, the gradient of the batch mean.
    fn cotangent(&self, saved: &Self::Saved) -> Tensor<4>;

    /// Whether it is a mean over samples, so that each sample has a loss of its own.
    fn is_separable(&self) -> bool {
        true
    }

    /// Refuses labels of a kind that the loss does not take.
    ///
    /// # Errors
    /// What was expected instead.
    fn validate(&self, _labels: &Labels) -> Result<()> {
        Ok(())
    }
}

/// Refuses labels that are no classes, on behalf of a loss.
fn classes_only(loss: &str, labels: &Labels) -> Result<()> {
    match labels {
        Labels::Classes { .. } => Ok(()),
        Labels::Values { .. } => Err(Error::out_of_range("the labels", labels.kind(), format!("classes, for {loss}"))),
    }
}

/// What a separable loss keeps: the gradient of the batch mean at the outputs, `[n, c]`, row `i` that of `l_i / n`.
#[derive(Debug)]
pub struct Gradient(pub(crate) Tensor<2>);

impl Gradient {
    /// `<gradient_i, z_dot_i>` per direction and sample.
    pub(crate) fn along(&self, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        let [samples, outputs] = self.0.dims();
        let count = z_dot.dims()[0] / samples;
        let z_dot = z_dot.reshape([count * samples, outputs]);
        let chunks = z_dot.split(samples, 0);
        ops::read(chunks.iter().map(|z_dot| Pending::row_dots(&self.0, z_dot)).collect())
    }

    /// The gradient, shaped as the output.
    pub(crate) fn at_output(&self) -> Tensor<4> {
        let [samples, outputs] = self.0.dims();
        self.0.clone().reshape([samples, outputs, 1, 1])
    }
}

/// `[n, c, 1, 1]` as `[n, c]`.
pub(crate) fn rows(z: Tensor<4>) -> Tensor<2> {
    let [samples, channels, height, width] = z.dims();
    z.reshape([samples, channels * height * width])
}
