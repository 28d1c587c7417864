//! What batch and group normalisation share: `x_hat = (x - mean) / deviation` row by row, never formed.
//!
//! A row is what is scaled together: a channel of the batch, or a channel of one sample. Whatever is linear in `x_hat` is written
//! in terms of `x`, so that each map is one pass over memory.

use burn::tensor::Tensor;

use super::stacked;
use crate::ops;

/// The input, and what it is normalised with.
#[derive(Debug)]
pub(super) struct Normalised {
    /// `[n, c, h, w]`; the rows lie along the second axis.
    pub x: Tensor<4>,
    /// `[c]`.
    pub mean: Tensor<1>,
    /// `1 / sqrt(var + eps)`, `[c]`.
    pub inverse_deviation: Tensor<1>,
}

impl Normalised {
    /// `gamma x_hat + beta`.
    pub fn affine(&self, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<4> {
        let scale = gamma * self.inverse_deviation.clone();
        let shift = beta - self.mean.clone() * scale.clone();
        ops::channel_affine(&self.x, &scale, &shift)
    }

    /// `sum(v)` and `sum(v x_hat)` of every direction and row, `[k, c]`.
    pub fn sums(&self, v: &Tensor<4>) -> [Tensor<2>; 2] {
        let [sum, centred] = ops::channel_sums(v, &self.x, &self.mean);
        [sum, centred * self.row(&self.inverse_deviation)]
    }

    /// `scale v + along x_hat + constant`, each `[k, c]`: `b = along inv` and `d = constant - b mean` in terms of `x`.
    pub fn combination(&self, v: Tensor<4>, scale: Tensor<2>, along: Tensor<2>, constant: Tensor<2>) -> Tensor<4> {
        let slope = along * self.row(&self.inverse_deviation);
        let constant = constant - slope.clone() * self.row(&self.mean);
        ops::channel_combination(v, &self.x, [&scale, &slope, &constant])
    }

    /// `along x_hat + constant` of every direction, each `[k, c]`: what moves if the input does not.
    pub fn moved(&self, [along, constant]: [Tensor<2>; 2]) -> Tensor<4> {
        let [directions, rows] = along.dims();
        let of = |values: &Tensor<2>, direction: usize| values.clone().narrow(0, direction, 1).reshape([rows]);
        let moved = (0..directions).map(|direction| self.affine(of(&along, direction), of(&constant, direction)));
        stacked::join(moved.collect())
    }

    /// A row's values as `[1, c]`.
    pub fn row(&self, values: &Tensor<1>) -> Tensor<2> {
        values.clone().unsqueeze()
    }
}
