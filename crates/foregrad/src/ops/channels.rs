//! Statistics over the samples and pixels of a channel, and sums of planes scaled by channel.
//!
//! `x` is `[n, c, h, w]`, `v` holds `k` directions `[k n, c, h, w]`; what belongs to a channel is `[c]`, what belongs to a
//! direction and a channel is `[k, c]`.

use burn::tensor::Tensor;
use foregrad_kernels::channels::{self as kernels, Channels};

use super::cpu::{self, change_on_cpu, on_cpu};
use crate::rng::Placement;

/// Mean and mean squared deviation of every channel.
pub fn channel_moments(x: &Tensor<4>) -> [Tensor<1>; 2] {
    let [samples, channels, height, width] = x.dims();
    if let Some(moments) = fused_moments(x) {
        return [0, 1]
            .map(|which| Placement::of(x).tensor(moments.iter().map(|pair| pair[which]).collect(), [channels]));
    }
    // Multiplied, not divided: the derivative that Burn's autodiff takes of a division by a number is rounded to f32.
    let share = 1.0 / (samples * height * width) as f64;
    let average = |x: Tensor<4>| x.sum_dim(3).sum_dim(2).sum_dim(0) * share;
    let mean = average(x.clone());
    let deviation = average((x.clone() - mean.clone()).square());
    [mean.reshape([channels]), deviation.reshape([channels])]
}

fn fused_moments(x: &Tensor<4>) -> Option<Vec<[f64; 2]>> {
    let sizes = sizes(x);
    on_cpu!(|x| kernels::moments(&sizes, x))
}

/// `sum v` and `sum v (x - mean)` of every direction and channel.
pub fn channel_sums(v: &Tensor<4>, x: &Tensor<4>, mean: &Tensor<1>) -> [Tensor<2>; 2] {
    let [samples, channels, ..] = x.dims();
    let directions = v.dims()[0] / samples;
    if let Some(sums) = fused_sums(v, x, mean) {
        return [0, 1].map(|which| {
            Placement::of(x).tensor(sums.iter().map(|pair| pair[which]).collect(), [directions, channels])
        });
    }
    let v = by_direction(v.clone(), samples);
    let centred = by_direction(x.clone(), samples) - mean.clone().reshape([1, 1, channels, 1]);
    let sum = |v: Tensor<4>| v.sum_dim(3).sum_dim(1).reshape([directions, channels]);
    [sum(v.clone()), sum(v * centred)]
}

fn fused_sums(v: &Tensor<4>, x: &Tensor<4>, mean: &Tensor<1>) -> Option<Vec<[f64; 2]>> {
    let sizes = sizes(x);
    on_cpu!(|v, x, mean| v.chunks_exact(x.len()).flat_map(|v| kernels::sums(&sizes, v, x, mean)).collect())
}

/// `a x + d`, with `a` and `d` `[c]`.
pub fn channel_affine(x: &Tensor<4>, a: &Tensor<1>, d: &Tensor<1>) -> Tensor<4> {
    fused_affine(x, a, d).unwrap_or_else(|| {
        let column = |values: &Tensor<1>| values.clone().reshape([1, -1, 1, 1]);
        x.clone() * column(a) + column(d)
    })
}

fn fused_affine(x: &Tensor<4>, a: &Tensor<1>, d: &Tensor<1>) -> Option<Tensor<4>> {
    let (sizes, shape) = (sizes(x), x.dims());
    on_cpu!(|x, a, d| cpu::tensor(kernels::affine(&sizes, x, a, d), shape))
}

/// `a v + b x + d`, with `a`, `b` and `d` `[k, c]`.
pub fn channel_combination(v: Tensor<4>, x: &Tensor<4>, [a, b, d]: [&Tensor<2>; 3]) -> Tensor<4> {
    let [samples, channels, height, width] = x.dims();
    if cpu::is_local(&v) {
        let sizes = sizes(x);
        return change_on_cpu!(|v, x, a, b, d| {
            for (direction, v) in v.chunks_exact_mut(x.len().max(1)).enumerate() {
                let own = direction * channels..(direction + 1) * channels;
                kernels::combine(&sizes, v, x, [&a[own.clone()], &b[own.clone()], &d[own]]);
            }
        });
    }
    let stacked = v.dims()[0];
    let column = |values: &Tensor<2>| values.clone().reshape([(stacked / samples) as i32, 1, channels as i32, 1]);
    let moved = by_direction(v, samples) * column(a) + by_direction(x.clone(), samples) * column(b) + column(d);
    moved.reshape([stacked, channels, height, width])
}

/// `y + a s`, with `a` `[c]` and `s` `[n, 1, h, w]`.
pub fn add_outer(y: Tensor<4>, a: &Tensor<1>, s: &Tensor<4>) -> Tensor<4> {
    if cpu::is_local(&y) {
        let sizes = sizes(&y);
        return change_on_cpu!(|y, a, s| kernels::add_outer(&sizes, y, a, s));
    }
    y + a.clone().reshape([1, -1, 1, 1]) * s.clone()
}

fn sizes(x: &Tensor<4>) -> Channels {
    let [samples, channels, height, width] = x.dims();
    Channels { samples, channels, pixels: height * width }
}

/// `[k n, c, h, w]` as `[k, n, c, h w]`.
fn by_direction(v: Tensor<4>, samples: usize) -> Tensor<4> {
    let [stacked, channels, height, width] = v.dims();
    v.reshape([stacked / samples, samples, channels, height * width])
}
