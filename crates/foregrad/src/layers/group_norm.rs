//! Group normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Phase, Wanted, assign_leaf, leaf_parameters, stacked};
use crate::rng::Placement;
use crate::vector::ParamVector;

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Group normalisation, one mean and variance a sample and group of channels; `weight` (gamma) and `bias` (beta) `[c]`.
///
/// As [`BatchNorm`](super::BatchNorm) with means over the channels of a group and the pixels, so samples stay apart:
/// ```text
/// forward    y     = gamma x_hat + beta
/// tangent    y_dot = gamma inv P x_dot + gamma_dot x_hat + beta_dot
/// cotangent  x_bar = inv P (gamma y_bar)    gamma_bar = sum(y_bar x_hat)    beta_bar = sum(y_bar)
/// ```
/// with `inv = 1 / sqrt(var + eps)` and `P v = v - mean(v) - x_hat mean(v x_hat)`.
///
/// Source: Wu & He, *Group normalization* (2018).
#[derive(Module, Debug)]
pub struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
}

impl GroupNorm {
    /// `gamma = 1`, `beta = bias`, with at most `groups` groups: the largest number that divides the channels.
    pub fn new(channels: usize, groups: usize, bias: f64, placement: &Placement) -> Self {
        let groups = (1..=groups.min(channels)).rev().find(|groups| channels.is_multiple_of(*groups)).unwrap_or(1);
        let full = |value: f64| Param::from_tensor(placement.tensor(vec![value; channels], [channels]));
        Self { weight: full(1.0), bias: full(bias), groups }
    }

    fn gamma(&self) -> Tensor<4> {
        self.weight.val().reshape([1, -1, 1, 1])
    }

    /// `P v` in the groups of one direction or of all: `v` and `x_hat` are `[k, n g, m]` and `[1, n g, m]`.
    fn project(v: Tensor<3>, x_hat: &Tensor<3>) -> Tensor<3> {
        let along = (v.clone() * x_hat.clone()).mean_dim(2);
        let mean = v.clone().mean_dim(2);
        v - mean - x_hat.clone() * along
    }

    /// `inv P v` for `k n` stacked samples.
    fn normalised(&self, saved: &Saved, v: Tensor<4>) -> Tensor<4> {
        let shape = v.dims();
        let [samples, channels, height, width] = saved.x_hat.dims();
        let rows = samples * self.groups;
        let count = shape[0] / samples;
        let members = channels / self.groups * height * width;
        let x_hat = saved.x_hat.clone().reshape([1, rows, members]);
        let projected = Self::project(v.reshape([count, rows, members]), &x_hat);
        (projected * saved.inverse_deviation.clone()).reshape(shape)
    }
}

/// The normalised input and what it was normalised with.
#[derive(Debug)]
pub struct Saved {
    /// `x_hat`, `[n, c, h, w]`.
    x_hat: Tensor<4>,
    /// `1 / sqrt(var + eps)`, `[1, n g, 1]`.
    inverse_deviation: Tensor<3>,
}

impl Layer for GroupNorm {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _phase: Phase) -> (Tensor<4>, Saved) {
        let shape @ [samples, channels, height, width] = x.dims();
        let members = channels / self.groups * height * width;
        let x = x.reshape([1, samples * self.groups, members]);
        let mean = x.clone().mean_dim(2);
        let centred = x - mean;
        let inverse_deviation = (centred.clone().square().mean_dim(2) + EPSILON).sqrt().recip();
        let x_hat = (centred * inverse_deviation.clone()).reshape(shape);
        let y = x_hat.clone() * self.gamma() + self.bias.val().reshape([1, -1, 1, 1]);
        (y, Saved { x_hat, inverse_deviation })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let [samples, channels, height, width] = saved.x_hat.dims();
        let through_input = x_dot.map(|x_dot| self.normalised(saved, x_dot) * self.gamma());
        let x_hat = stacked::by_direction(saved.x_hat.clone(), samples);
        let gamma_dot = stacked::channel_directions(theta_dot, "weight").map(|gamma_dot| gamma_dot * x_hat);
        let beta_dot = stacked::channel_directions(theta_dot, "bias").map(|beta_dot| {
            let count = beta_dot.dims()[0];
            beta_dot.expand([count, samples, channels, height * width])
        });
        let through_theta = stacked::add(gamma_dot, beta_dot).map(|y_dot| stacked::rejoin(y_dot, [height, width]));
        stacked::add(through_input, through_theta)
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let mut theta_bar = ParamVector::default();
        if wanted.parameters {
            let sum = |v: Tensor<4>| {
                let channels = v.dims()[1];
                v.sum_dim(3).sum_dim(2).sum_dim(0).reshape([channels])
            };
            theta_bar.insert("weight", sum(y_bar.clone() * saved.x_hat.clone()));
            theta_bar.insert("bias", sum(y_bar.clone()));
        }
        let x_bar = wanted.input.then(|| self.normalised(saved, y_bar * self.gamma()));
        Cotangent { x_bar, theta_bar }
    }

    fn parameters(&self) -> ParamVector {
        leaf_parameters(self)
    }

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}
