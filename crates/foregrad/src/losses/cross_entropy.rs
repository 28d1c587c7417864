//! Softmax cross-entropy.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

use super::{Gradient, Labels, Loss, classes_only, rows};
use crate::{Result, ops};

/// Softmax cross-entropy with label smoothing `s`: the wanted distribution is `q = (1 - s) one_hot + s / classes`.
///
/// With `p = softmax(z)`:
/// ```text
/// forward    l     = mean_i (- sum_c q_ic log p_ic)
/// tangent    l_dot = sum_i <(p_i - q_i) / n, z_dot_i>
/// cotangent  z_bar = (p - q) / n
/// ```
/// Source: Szegedy et al., *Rethinking the inception architecture* (2015), section 7, for the smoothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CrossEntropy {
    /// `s`, in `[0, 1)`.
    pub smoothing: f64,
}

impl Loss for CrossEntropy {
    type Saved = Gradient;

    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Gradient) {
        let z = rows(z);
        let [samples, classes] = z.dims();
        let log_p = log_softmax(z.clone(), 1);
        let wanted = labels.wanted(&z) * (1.0 - self.smoothing) + self.smoothing / classes as f64;
        let loss = -ops::dot(&wanted, &log_p) / samples as f64;
        (loss, Gradient((log_p.exp() - wanted) / samples as f64))
    }

    fn tangent(&self, saved: &Gradient, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        saved.along(z_dot)
    }

    fn cotangent(&self, saved: &Gradient) -> Tensor<4> {
        saved.at_output()
    }

    fn validate(&self, labels: &Labels) -> Result<()> {
        classes_only("softmax cross-entropy", labels)
    }
}
