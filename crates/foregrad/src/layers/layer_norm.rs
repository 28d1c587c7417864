//! Layer normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{
    Cotangent, Layer, LayerKind, Making, Pass, Planned, Scope, Wanted, assign_leaf, leaf_parameters,
    norm::BIAS,
    plan::{check_channels, check_groups, finite},
    stacked,
};
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Result, settings};

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Layer normalisation, one mean and variance a sample, pixel and group of channels; `weight` (gamma) and `bias` (beta) `[c]`, or none.
///
/// ```text
/// forward    y     = gamma x_hat + beta
/// tangent    y_dot = gamma inv P x_dot + gamma_dot x_hat + beta_dot
/// cotangent  x_bar = inv P (gamma y_bar)    gamma_bar = sum(y_bar x_hat)    beta_bar = sum(y_bar)
/// ```
/// with `inv = 1 / sqrt(var + eps)` and `P v = v - mean(v) - x_hat mean(v x_hat)`; `gamma = 1` and `beta = 0` where there are none. Samples do
/// not depend on each other.
///
/// Source: Ba et al., *Layer normalization* (2016); groups as in Ren et al., *Scaling forward gradient with local losses* (2023).
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Option<Param<Tensor<1>>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    channels: usize,
    #[module(skip)]
    groups: usize,
}

impl LayerNorm {
    /// `gamma = 1`, `beta = bias`, over all channels of a pixel.
    pub fn new(channels: usize, bias: f64, placement: &Placement) -> Self {
        let full = |value: f64| Some(Param::from_tensor(placement.tensor(vec![value; channels], [channels])));
        Self { weight: full(1.0), bias: full(bias), channels, groups: 1 }
    }

    /// Without scale and shift, over all channels of a pixel.
    pub fn plain(channels: usize) -> Self {
        Self { weight: None, bias: None, channels, groups: 1 }
    }

    /// With a mean and variance for each of some groups of channels.
    ///
    /// # Panics
    /// If they do not divide the channels.
    pub fn groups(self, groups: usize) -> Self {
        assert!(groups > 0 && self.channels.is_multiple_of(groups), "{groups} groups of {} channels", self.channels);
        Self { groups, ..self }
    }

    /// `[k n, c, h, w]` as `[k, n g, c / g, h w]`: a group is a sample of its own.
    fn by_group(&self, x: Tensor<4>, samples: usize) -> Tensor<4> {
        let [stacked, channels, height, width] = x.dims();
        let x = x.reshape([stacked * self.groups, channels / self.groups, height, width]);
        stacked::by_direction(x, samples * self.groups)
    }

    /// `[k, n g, c / g, h w]` as `[k, n, c, h w]`.
    fn joined(&self, x: Tensor<4>) -> Tensor<4> {
        let [count, rows, members, pixels] = x.dims();
        x.reshape([count, rows / self.groups, members * self.groups, pixels])
    }

    /// `gamma x`, for `x` of `[k, n, c, h w]`.
    fn scaled(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.weight {
            Some(weight) => x * of_channels(weight),
            None => x,
        }
    }
}

/// One value a channel, `[1, 1, c, 1]`.
fn of_channels(values: &Param<Tensor<1>>) -> Tensor<4> {
    let values = values.val();
    let [channels] = values.dims();
    values.reshape([1, 1, channels, 1])
}

settings! {
    /// Layer normalisation in a spec.
    pub struct LayerNormSpec {
        /// Groups of channels, each with a mean and variance of its own.
        groups: usize = 1 => file,
        /// A scale and shift of each channel.
        affine: bool = true => file,
        /// The first value of every shift.
        shift: f64 = BIAS => file,
    }
}

impl LayerKind for LayerNormSpec {
    const NAME: &'static str = "layer-norm";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        let ([channels, ..], groups, shift) = (input, self.groups, finite("shift", self.shift)?);
        check_groups(groups, channels)?;
        if self.affine {
            let make = move |making: &Making| LayerNorm::new(channels, shift, making.placement).groups(groups).into();
            return Ok(Planned::new(input, make).weights(2 * channels as u64));
        }
        Planned::of(LayerNorm::plain(channels).groups(groups), input)
    }
}

/// The input, normalised, `[1, n g, c / g, h w]`, and `inv`, `[1, n g, 1, h w]`; the number of samples, and the size of their maps.
#[derive(Debug)]
pub struct Saved {
    normalised: Tensor<4>,
    inverse: Tensor<4>,
    samples: usize,
    /// Height and width.
    size: [usize; 2],
}

impl Saved {
    /// `inv P v`, for directions `[k, n g, c / g, h w]`.
    fn project(&self, v: Tensor<4>) -> Tensor<4> {
        let product = mean(v.clone() * self.normalised.clone());
        (v.clone() - mean(v) - self.normalised.clone() * product) * self.inverse.clone()
    }
}

/// The mean over channels of `[k, n, c, h w]`: `[k, n, 1, h w]`.
fn mean(v: Tensor<4>) -> Tensor<4> {
    let share = 1.0 / v.dims()[2] as f64;
    v.sum_dim(2) * share
}

impl Layer for LayerNorm {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let [samples, _, height, width] = x.dims();
        let x = self.by_group(x, samples);
        let centred = x.clone() - mean(x);
        let inverse = (mean(centred.clone().square()) + EPSILON).sqrt().recip();
        let normalised = centred * inverse.clone();
        let mut y = self.scaled(self.joined(normalised.clone()));
        if let Some(bias) = &self.bias {
            y = y + of_channels(bias);
        }
        let size = [height, width];
        (stacked::rejoin(y, size), Saved { normalised, inverse, samples, size })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let along_input = x_dot.map(|x_dot| {
            let projected = saved.project(self.by_group(x_dot, saved.samples));
            self.scaled(self.joined(projected))
        });
        let along_parameters = stacked::channel_tangents(theta_dot).map(|rows| {
            let [gamma_dot, beta_dot] = rows.map(|rows| {
                let [count, channels] = rows.dims();
                rows.reshape([count, 1, channels, 1])
            });
            self.joined(saved.normalised.clone()) * gamma_dot + beta_dot
        });
        Some(stacked::rejoin(stacked::add(along_input, along_parameters)?, saved.size))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let [samples, channels, ..] = y_bar.dims();
        let y_bar = stacked::by_direction(y_bar, samples);
        let mut theta_bar = ParamVector::default();
        if wanted.parameters && self.weight.is_some() {
            let sum = |v: Tensor<4>| v.sum_dim(3).sum_dim(1).reshape([channels]);
            theta_bar.insert::<1>("weight", sum(y_bar.clone() * self.joined(saved.normalised.clone())));
            theta_bar.insert::<1>("bias", sum(y_bar.clone()));
        }
        let x_bar = wanted.input.then(|| {
            let at_norm = stacked::rejoin(self.scaled(y_bar), saved.size);
            let projected = saved.project(self.by_group(at_norm, samples));
            stacked::rejoin(self.joined(projected), saved.size)
        });
        Cotangent { x_bar, theta_bar }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        check_channels(input, self.channels)?;
        Ok(input)
    }

    fn parameters(&self) -> ParamVector {
        leaf_parameters(self)
    }

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}
