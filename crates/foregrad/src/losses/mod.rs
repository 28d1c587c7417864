//! Losses: each with its three maps, from a net's output `[n, classes, 1, 1]` to one number.
//!
//! Losses are batch means. A sample's derivative is that of `l_i / n`, so that a batch's is their sum.

use burn::tensor::Tensor;

use crate::rng::Placement;
use crate::{Error, Result};

mod cross_entropy;
mod mean_squared_error;
mod similarity;

pub use cross_entropy::CrossEntropy;
pub use mean_squared_error::MeanSquaredError;
pub use similarity::Similarity;

/// The classes of a mini-batch.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The class of each sample, below `classes`.
    pub indices: Vec<usize>,
    /// The number of classes.
    pub classes: usize,
}

impl Labels {
    /// Refuses labels that are not one a sample, or not below `classes`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn validate(&self, samples: usize) -> Result<()> {
        if self.indices.len() != samples {
            return Err(Error::out_of_range(
                "the number of labels",
                self.indices.len(),
                format!("{samples}, one a sample"),
            ));
        }
        match self.indices.iter().enumerate().find(|(_, index)| **index >= self.classes) {
            Some((sample, index)) => {
                let expected = format!("a class below {}", self.classes);
                Err(Error::out_of_range(format!("the label of sample {sample}"), index, expected))
            }
            None => Ok(()),
        }
    }

    /// One row a sample: 1 at its class, 0 elsewhere, `[n, classes]`.
    ///
    /// # Panics
    /// If a label is not below `classes`.
    pub fn one_hot(&self, placement: &Placement) -> Tensor<2> {
        self.validate(self.indices.len()).unwrap_or_else(|error| panic!("{error}"));
        let mut values = vec![0.0; self.indices.len() * self.classes];
        for (row, index) in self.indices.iter().enumerate() {
            values[row * self.classes + index] = 1.0;
        }
        placement.tensor(values, [self.indices.len(), self.classes])
    }

    /// The rows that outputs `z`, `[n, classes]`, are compared with.
    fn wanted(&self, z: &Tensor<2>) -> Tensor<2> {
        assert_eq!(z.dims(), [self.indices.len(), self.classes], "outputs against labels by classes");
        self.one_hot(&Placement::of(z))
    }
}

/// A loss: its three maps.
///
/// # Panics
/// The maps panic on outputs that do not go with the labels, and on what another loss saved.
pub trait Loss {
    /// What `forward` keeps.
    type Saved;

    /// The batch mean of the loss of outputs `z`, `[n, c, h, w]`.
    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Self::Saved);

    /// The derivative of each sample's `l_i / n` along `k` stacked tangents, `[k][n]`; `[k][1]` if it is no sum over samples.
    fn tangent(&self, saved: &Self::Saved, z_dot: Tensor<4>) -> Vec<Vec<f64>>;

    /// `z_bar`, the gradient of the batch mean.
    fn cotangent(&self, saved: &Self::Saved) -> Tensor<4>;
}

/// Any loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AnyLoss {
    /// Softmax cross-entropy.
    CrossEntropy(CrossEntropy),
    /// Mean squared error to the one-hot labels.
    MeanSquaredError(MeanSquaredError),
    /// Similarity matching.
    Similarity(Similarity),
}

impl AnyLoss {
    /// Whether it is a mean over samples, so that each sample has a loss of its own.
    pub fn is_separable(&self) -> bool {
        !matches!(self, AnyLoss::Similarity(_))
    }
}

/// What [`AnyLoss`]'s forward map keeps: the gradient at the output, or a similarity's matrices.
#[derive(Debug)]
pub enum AnySaved {
    /// A separable loss: its gradient.
    Gradient(Gradient),
    /// Similarity matching.
    Similarity(similarity::Saved),
}

impl Loss for AnyLoss {
    type Saved = AnySaved;

    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, AnySaved) {
        match self {
            AnyLoss::CrossEntropy(loss) => wrap(loss.forward(z, labels), AnySaved::Gradient),
            AnyLoss::MeanSquaredError(loss) => wrap(loss.forward(z, labels), AnySaved::Gradient),
            AnyLoss::Similarity(loss) => wrap(loss.forward(z, labels), AnySaved::Similarity),
        }
    }

    fn tangent(&self, saved: &AnySaved, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        match (self, saved) {
            (AnyLoss::CrossEntropy(loss), AnySaved::Gradient(saved)) => loss.tangent(saved, z_dot),
            (AnyLoss::MeanSquaredError(loss), AnySaved::Gradient(saved)) => loss.tangent(saved, z_dot),
            (AnyLoss::Similarity(loss), AnySaved::Similarity(saved)) => loss.tangent(saved, z_dot),
            _ => panic!("{self:?} was given what another loss saved"),
        }
    }

    fn cotangent(&self, saved: &AnySaved) -> Tensor<4> {
        match (self, saved) {
            (AnyLoss::CrossEntropy(loss), AnySaved::Gradient(saved)) => loss.cotangent(saved),
            (AnyLoss::MeanSquaredError(loss), AnySaved::Gradient(saved)) => loss.cotangent(saved),
            (AnyLoss::Similarity(loss), AnySaved::Similarity(saved)) => loss.cotangent(saved),
            _ => panic!("{self:?} was given what another loss saved"),
        }
    }
}

/// What a separable loss keeps: the gradient of the batch mean at the outputs, `[n, c]`, row `i` that of `l_i / n`.
#[derive(Debug)]
pub struct Gradient(pub(crate) Tensor<2>);

impl Gradient {
    /// `<gradient_i, z_dot_i>` per direction and sample.
    pub(crate) fn along(&self, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        let [samples, classes] = self.0.dims();
        let count = z_dot.dims()[0] / samples;
        let z_dot = z_dot.reshape([count * samples, classes]);
        let chunks = z_dot.split(samples, 0);
        chunks.iter().map(|z_dot| crate::ops::row_dots(&self.0, z_dot)).collect()
    }

    /// The gradient, shaped as the output.
    pub(crate) fn at_output(&self) -> Tensor<4> {
        let [samples, classes] = self.0.dims();
        self.0.clone().reshape([samples, classes, 1, 1])
    }
}

/// `[n, c, 1, 1]` as `[n, c]`.
pub(crate) fn rows(z: Tensor<4>) -> Tensor<2> {
    let [samples, channels, height, width] = z.dims();
    z.reshape([samples, channels * height * width])
}

fn wrap<S>((loss, saved): (f64, S), variant: impl FnOnce(S) -> AnySaved) -> (f64, AnySaved) {
    (loss, variant(saved))
}
