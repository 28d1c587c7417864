//! Layer normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{
    Cotangent, Layer, LayerKind, Making, Pass, Planned, Scope, Wanted, assign_leaf, leaf_parameters,
    norm::BIAS,
    plan::{check_channels, finite},
    stacked,
};
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Result, settings};

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Layer normalisation, one mean and variance a sample and pixel, over the channels; `weight` (gamma) and `bias` (beta) `[c]`.
///
/// ```text
/// forward    y     = gamma x_hat + beta
/// tangent    y_dot = gamma inv P x_dot + gamma_dot x_hat + beta_dot
/// cotangent  x_bar = inv P (gamma y_bar)    gamma_bar = sum(y_bar x_hat)    beta_bar = sum(y_bar)
/// ```
/// with `inv = 1 / sqrt(var + eps)` and `P v = v - mean(v) - x_hat mean(v x_hat)`. Samples do not depend on each other.
///
/// Source: Ba et al., *Layer normalization* (2016).
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// `gamma = 1`, `beta = bias`.
    pub fn new(channels: usize, bias: f64, placement: &Placement) -> Self {
        let full = |value: f64| Param::from_tensor(placement.tensor(vec![value; channels], [channels]));
        Self { weight: full(1.0), bias: full(bias) }
    }

    /// One value a channel, `[1, 1, c, 1]`.
    fn of_channels(values: &Param<Tensor<1>>) -> Tensor<4> {
        let values = values.val();
        let [channels] = values.dims();
        values.reshape([1, 1, channels, 1])
    }
}

settings! {
    /// Layer normalisation in a spec.
    pub struct LayerNormSpec {
        /// The first value of every shift.
        shift: f64 = BIAS => file,
    }
}

impl LayerKind for LayerNormSpec {
    const NAME: &'static str = "layer-norm";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        let shift = finite("shift", self.shift)?;
        let make = move |making: &Making| LayerNorm::new(input[0], shift, making.placement).into();
        Ok(Planned::new(input, make).weights(2 * input[0] as u64))
    }
}

/// The input, normalised, `[1, n, c, h w]`, and `inv`, `[1, n, 1, h w]`; the size of its maps.
#[derive(Debug)]
pub struct Saved {
    normalised: Tensor<4>,
    inverse: Tensor<4>,
    /// Height and width.
    size: [usize; 2],
}

impl Saved {
    /// `P v`, for directions `[k, n, c, h w]`.
    fn project(&self, v: Tensor<4>) -> Tensor<4> {
        let product = mean(v.clone() * self.normalised.clone());
        v.clone() - mean(v) - self.normalised.clone() * product
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
        let x = stacked::by_direction(x, samples);
        let centred = x.clone() - mean(x);
        let inverse = (mean(centred.clone().square()) + EPSILON).sqrt().recip();
        let normalised = centred * inverse.clone();
        let y = normalised.clone() * Self::of_channels(&self.weight) + Self::of_channels(&self.bias);
        (stacked::rejoin(y, [height, width]), Saved { normalised, inverse, size: [height, width] })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let samples = saved.normalised.dims()[1];
        let along_input = x_dot.map(|x_dot| {
            let projected = saved.project(stacked::by_direction(x_dot, samples));
            projected * saved.inverse.clone() * Self::of_channels(&self.weight)
        });
        let along_parameters = stacked::channel_tangents(theta_dot).map(|rows| {
            let [gamma_dot, beta_dot] = rows.map(|rows| {
                let [count, channels] = rows.dims();
                rows.reshape([count, 1, channels, 1])
            });
            saved.normalised.clone() * gamma_dot + beta_dot
        });
        Some(stacked::rejoin(stacked::add(along_input, along_parameters)?, saved.size))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let [samples, channels, ..] = y_bar.dims();
        let y_bar = stacked::by_direction(y_bar, samples);
        let mut theta_bar = ParamVector::default();
        if wanted.parameters {
            let sum = |v: Tensor<4>| v.sum_dim(3).sum_dim(1).reshape([channels]);
            theta_bar.insert::<1>("weight", sum(y_bar.clone() * saved.normalised.clone()));
            theta_bar.insert::<1>("bias", sum(y_bar.clone()));
        }
        let x_bar = wanted.input.then(|| {
            let projected = saved.project(y_bar * Self::of_channels(&self.weight));
            stacked::rejoin(projected * saved.inverse.clone(), saved.size)
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

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}
