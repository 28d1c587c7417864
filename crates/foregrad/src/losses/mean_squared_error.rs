//! Mean squared error.

use burn::tensor::Tensor;

use super::{Gradient, Labels, Loss, rows};
use crate::ops;

/// Mean squared error to the labels `q`, the mean over samples and outputs: values (regression), or 1 at the class and 0 elsewhere.
///
/// ```text
/// forward    l     = mean_io (z_io - q_io)^2
/// tangent    l_dot = sum_i <2 (z_i - q_i) / (n outputs), z_dot_i>
/// cotangent  z_bar = 2 (z - q) / (n outputs)
/// ```
/// Source: `torch.nn.MSELoss`, for the mean over both axes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanSquaredError;

impl Loss for MeanSquaredError {
    type Saved = Gradient;

    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Gradient) {
        let z = rows(z);
        let [samples, outputs] = z.dims();
        let difference = z.clone() - labels.wanted(&z);
        let count = (samples * outputs) as f64;
        (ops::dot(&difference, &difference) / count, Gradient(difference * (2.0 / count)))
    }

    fn tangent(&self, saved: &Gradient, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        saved.along(z_dot)
    }

    fn cotangent(&self, saved: &Gradient) -> Tensor<4> {
        saved.at_output()
    }
}
