//! Huber's loss, and how often an output is near: `l = mean_i sum_o h(z_io - value_io)`, `h(d) = d^2 / 2` up to 1, else `|d| - 1/2`.

use burn::tensor::Tensor;
use foregrad::losses::{Labels, Loss};
use foregrad::metrics::Metric;
use foregrad::ops;
use foregrad::rng::Placement;

/// The loss.
#[derive(Debug, Clone, Default)]
pub struct Huber {
    /// The mistake: a gradient that goes on growing.
    pub is_wrong: bool,
}

fn differences(z: Tensor<4>, labels: &Labels) -> Tensor<2> {
    let z: Tensor<2> = z.flatten(1, 3);
    z.clone() - labels.rows(&Placement::of(&z))
}

impl Loss for Huber {
    /// The gradient, shaped as the outputs.
    type Saved = Tensor<4>;

    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Tensor<4>) {
        let (shape, samples) = (z.dims(), z.dims()[0] as f64);
        let difference = differences(z, labels);
        let clamped = difference.clone().clamp(-1.0, 1.0);
        // `d c - c^2 / 2` with `c = clamp(d)` is both cases at once.
        let losses = difference.clone() * clamped.clone() - clamped.clone() * clamped.clone() / 2.0;
        let loss: f64 = ops::host(losses).iter().sum();
        let gradient = if self.is_wrong { difference } else { clamped };
        (loss / samples, (gradient / samples).reshape(shape))
    }

    fn tangent(&self, gradient: &Tensor<4>, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        z_dot.split(gradient.dims()[0], 0).iter().map(|z_dot| ops::row_dots(gradient, z_dot)).collect()
    }

    fn cotangent(&self, gradient: &Tensor<4>) -> Tensor<4> {
        gradient.clone()
    }
}

/// The part of outputs that are within a tenth of the value.
#[derive(Debug)]
pub struct Near;

impl Metric for Near {
    fn name(&self) -> &'static str {
        "near"
    }

    fn sum(&self, z: &Tensor<4>, labels: &Labels) -> Option<f64> {
        let Labels::Values { width, .. } = labels else { return None };
        let distances = ops::host(differences(z.clone(), labels).abs());
        Some(distances.iter().filter(|distance| **distance < 0.1).count() as f64 / *width as f64)
    }
}
