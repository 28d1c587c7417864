//! Similarity matching.

use burn::tensor::Tensor;

use super::{Labels, Loss, classes_only, rows};
use crate::Result;
use crate::ops::{self, Pending};
use crate::rng::Placement;

/// Keeps the norm of a row away from 0.
const EPSILON: f64 = 1e-8;

/// Mean squared error between the centred cosine Gram matrix of the batch's features and that of the one-hot labels.
///
/// Row `i` of `z` is centred, `c_i = z_i - mean(z_i)`, and divided by its norm, `u_i = c_i / (|c_i| + eps)`; `S = u u^T`, and
/// `T` is the same matrix of the labels. With `C` the centring, and `N_i v = (v - u'_i <u'_i, v> |c_i| / (|c_i| + eps)) / (|c_i| + eps)`,
/// `u' = c / |c|`, the derivative of the division (its own transpose):
/// ```text
/// forward    l     = mean_ij (S_ij - T_ij)^2
/// tangent    l_dot = <G, u_dot>,  u_dot_i = N_i C z_dot_i,  G = 4 (S - T) u / n^2
/// cotangent  z_bar_i = C N_i G_i
/// ```
/// It is no sum over samples: every pair counts.
///
/// Source: Nokland & Eidnes, *Training neural networks with local error signals* (2019), equation 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Similarity;

/// The gradient at the features.
#[derive(Debug)]
pub struct Saved {
    z_bar: Tensor<2>,
    shape: [usize; 4],
}

impl Loss for Similarity {
    type Saved = Saved;

    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Saved) {
        let shape = z.dims();
        assert_eq!(shape[0], labels.len(), "outputs against labels");
        let rows = Rows::new(rows(z));
        let target = Rows::new(labels.rows(&Placement::of(&rows.unit)));
        let gram = |unit: &Tensor<2>| unit.clone().matmul(unit.clone().transpose());
        let difference = gram(&rows.unit) - gram(&target.unit);
        let pairs = (shape[0] * shape[0]) as f64;
        let loss = ops::dot(&difference, &difference) / pairs;
        let at_units = difference.matmul(rows.unit.clone()) * (4.0 / pairs);
        (loss, Saved { z_bar: rows.cotangent(at_units), shape })
    }

    fn tangent(&self, saved: &Saved, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        let samples = saved.shape[0];
        let chunks = rows(z_dot).split(samples, 0);
        ops::read(chunks.iter().map(|z_dot| Pending::dot(&saved.z_bar, z_dot)).collect())
    }

    fn cotangent(&self, saved: &Saved) -> Tensor<4> {
        saved.z_bar.clone().reshape(saved.shape)
    }

    fn is_separable(&self) -> bool {
        false
    }

    fn validate(&self, labels: &Labels) -> Result<()> {
        classes_only("similarity matching", labels)
    }
}

/// Centred rows divided by their norms.
struct Rows {
    /// `u_i`.
    unit: Tensor<2>,
    /// `u'_i`, of norm 1 (0 for a row of norm 0).
    direction: Tensor<2>,
    /// `|c_i|`, `[n, 1]`.
    norm: Tensor<2>,
}

impl Rows {
    fn new(z: Tensor<2>) -> Self {
        let centred = centre(z);
        let norm = centred.clone().square().sum_dim(1).sqrt();
        let unit = centred.clone() / (norm.clone() + EPSILON);
        let zero = norm.clone().equal_elem(0.0);
        let direction = centred * norm.clone().mask_fill(zero.clone(), 1.0).recip().mask_fill(zero, 0.0);
        Self { unit, direction, norm }
    }

    /// `C N_i g_i`.
    fn cotangent(&self, g: Tensor<2>) -> Tensor<2> {
        let guarded = self.norm.clone() + EPSILON;
        let along = (self.direction.clone() * g.clone()).sum_dim(1) * (self.norm.clone() / guarded.clone());
        centre((g - self.direction.clone() * along) / guarded)
    }
}

fn centre(z: Tensor<2>) -> Tensor<2> {
    let mean = z.clone().mean_dim(1);
    z - mean
}
