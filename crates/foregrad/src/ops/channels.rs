//! Statistics over the samples and pixels of a channel, and sums of planes scaled by channel.
//!
//! `x` is `[n, c, h, w]`, `v` holds `k` directions `[k n, c, h, w]`; what belongs to a channel is `[c]`, what belongs to a
//! direction and a channel is `[k, c]`. A *rectifier* lets those pixels pass where `scale x + shift` is positive. In the kernels it
//! takes no pass over memory of its own; composed it is a few operations element by element, which Burn fuses on a GPU.

use burn::tensor::Tensor;
use foregrad_kernels::Real;
pub use foregrad_kernels::channels::Side;
use foregrad_kernels::channels::{self as kernels, Channels, Rectifier};

use super::cpu::{self, change_on_cpu, on_cpu};
use super::relu_gate;
use crate::rng::Placement;

/// `scale x + shift`, with one scale and shift a channel, each `[c]`.
#[derive(Debug, Clone)]
pub struct Affine {
    /// Factors.
    pub scale: Tensor<1>,
    /// Summands.
    pub shift: Tensor<1>,
}

impl Affine {
    /// `scale x + shift` by broadcasting.
    fn composed(&self, x: &Tensor<4>) -> Tensor<4> {
        let column = |values: &Tensor<1>| values.clone().reshape([1, -1, 1, 1]);
        x.clone() * column(&self.scale) + column(&self.shift)
    }
}

/// Mean and mean squared deviation of every channel.
pub fn channel_moments(x: &Tensor<4>) -> [Tensor<1>; 2] {
    let [samples, channels, height, width] = x.dims();
    if let Some(moments) = fused_moments(x) {
        return by_moment(x, &moments);
    }
    // Multiplied, not divided: the derivative that Burn's autodiff takes of a division by a number is rounded to f32.
    let share = 1.0 / (samples * height * width) as f64;
    let average = |x: Tensor<4>| x.sum_dim(3).sum_dim(2).sum_dim(0) * share;
    let mean = average(x.clone());
    let deviation = average((x.clone() - mean.clone()).square());
    [mean.reshape([channels]), deviation.reshape([channels])]
}

/// The means, and the mean squared deviations, where `x` is.
pub(super) fn by_moment(x: &Tensor<4>, moments: &[[f64; 2]]) -> [Tensor<1>; 2] {
    [0, 1].map(|which| Placement::of(x).tensor(moments.iter().map(|pair| pair[which]).collect(), [moments.len()]))
}

fn fused_moments(x: &Tensor<4>) -> Option<Vec<[f64; 2]>> {
    let sizes = sizes(x);
    on_cpu!(|x| kernels::moments(&sizes, x))
}

/// `sum v` and `sum v (x - mean)` of every direction and channel, over the pixels that pass the rectifier.
pub fn channel_sums(v: &Tensor<4>, x: &Tensor<4>, mean: &Tensor<1>, rectifier: Option<&Affine>) -> [Tensor<2>; 2] {
    let [samples, channels, ..] = x.dims();
    let directions = v.dims()[0] / samples;
    if let Some(sums) = fused_sums(v, x, mean, rectifier) {
        return [0, 1].map(|which| {
            Placement::of(x).tensor(sums.iter().map(|pair| pair[which]).collect(), [directions, channels])
        });
    }
    let v = by_direction(passed(v.clone(), x, rectifier), samples);
    let centred = by_direction(x.clone(), samples) - mean.clone().reshape([1, 1, channels, 1]);
    let sum = |v: Tensor<4>| v.sum_dim(3).sum_dim(1).reshape([directions, channels]);
    [sum(v.clone()), sum(v * centred)]
}

fn fused_sums(v: &Tensor<4>, x: &Tensor<4>, mean: &Tensor<1>, rectifier: Option<&Affine>) -> Option<Vec<[f64; 2]>> {
    let sizes = sizes(x);
    let (scale, shift) = (rectifier.map(|map| &map.scale), rectifier.map(|map| &map.shift));
    on_cpu!(|v, x, mean; scale, shift| {
        let rectifier = scale.zip(shift).map(|(scale, shift)| Rectifier { scale, shift });
        v.chunks_exact(x.len()).flat_map(|v| kernels::sums(&sizes, v, x, mean, rectifier)).collect()
    })
}

/// `scale x + shift`; 0 where `x` does not pass the rectifier.
pub fn channel_affine(x: &Tensor<4>, map: &Affine, rectifier: Option<&Affine>) -> Tensor<4> {
    fused_affine(x, map, rectifier).unwrap_or_else(|| passed(map.composed(x), x, rectifier))
}

/// As [`channel_affine`], in the memory of `x` where nobody else holds it.
pub fn channel_affine_in_place(x: Tensor<4>, map: &Affine, rectifier: Option<&Affine>) -> Tensor<4> {
    let (x, is_free) = cpu::alone(x);
    if !is_free {
        return channel_affine(&x, map, rectifier);
    }
    let sizes = sizes(&x);
    let Affine { scale: a, shift: d } = map;
    let (scale, shift) = (rectifier.map(|map| &map.scale), rectifier.map(|map| &map.shift));
    change_on_cpu!(|x, a, d; scale, shift| {
        let rectifier = scale.zip(shift).map(|(scale, shift)| Rectifier { scale, shift });
        kernels::affine_in_place(&sizes, x, [a, d], rectifier)
    })
}

fn fused_affine(x: &Tensor<4>, map: &Affine, rectifier: Option<&Affine>) -> Option<Tensor<4>> {
    let (sizes, shape) = (sizes(x), x.dims());
    let Affine { scale: a, shift: d } = map;
    let (scale, shift) = (rectifier.map(|map| &map.scale), rectifier.map(|map| &map.shift));
    on_cpu!(|x, a, d; scale, shift| {
        let rectifier = scale.zip(shift).map(|(scale, shift)| Rectifier { scale, shift });
        cpu::tensor(kernels::affine(&sizes, x, [a, d], rectifier), shape)
    })
}

/// `a v + b x + d`, with `a`, `b` and `d` `[k, c]`; where `x` does not pass the rectifier, `v` or the sum is 0.
pub fn channel_combination(
    v: Tensor<4>,
    x: &Tensor<4>,
    [a, b, d]: [&Tensor<2>; 3],
    rectifier: Option<(Side, &Affine)>,
) -> Tensor<4> {
    let [samples, channels, height, width] = x.dims();
    if cpu::is_local(&v) {
        let sizes = sizes(x);
        return match rectifier {
            None => change_on_cpu!(|v, x, a, b, d| combine(&sizes, v, x, [a, b, d], None)),
            Some((side, Affine { scale, shift })) => change_on_cpu!(|v, x, a, b, d, scale, shift| {
                combine(&sizes, v, x, [a, b, d], Some((side, Rectifier { scale, shift })))
            }),
        };
    }
    let on = |wanted: Side| rectifier.filter(|(side, _)| *side == wanted).map(|(_, map)| map);
    let v = passed(v, x, on(Side::Operand));
    let stacked = v.dims()[0];
    let column = |values: &Tensor<2>| values.clone().reshape([(stacked / samples) as i32, 1, channels as i32, 1]);
    let y_dot = by_direction(v, samples) * column(a) + by_direction(x.clone(), samples) * column(b) + column(d);
    passed(y_dot.reshape([stacked, channels, height, width]), x, on(Side::Result))
}

/// [`kernels::combine`] direction by direction.
fn combine<T: Real>(
    sizes: &Channels,
    v: &mut [T],
    x: &[T],
    [a, b, d]: [&[T]; 3],
    rectifier: Option<(Side, Rectifier<T>)>,
) {
    for (direction, v) in v.chunks_exact_mut(x.len().max(1)).enumerate() {
        let own = direction * sizes.channels..(direction + 1) * sizes.channels;
        kernels::combine(sizes, v, x, [&a[own.clone()], &b[own.clone()], &d[own]], rectifier);
    }
}

/// `v` where `x` passes the rectifier, else 0.
fn passed(v: Tensor<4>, x: &Tensor<4>, rectifier: Option<&Affine>) -> Tensor<4> {
    match rectifier {
        Some(map) => relu_gate(v, &map.composed(x)),
        None => v,
    }
}

/// `y + a s` for `k` directions: `y` is `[k n, c, h, w]`, `a` `[k, c]` and `s` `[n, k, h, w]`.
pub fn add_outer(y: Tensor<4>, a: &Tensor<2>, s: &Tensor<4>) -> Tensor<4> {
    let shape @ [_, channels, height, width] = y.dims();
    let [samples, directions, ..] = s.dims();
    if cpu::is_local(&y) {
        let sizes = Channels { samples, channels, pixels: height * width };
        return change_on_cpu!(|y, a, s| kernels::add_outer(&sizes, y, a, s));
    }
    let s = s.clone().swap_dims(0, 1).reshape([directions, samples, 1, height * width]);
    let sum = by_direction(y, samples) + a.clone().reshape([directions, 1, channels, 1]) * s;
    sum.reshape(shape)
}

/// Samples, channels and pixels.
pub(super) fn sizes(x: &Tensor<4>) -> Channels {
    let [samples, channels, height, width] = x.dims();
    Channels { samples, channels, pixels: height * width }
}

/// `[k n, c, h, w]` as `[k, n, c, h w]`.
fn by_direction(v: Tensor<4>, samples: usize) -> Tensor<4> {
    let [stacked, channels, height, width] = v.dims();
    v.reshape([stacked / samples, samples, channels, height * width])
}
