//! Group normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::normalised::Normalised;
use super::{
    Activation, Cotangent, Dual, Layer, LayerKind, Making, Pass, Planned, Scope, Wanted, assign_leaf, leaf_parameters,
    norm::BIAS,
    plan::{check_channels, check_groups, finite},
    stacked,
};
use crate::ops::{self, Side};
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Result, settings};

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Group normalisation, one mean and variance a sample and group of channels; `weight` (gamma) and `bias` (beta) `[c]`.
///
/// As [`BatchNorm`](super::BatchNorm) with means over the channels of a group and the pixels, so samples do not depend on each other:
/// ```text
/// forward    y     = gamma x_hat + beta
/// tangent    y_dot = gamma inv P x_dot + gamma_dot x_hat + beta_dot
/// cotangent  x_bar = inv P (gamma y_bar)    gamma_bar = sum(y_bar x_hat)    beta_bar = sum(y_bar)
/// ```
/// with `inv = 1 / sqrt(var + eps)` and `P v = v - mean(v) - x_hat mean(v x_hat)`. A rectifier that follows is part of the
/// layer, as there.
///
/// Source: Wu & He, *Group normalization* (2018).
#[derive(Module, Debug)]
pub struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    is_rectified: bool,
}

impl GroupNorm {
    /// `gamma = 1`, `beta = bias`, with at most `groups` groups: the largest number that divides the channels.
    pub fn new(channels: usize, groups: usize, bias: f64, placement: &Placement) -> Self {
        let groups = (1..=groups.min(channels)).rev().find(|groups| channels.is_multiple_of(*groups)).unwrap_or(1);
        let full = |value: f64| Param::from_tensor(placement.tensor(vec![value; channels], [channels]));
        Self { weight: full(1.0), bias: full(bias), groups, is_rectified: false }
    }

    /// One value a sample and group, `[k, n g]`, for every channel of the group: `[k, n c]`.
    fn for_channels(&self, values: Tensor<2>, members: usize) -> Tensor<2> {
        let [count, rows] = values.dims();
        values.reshape([count, rows, 1]).expand([count, rows, members]).reshape([count, rows * members])
    }

    /// The statistics of an input's groups, and what it is normalised with.
    fn normalise(&self, x: Tensor<4>) -> Saved {
        let shape = Shape::of(&x);
        let (rows, members) = (shape.samples * self.groups, shape.channels / self.groups);
        let [mean, variance] = ops::channel_moments(&x.clone().reshape([1, rows, members * shape.pixels(), 1]));
        let of_group = |values: Tensor<1>| self.for_channels(values.unsqueeze(), members).flatten(0, 1);
        let inverse_deviation = of_group((variance + EPSILON).sqrt().recip());
        let parameters = [&self.weight, &self.bias].map(|values| shape.parameter(values).flatten(0, 1));
        let statistics = [of_group(mean), inverse_deviation];
        let normalised = Normalised::new(shape.planes(x), statistics, parameters, self.is_rectified);
        Saved { normalised, shape }
    }

    /// The means over each group, for every channel of the group, of sums over its channels' pixels, `[k, n c]`.
    fn group_means(&self, sums: Tensor<2>, shape: Shape) -> Tensor<2> {
        let [count, _] = sums.dims();
        let rows = shape.samples * self.groups;
        let members = shape.channels / self.groups;
        let share = 1.0 / (members * shape.pixels()) as f64;
        let totals = sums.reshape([count, rows, members]).sum_dim(2).reshape([count, rows]);
        self.for_channels(totals * share, members)
    }
}

/// The sizes of the input.
#[derive(Debug, Clone, Copy)]
struct Shape {
    samples: usize,
    channels: usize,
    size: [usize; 2],
}

impl Shape {
    fn of(x: &Tensor<4>) -> Self {
        let [samples, channels, height, width] = x.dims();
        Self { samples, channels, size: [height, width] }
    }

    fn pixels(self) -> usize {
        self.size[0] * self.size[1]
    }

    /// `[k n, c, h, w]` as `[k, n c, h w, 1]`: a row a channel of a sample.
    fn planes(self, v: Tensor<4>) -> Tensor<4> {
        let count = v.dims()[0] / self.samples.max(1);
        v.reshape([count, self.samples * self.channels, self.pixels(), 1])
    }

    /// The planes as `[k n, c, h, w]` again.
    fn unplaned(self, planes: Tensor<4>) -> Tensor<4> {
        let (count, [height, width]) = (planes.dims()[0], self.size);
        planes.reshape([count * self.samples, self.channels, height, width])
    }

    /// One value a channel and direction, `[k, c]`, for every sample: `[k, n c]`.
    fn for_samples(self, values: Tensor<2>) -> Tensor<2> {
        let [count, channels] = values.dims();
        values
            .reshape([count, 1, channels])
            .expand([count, self.samples, channels])
            .reshape([count, self.samples * channels])
    }

    /// A parameter with one value a channel, for every sample: `[1, n c]`.
    fn parameter(self, values: &Param<Tensor<1>>) -> Tensor<2> {
        self.for_samples(values.val().unsqueeze())
    }

    /// One value a sample and channel, `[1, n c]`, summed over samples.
    fn sum_samples(self, values: Tensor<2>) -> Tensor<1> {
        values.reshape([self.samples, self.channels]).sum_dim(0).reshape([self.channels])
    }
}

settings! {
    /// Group normalisation in a spec.
    pub struct GroupNormSpec {
        /// Groups of channels, each with a mean and variance of its own.
        groups: usize = 8 => file,
        /// The first value of every shift.
        shift: f64 = BIAS => file,
    }
}

impl LayerKind for GroupNormSpec {
    const NAME: &'static str = "group-norm";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        let ([channels, ..], groups, shift) = (input, self.groups, finite("shift", self.shift)?);
        check_groups(groups, channels)?;
        let make = move |making: &Making| GroupNorm::new(channels, groups, shift, making.placement).into();
        Ok(Planned::new(input, make).weights(2 * channels as u64))
    }
}

/// The input as planes, normalised, and its shape.
#[derive(Debug)]
pub struct Saved {
    normalised: Normalised,
    shape: Shape,
}

impl Layer for GroupNorm {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let (y, saved) = self.forward_of(x.into(), pass);
        (y.into_tensor(), saved)
    }

    fn forward_of(&self, x: Activation, _pass: Pass) -> (Activation, Saved) {
        let shape = x.dims();
        let saved = self.normalise(x.into_tensor());
        (saved.normalised.output(shape), saved)
    }

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], _pass: Pass) -> Dual {
        let shape = x.dims();
        let saved = self.normalise(x.into_tensor());
        let y_dot = self.tangent(&saved, x_dot, theta_dot);
        Dual { y: saved.normalised.into_output(shape), y_dot, statistics: ParamVector::default() }
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let Saved { normalised, shape } = saved;
        let channel_dots = stacked::channel_tangents(theta_dot).map(|dots| dots.map(|rows| shape.for_samples(rows)));
        let Some(x_dot) = x_dot else {
            return channel_dots.map(|dots| shape.unplaned(normalised.along_parameters(dots)));
        };
        let x_dot = shape.planes(x_dot);
        let [mean, product] = normalised.sums(&x_dot, Side::Result).map(|sums| self.group_means(sums, *shape));
        let scale = normalised.scale().expand(mean.dims());
        let [gamma_dot, beta_dot] = channel_dots.unwrap_or_else(|| [mean.zeros_like(), mean.zeros_like()]);
        let along = gamma_dot - scale.clone() * product;
        let constant = beta_dot - scale.clone() * mean;
        Some(shape.unplaned(normalised.combination(x_dot, scale, [along, constant], Side::Result)))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let Saved { normalised, shape } = saved;
        let y_bar = shape.planes(y_bar);
        let [sum, product] = normalised.sums(&y_bar, Side::Operand);
        let mut theta_bar = ParamVector::default();
        if wanted.parameters {
            theta_bar.insert("weight", shape.sum_samples(product.clone()));
            theta_bar.insert("bias", shape.sum_samples(sum.clone()));
        }
        let x_bar = wanted.input.then(|| {
            let gamma = shape.parameter(&self.weight);
            let inverse = normalised.inverse_deviation();
            let [mean, product] = [sum, product].map(|sums| self.group_means(gamma.clone() * sums, *shape));
            let [along, constant] = [product, mean].map(|means| -(inverse.clone() * means));
            shape.unplaned(normalised.combination(y_bar, normalised.scale(), [along, constant], Side::Operand))
        });
        Cotangent { x_bar, theta_bar }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        check_channels(input, self.weight.val().dims()[0])?;
        Ok(input)
    }

    fn parameters(&self) -> ParamVector {
        leaf_parameters(self)
    }

    fn fuse_rectifier(&mut self) -> bool {
        !std::mem::replace(&mut self.is_rectified, true)
    }

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}
