//! What batch and group normalisation share: `x_hat = (x - mean) / deviation` row by row, never formed.
//!
//! A row is what is scaled together: a channel of the batch, or a channel of one sample. Whatever is linear in `x_hat` is written
//! in terms of `x`, so that each map is one pass over memory, a rectifier behind the normalisation included: whether a pixel
//! passes it is read off `x` again.

use burn::tensor::Tensor;

use super::stacked;
use crate::ops::{self, Activation, Affine, Side};

/// The input, and what it is normalised with.
#[derive(Debug)]
pub(super) struct Normalised {
    /// `[n, c, h, w]`; the rows lie along the second axis.
    x: Tensor<4>,
    /// `[c]`.
    mean: Tensor<1>,
    /// `1 / sqrt(var + eps)`, `[c]`.
    inverse_deviation: Tensor<1>,
    /// `gamma x_hat + beta` in terms of `x`.
    output: Affine,
    /// Whether a rectifier follows.
    is_rectified: bool,
}

impl Normalised {
    /// `x` with the statistics of its rows, and the scale `gamma` and shift `beta` of its output, each `[c]`.
    pub fn new(
        x: Tensor<4>,
        [mean, inverse_deviation]: [Tensor<1>; 2],
        [gamma, beta]: [Tensor<1>; 2],
        is_rectified: bool,
    ) -> Self {
        let output = in_terms_of_input([&mean, &inverse_deviation], [gamma, beta]);
        Self { x, mean, inverse_deviation, output, is_rectified }
    }

    /// `gamma x_hat + beta`, rectified, computed by whoever reads it; of the given shape, `[n, c, h, w]`.
    pub fn output(&self, shape: [usize; 4]) -> Activation {
        Activation::normalised(self.x.clone().reshape(shape), self.output.clone(), self.is_rectified)
    }

    /// [`output`](Self::output), which alone holds the input.
    pub fn into_output(self, shape: [usize; 4]) -> Activation {
        Activation::normalised(self.x.reshape(shape), self.output, self.is_rectified)
    }

    /// Shape of the input.
    pub fn shape(&self) -> [usize; 4] {
        self.x.dims()
    }

    /// `gamma / sqrt(var + eps)`, `[1, c]`.
    pub fn scale(&self) -> Tensor<2> {
        row(&self.output.scale)
    }

    /// `1 / sqrt(var + eps)`, `[1, c]`.
    pub fn inverse_deviation(&self) -> Tensor<2> {
        row(&self.inverse_deviation)
    }

    /// `sum(v)` and `sum(v x_hat)` of every direction and row, `[k, c]`; `v` is at the input, or at the output and held back
    /// by the rectifier.
    pub fn sums(&self, v: &Tensor<4>, at: Side) -> [Tensor<2>; 2] {
        let rectifier = self.rectifier().filter(|_| at == Side::Operand);
        let [sum, centred] = ops::channel_sums(v, &self.x, &self.mean, rectifier);
        [sum, centred * self.inverse_deviation()]
    }

    /// `scale v + along x_hat + constant`, each `[k, c]`: `b = along inv` and `d = constant - b mean` in terms of `x`; the
    /// rectifier holds back a cotangent `v`, or the sum that is a tangent.
    pub fn combination(
        &self,
        v: Tensor<4>,
        scale: Tensor<2>,
        [along, constant]: [Tensor<2>; 2],
        at: Side,
    ) -> Tensor<4> {
        let slope = along * self.inverse_deviation();
        let constant = constant - slope.clone() * row(&self.mean);
        let rectifier = self.rectifier().map(|rectifier| (at, rectifier));
        ops::channel_combination(v, &self.x, [&scale, &slope, &constant], rectifier)
    }

    /// `along x_hat + constant` of every direction, each `[k, c]`: the tangent if the input does not move.
    pub fn along_parameters(&self, [along, constant]: [Tensor<2>; 2]) -> Tensor<4> {
        let [directions, rows] = along.dims();
        let of = |values: &Tensor<2>, direction: usize| values.clone().narrow(0, direction, 1).reshape([rows]);
        let statistics = [&self.mean, &self.inverse_deviation];
        let tangents = (0..directions).map(|direction| {
            let map = in_terms_of_input(statistics, [of(&along, direction), of(&constant, direction)]);
            ops::channel_affine(&self.x, &map, self.rectifier())
        });
        stacked::join(tangents.collect())
    }

    fn rectifier(&self) -> Option<&Affine> {
        self.is_rectified.then_some(&self.output)
    }
}

/// `along x_hat + constant` in terms of `x`.
fn in_terms_of_input([mean, inverse]: [&Tensor<1>; 2], [along, constant]: [Tensor<1>; 2]) -> Affine {
    let scale = along * inverse.clone();
    let shift = constant - mean.clone() * scale.clone();
    Affine { scale, shift }
}

/// A row's values as `[1, c]`.
fn row(values: &Tensor<1>) -> Tensor<2> {
    values.clone().unsqueeze()
}
