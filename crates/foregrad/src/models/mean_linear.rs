//! Tangents through a spatial mean and a linear layer, part by part in one pass.
//!
//! With `z = W mean(y) + b` the tangent along part `p` alone, tile `t` and run of channels `g`, is
//! ```text
//! z_dot_p = W_g u_tg        u_t = sum over the pixels of tile t of y_dot, over (h w)
//! ```
//! so that all parts together take the products of one tangent for each tile.
//!
//! Source: Ren et al., *Scaling forward gradient with local losses* (2023), section 4; google-research, `spatial_avg_linear.py`.

use burn::tensor::Tensor;

use crate::layers::{AdaptiveAvgPool, AnyLayer, Flatten, Linear, Sequential};
use crate::ops::{self, Parts};

/// The linear layer of a net that is nothing but a spatial mean and it.
pub(super) fn linear_of(net: &Sequential) -> Option<&Linear> {
    let layers: Vec<&AnyLayer> = net.iter().map(|(_, layer)| layer).collect();
    let (mean, linear) = match layers.as_slice() {
        [mean, linear] => (mean, linear),
        [mean, flatten, linear] if flatten.downcast_ref::<Flatten>().is_some() => (mean, linear),
        _ => return None,
    };
    mean.downcast_ref::<AdaptiveAvgPool>().filter(|mean| mean.is_mean())?;
    linear.downcast_ref()
}

/// The outputs' tangents along each part of `k` stacked tangents of `samples` samples, stacked direction by direction, part by part:
/// `[k parts n, outputs, 1, 1]`.
pub(super) fn part_tangents(linear: &Linear, y_dot: &Tensor<4>, samples: usize, parts: Parts) -> Tensor<4> {
    let [stacked, channels, height, width] = y_dot.dims();
    let (groups, members, weight) = (parts.groups, channels / parts.groups, linear.weight());
    let outputs = weight.dims()[0];
    let sums = parts.tile_sums(y_dot.clone()).reshape([stacked, groups, members, parts.area()]).swap_dims(2, 3);
    let means = sums.mul_scalar(((height * width) as f64).recip());
    let by_group = weight.transpose().reshape([1, groups, members, outputs]);
    let z_dot = ops::grouped_matmul(means, by_group);
    let by_part = z_dot.reshape([stacked / samples, samples, parts.count(), outputs]).swap_dims(1, 2);
    by_part.reshape([stacked * parts.count(), outputs, 1, 1])
}
