//! Batch normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::normalised::Normalised;
use super::{
    Activation, Cotangent, Dual, Layer, LayerKind, Making, Pass, Phase, Planned, Scope, Wanted, assign_leaf,
    leaf_parameters,
    norm::BIAS,
    plan::{check_channels, finite},
    stacked,
};
use crate::ops::Side;
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Result, settings};

/// Added to the variance, as in the paper's networks.
const EPSILON: f64 = 1e-5;

/// Batch normalisation, one mean and variance a channel; `weight` (gamma) and `bias` (beta) `[c]`.
///
/// With `x_hat = (x - mean) / sqrt(var + eps)`, `s = gamma / sqrt(var + eps)` and
/// `P v = v - mean(v) - x_hat mean(v x_hat)` (its own transpose; means over samples and pixels):
/// ```text
/// forward    y     = gamma x_hat + beta
/// tangent    y_dot = s P x_dot + gamma_dot x_hat + beta_dot       evaluation, detached: s x_dot + ...
/// cotangent  x_bar = s P y_bar    gamma_bar = sum(y_bar x_hat)    beta_bar = sum(y_bar)
/// ```
/// A rectifier that follows is part of the layer: `y`, `y_dot` and the `y_bar` that comes in are 0 where `y` is not positive.
///
/// In evaluation mean and variance are the moving averages and `P` is the identity. The moving averages are never changed
/// here: [`Layer::statistics`] hands the batch's to the trainer.
///
/// Source: Ioffe & Szegedy, *Batch normalization* (2015).
#[derive(Module, Debug)]
pub struct BatchNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: Param<Tensor<1>>,
    running_var: Param<Tensor<1>>,
    #[module(skip)]
    is_rectified: bool,
}

impl BatchNorm {
    /// `gamma = 1`, `beta = bias`, moving mean 0 and variance 1.
    pub fn new(channels: usize, bias: f64, placement: &Placement) -> Self {
        let full = |value: f64| Param::from_tensor(placement.tensor(vec![value; channels], [channels]));
        Self {
            weight: full(1.0),
            bias: full(bias),
            running_mean: full(0.0),
            running_var: full(1.0),
            is_rectified: false,
        }
    }

    /// The cotangent with mean and variance as constants: the transpose of the detached tangent.
    pub fn frozen_cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.transposed(saved, y_bar, wanted, true)
    }

    /// Both cotangents; `P` is the identity where statistics are constants.
    fn transposed(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted, constant: bool) -> Cotangent {
        let mut theta_bar = ParamVector::default();
        let sums = (wanted.parameters || !constant).then(|| saved.normalised.sums(&y_bar, Side::Operand));
        if let Some([sum, along]) = sums.clone().filter(|_| wanted.parameters) {
            let channels = sum.dims()[1];
            theta_bar.insert("weight", along.reshape([channels]));
            theta_bar.insert("bias", sum.reshape([channels]));
        }
        let x_bar = wanted.input.then(|| {
            let [samples, ..] = saved.normalised.shape();
            let still = self.projection(saved, y_bar.dims()[0] / samples, sums.filter(|_| !constant));
            saved.normalised.combination(y_bar, still.scale, [still.along, still.constant], Side::Operand)
        });
        Cotangent { x_bar, theta_bar }
    }

    /// The statistics of an input, and what it is normalised with.
    fn normalise(&self, x: Activation, pass: Pass) -> Saved {
        let [samples, _, height, width] = x.dims();
        let (x, [mean, variance], statistics) = match pass.phase {
            Phase::Train | Phase::Detached => {
                let count = (samples * height * width) as f64;
                let (x, [mean, variance]) = x.into_tensor_with_moments();
                let unbiased = variance.clone() * (count / (count - 1.0).max(1.0));
                (x, [mean.clone(), variance], Some([mean, unbiased]))
            }
            Phase::Eval => (x.into_tensor(), [self.running_mean.val(), self.running_var.val()], None),
        };
        let of_rows = [mean, (variance + EPSILON).sqrt().recip()];
        let normalised = Normalised::new(x, of_rows, [self.weight.val(), self.bias.val()], self.is_rectified);
        Saved { normalised, statistics, holds: pass.phase != Phase::Train }
    }

    /// `s P v` of `directions` stacked `v`, given `sum(v)` and `sum(v x_hat)`; `P` is the identity without them.
    fn projection(&self, saved: &Saved, directions: usize, sums: Option<[Tensor<2>; 2]>) -> Projection {
        let [samples, channels, height, width] = saved.normalised.shape();
        let scale = saved.normalised.scale().expand([directions, channels]);
        let share = 1.0 / (samples * height * width) as f64;
        let [constant, along] = match sums {
            Some(sums) => sums.map(|sum| -(scale.clone() * sum * share)),
            None => [scale.zeros_like(), scale.zeros_like()],
        };
        Projection { scale, along, constant }
    }
}

/// `scale v + along x_hat + constant`, each `[k, c]`.
struct Projection {
    scale: Tensor<2>,
    along: Tensor<2>,
    constant: Tensor<2>,
}

settings! {
    /// Batch normalisation in a spec.
    pub struct BatchNormSpec {
        /// The first value of every shift.
        shift: f64 = BIAS => file,
    }
}

impl LayerKind for BatchNormSpec {
    const NAME: &'static str = "batch-norm";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        let shift = finite("shift", self.shift)?;
        let make = move |making: &Making| BatchNorm::new(input[0], shift, making.placement).into();
        Ok(Planned::new(input, make).weights(2 * input[0] as u64))
    }
}

/// The normalised input, and the statistics of the batch.
#[derive(Debug)]
pub struct Saved {
    normalised: Normalised,
    /// Mean and unbiased variance of the batch, `[c]`; none in evaluation.
    statistics: Option<[Tensor<1>; 2]>,
    /// Whether tangents hold mean and variance.
    holds: bool,
}

impl Layer for BatchNorm {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let (y, saved) = self.forward_of(x.into(), pass);
        (y.into_tensor(), saved)
    }

    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, Saved) {
        let saved = self.normalise(x, pass);
        (saved.normalised.output(saved.normalised.shape()), saved)
    }

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        let shape = x.dims();
        let saved = self.normalise(x, pass);
        let y_dot = self.tangent(&saved, x_dot, theta_dot);
        let statistics = self.statistics(&saved);
        Dual { y: saved.normalised.into_output(shape), y_dot, statistics }
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let channel_dots = stacked::channel_tangents(theta_dot);
        let Some(x_dot) = x_dot else { return channel_dots.map(|dots| saved.normalised.along_parameters(dots)) };
        let sums = (!saved.holds).then(|| saved.normalised.sums(&x_dot, Side::Result));
        let [samples, ..] = saved.normalised.shape();
        let Projection { scale, mut along, mut constant } = self.projection(saved, x_dot.dims()[0] / samples, sums);
        if let Some([gamma_dot, beta_dot]) = channel_dots {
            (along, constant) = (gamma_dot + along, beta_dot + constant);
        }
        Some(saved.normalised.combination(x_dot, scale, [along, constant], Side::Result))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.transposed(saved, y_bar, wanted, saved.statistics.is_none())
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        check_channels(input, self.weight.val().dims()[0])?;
        Ok(input)
    }

    fn parameters(&self) -> ParamVector {
        leaf_parameters(self).filtered(|path| !path.starts_with("running_"))
    }

    fn averages(&self) -> ParamVector {
        leaf_parameters(self).filtered(|path| path.starts_with("running_"))
    }

    fn statistics(&self, saved: &Saved) -> ParamVector {
        let mut statistics = ParamVector::default();
        if let Some([mean, variance]) = &saved.statistics {
            statistics.insert("running_mean", mean.clone());
            statistics.insert("running_var", variance.clone());
        }
        statistics
    }

    fn fuse_rectifier(&mut self) -> bool {
        !std::mem::replace(&mut self.is_rectified, true)
    }

    fn takes_moments(&self) -> bool {
        true
    }

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}
