//! Batch normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Phase, Wanted, assign_leaf, leaf_parameters, stacked};
use crate::rng::Placement;
use crate::vector::ParamVector;

/// Added to the variance, as in the paper's networks.
const EPSILON: f64 = 1e-5;

/// Whether the tangent goes through the batch statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatisticsTangent {
    /// The whole derivative: mean and variance move with the input, so the samples of a batch are coupled.
    #[default]
    Coupled,
    /// Mean and variance are held: samples stay apart, and the tangent is no longer that of the layer.
    Detached,
}

/// Batch normalisation, one mean and variance a channel; `weight` (gamma) and `bias` (beta) `[c]`.
///
/// With `x_hat = (x - mean) / sqrt(var + eps)`, `s = gamma / sqrt(var + eps)` and
/// `P v = v - mean(v) - x_hat mean(v x_hat)` (its own transpose; means over samples and pixels):
/// ```text
/// forward    y     = gamma x_hat + beta
/// tangent    y_dot = s P x_dot + gamma_dot x_hat + beta_dot       evaluation, detached: s x_dot + ...
/// cotangent  x_bar = s P y_bar    gamma_bar = sum(y_bar x_hat)    beta_bar = sum(y_bar)
/// ```
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
    tangent: StatisticsTangent,
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
            tangent: StatisticsTangent::Coupled,
        }
    }

    /// Chooses whether tangents go through the batch statistics.
    pub fn set_statistics_tangent(&mut self, tangent: StatisticsTangent) {
        self.tangent = tangent;
    }

    /// The cotangent with mean and variance held: the transpose of the detached tangent.
    pub fn frozen_cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let (n, size) = extent(&saved.x_hat);
        let y_bar = stacked::by_direction(y_bar, n);
        self.transposed(saved, y_bar.clone(), y_bar, wanted, size)
    }

    /// Both cotangents, given `P y_bar` (or `y_bar`, where statistics are held).
    fn transposed(
        &self,
        saved: &Saved,
        y_bar: Tensor<4>,
        projected: Tensor<4>,
        wanted: Wanted,
        size: [usize; 2],
    ) -> Cotangent {
        let mut theta_bar = ParamVector::default();
        if wanted.parameters {
            let channels = y_bar.dims()[2];
            let x_hat = stacked::by_direction(saved.x_hat.clone(), y_bar.dims()[1]);
            theta_bar.insert("weight", channel_sum(y_bar.clone() * x_hat).reshape([channels]));
            theta_bar.insert("bias", channel_sum(y_bar).reshape([channels]));
        }
        let x_bar = wanted.input.then(|| stacked::rejoin(projected * self.scale(saved), size));
        Cotangent { x_bar, theta_bar }
    }

    /// `s = gamma / sqrt(var + eps)`, `[1, 1, c, 1]`.
    fn scale(&self, saved: &Saved) -> Tensor<4> {
        self.weight.val().reshape([1, 1, -1, 1]) * saved.inverse_deviation.clone()
    }
}

/// The normalised input and what it was normalised with.
#[derive(Debug)]
pub struct Saved {
    /// `x_hat`, `[n, c, h, w]`.
    x_hat: Tensor<4>,
    /// `1 / sqrt(var + eps)`, `[1, 1, c, 1]`.
    inverse_deviation: Tensor<4>,
    /// Mean and unbiased variance of the batch, `[c]`; none in evaluation.
    statistics: Option<[Tensor<1>; 2]>,
}

impl Layer for BatchNorm {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, phase: Phase) -> (Tensor<4>, Saved) {
        let (samples, size) = extent(&x);
        let x = stacked::by_direction(x, samples);
        let channels = x.dims()[2];
        let column = |values: Tensor<1>| values.reshape([1, 1, channels, 1]);
        let (centred, variance, statistics) = match phase {
            Phase::Train => {
                let count = (samples * size[0] * size[1]) as f64;
                let mean = channel_mean(x.clone());
                let centred = x - mean.clone();
                let variance = channel_mean(centred.clone().square());
                let unbiased = variance.clone() * (count / (count - 1.0).max(1.0));
                let statistics = [mean.reshape([channels]), unbiased.reshape([channels])];
                (centred, variance, Some(statistics))
            }
            Phase::Eval => (x - column(self.running_mean.val()), column(self.running_var.val()), None),
        };
        let inverse_deviation = (variance + EPSILON).sqrt().recip();
        let x_hat = centred * inverse_deviation.clone();
        let y = x_hat.clone() * column(self.weight.val()) + column(self.bias.val());
        let x_hat = stacked::rejoin(x_hat, size);
        (stacked::rejoin(y, size), Saved { x_hat, inverse_deviation, statistics })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let (samples, size) = extent(&saved.x_hat);
        let x_hat = stacked::by_direction(saved.x_hat.clone(), samples);
        let held = saved.statistics.is_none() || self.tangent == StatisticsTangent::Detached;
        let through_input = x_dot.map(|x_dot| {
            let x_dot = stacked::by_direction(x_dot, samples);
            let projected = if held { x_dot } else { project(x_dot, &x_hat) };
            projected * self.scale(saved)
        });
        let gamma_dot = stacked::channel_directions(theta_dot, "weight").map(|gamma_dot| gamma_dot * x_hat.clone());
        let beta_dot = stacked::channel_directions(theta_dot, "bias").map(|beta_dot| {
            let [_, samples, channels, pixels] = x_hat.dims();
            let count = beta_dot.dims()[0];
            beta_dot.expand([count, samples, channels, pixels])
        });
        let y_dot = stacked::add(through_input, stacked::add(gamma_dot, beta_dot))?;
        Some(stacked::rejoin(y_dot, size))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        if saved.statistics.is_none() {
            return self.frozen_cotangent(saved, y_bar, wanted);
        }
        let (samples, size) = extent(&saved.x_hat);
        let y_bar = stacked::by_direction(y_bar, samples);
        let projected = if wanted.input {
            project(y_bar.clone(), &stacked::by_direction(saved.x_hat.clone(), samples))
        } else {
            y_bar.clone()
        };
        self.transposed(saved, y_bar, projected, wanted, size)
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

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}

/// `P v = v - mean(v) - x_hat mean(v x_hat)`, per direction and channel.
fn project(v: Tensor<4>, x_hat: &Tensor<4>) -> Tensor<4> {
    let along = channel_mean(v.clone() * x_hat.clone());
    let mean = channel_mean(v.clone());
    v - mean - x_hat.clone() * along
}

/// The sum over samples and pixels of `[k, n, c, p]`, `[k, 1, c, 1]`.
fn channel_sum(v: Tensor<4>) -> Tensor<4> {
    v.sum_dim(3).sum_dim(1)
}

fn channel_mean(v: Tensor<4>) -> Tensor<4> {
    let [_, samples, _, pixels] = v.dims();
    // Multiplied, not divided: the derivative that Burn's autodiff takes of a division by a number is rounded to f32.
    channel_sum(v) * (1.0 / (samples * pixels) as f64)
}

/// The number of samples, and height and width.
fn extent(x: &Tensor<4>) -> (usize, [usize; 2]) {
    let [samples, _, height, width] = x.dims();
    (samples, [height, width])
}
