//! Two-dimensional convolution and its two transposes, on planes `[samples, channels, h, w]`.
//!
//! ```text
//! sum of terms       y     = sum_i x_i * w_i              forward (one term), tangent (x_dot * w + x * w_dot)
//! dual               both of these at once, for some directions
//! input cotangent    x_bar = y_bar *^T w
//! weight cotangent   w_bar = x *^T y_bar
//! ```
//! Each costs `2 samples h' w' out (in / groups) kh kw` operations, and reads and writes its tensors once; with a few dozen
//! channels the multipliers are the limit, below that memory is. Results do not depend on the number of threads.

mod compiled;
mod dual;
mod inner;
mod outer;
mod pack;
mod product;
pub mod reference;
mod shape;
mod single;
mod target;
#[cfg(test)]
mod tests;
mod turn;
mod winograd;

pub(crate) use compiled::Compiled;
pub use dual::{dual, dual_in_place, is_faster_dual};
pub use shape::Convolution;

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::channels::{self, Channels};
use crate::source::{ChannelMap, Input, Source};
use crate::{Real, memory};
use outer::{Sizes, Term};
use target::{Moments, Target};

/// Elements that a thread clears at a time.
const FILL: usize = 1 << 16;

/// `y = sum_i x_i * w_i`, in one pass over `y`; each `x_i` as it lies in memory, or as it is mapped on reading.
///
/// # Panics
/// If there is no term, a slice's length is not that of its shape, or the shape is none of a convolution.
pub fn sum<T: Real>(convolution: &Convolution, terms: &[(Source<'_, T>, &[T])]) -> Vec<T> {
    sum_and_plane_moments(convolution, terms, &mut [])
}

/// [`sum`] of one term, and mean and mean squared deviation of each of its channels, as [`channels::moments`] takes them; where tiles hold planes side
/// by side they are taken before those are written, which saves a reading of all of them.
///
/// # Panics
/// As [`sum`].
pub fn sum_and_moments<T: Real>(convolution: &Convolution, term: (Source<'_, T>, &[T])) -> (Vec<T>, Vec<[f64; 2]>) {
    let mut of_planes = plane_moments(convolution, true);
    let y = sum_and_plane_moments(convolution, &[term], &mut of_planes);
    let moments = channel_moments(convolution, &y, &of_planes);
    (y, moments)
}

/// `x <- x * w`, with `x` as it is or through a map, and the moments of its channels: the same bits as [`sum_and_moments`] in the memory of its
/// input.
///
/// # Panics
/// If the convolution does not work in place, or as [`sum`].
pub fn sum_in_place_and_moments<T: Real>(
    convolution: &Convolution,
    (x, map, weight): (&mut [T], Option<ChannelMap<'_, T>>, &[T]),
) -> Vec<[f64; 2]> {
    let mut of_planes = plane_moments(convolution, true);
    sum_and_plane_moments_in_place(convolution, (x, map, weight), &[], &mut of_planes);
    channel_moments(convolution, x, &of_planes)
}

/// Room for the moments of every plane, `[samples, out]`, if they are wanted, and taken as the planes are written.
fn plane_moments(convolution: &Convolution, are_wanted: bool) -> Vec<Moments> {
    convolution.assert_has_meaning();
    let planes = convolution.samples * convolution.channels[1];
    let are_taken = are_wanted && !convolution.is_empty() && winograd::takes_moments(convolution);
    vec![Moments::default(); if are_taken { planes } else { 0 }]
}

/// The moments of every channel of `y`, given those of its planes, if they were taken.
fn channel_moments<T: Real>(convolution: &Convolution, y: &[T], of_planes: &[Moments]) -> Vec<Moments> {
    let ([height, width], channels) = (convolution.output(), convolution.channels[1]);
    if of_planes.is_empty() {
        return channels::moments(&Channels { samples: convolution.samples, channels, pixels: height * width }, y);
    }
    channels::moments_of_planes(channels, of_planes)
}

/// [`sum`], and the moments of its planes, if there is room for them.
fn sum_and_plane_moments<T: Real>(
    convolution: &Convolution,
    terms: &[(Source<'_, T>, &[T])],
    moments: &mut [Moments],
) -> Vec<T> {
    convolution.assert_has_meaning();
    assert!(!terms.is_empty(), "a sum of no convolutions");
    for (x, weight) in terms {
        assert_lengths(convolution, x.len(), weight.len(), convolution.output_length());
        x.assert_fits(convolution.samples, convolution.channels[0]);
    }
    if convolution.is_empty() {
        return vec![T::default(); convolution.output_length()];
    }
    if let [(x, weight)] = terms
        && single::is_faster(convolution)
    {
        return single::sum(convolution, *x, weight);
    }
    let strides = convolution.strides();
    let terms: Vec<_> =
        terms.iter().map(|&(x, weight)| Term { input: Input::Own(x), weight: (weight, strides) }).collect();
    let sizes = Sizes::of(convolution);
    let write = |y: &mut [MaybeUninit<T>]| {
        if winograd::is_faster_sum(convolution) {
            let target = Target { values: y, moments };
            // SAFETY: every term has its input.
            unsafe { T::sum_of_tiles(&sizes, &winograd::Map::forward(convolution), &terms, target) };
        } else {
            T::sum_of_windows(&sizes, &convolution.forward_grid(), &terms, y);
        }
    };
    // SAFETY: the tiles, or the grid, of the forward map cover every pixel of every sample and output channel.
    unsafe { memory::written(convolution.output_length(), write) }
}

/// `x_bar = y_bar *^T w`.
///
/// # Panics
/// If a slice's length is not that of its shape, or the shape is none of a convolution.
pub fn input_cotangent<T: Real>(convolution: &Convolution, y_bar: &[T], weight: &[T]) -> Vec<T> {
    convolution.assert_has_meaning();
    assert_lengths(convolution, convolution.input_length(), weight.len(), y_bar.len());
    if convolution.is_empty() {
        return vec![T::default(); convolution.input_length()];
    }
    let [first, last] = convolution.channels;
    let sizes = Sizes { channels: [last, first], groups: convolution.groups };
    let terms = [Term { input: Input::Own(y_bar.into()), weight: (weight, convolution.transposed_strides()) }];
    let write = |x_bar: &mut [MaybeUninit<T>]| {
        if winograd::is_faster_sum(convolution) {
            // SAFETY: the term has its input.
            return unsafe {
                T::sum_of_tiles(&sizes, &winograd::Map::transposed(convolution), &terms, Target::plain(x_bar))
            };
        }
        let grids = convolution.transposed_grids();
        if grids.iter().any(|grid| grid.taps.is_empty()) {
            x_bar.par_chunks_mut(FILL).for_each(|part| part.fill(MaybeUninit::new(T::default())));
        }
        for grid in grids.iter().filter(|grid| grid.pixels() > 0 && !grid.taps.is_empty()) {
            T::sum_of_windows(&sizes, grid, &terms, x_bar);
        }
    };
    // SAFETY: every input pixel belongs to a tile, or to the grid of its phase of the stride; where a phase's pixels are
    // reached by no tap, all are filled before.
    unsafe { memory::written(convolution.input_length(), write) }
}

/// Whether [`sum_in_place`] and [`input_cotangent_in_place`] can work: input and output are of one shape, and every sample is read before any
/// of it is written.
pub fn works_in_place(convolution: &Convolution) -> bool {
    let [input, output] = convolution.channels;
    let same = input == output && convolution.output() == convolution.size;
    same && winograd::is_faster_sum(convolution) && winograd::reads_first(convolution)
}

/// `x <- x * w + sum_i x_i * w_i`, with `x` as it is or through a map: the same bits as [`sum`] in the memory of its first input.
///
/// # Panics
/// If the convolution does not work in place, or as [`sum`].
pub fn sum_in_place<T: Real>(
    convolution: &Convolution,
    (x, map, weight): (&mut [T], Option<ChannelMap<'_, T>>, &[T]),
    others: &[(Source<'_, T>, &[T])],
) {
    sum_and_plane_moments_in_place(convolution, (x, map, weight), others, &mut []);
}

/// [`sum_in_place`], and the moments of its planes, if there is room for them.
fn sum_and_plane_moments_in_place<T: Real>(
    convolution: &Convolution,
    (x, map, weight): (&mut [T], Option<ChannelMap<'_, T>>, &[T]),
    others: &[(Source<'_, T>, &[T])],
    moments: &mut [Moments],
) {
    let strides = convolution.strides();
    Source::of(x, map).assert_fits(convolution.samples, convolution.channels[0]);
    for (other, weight) in others {
        assert_lengths(convolution, other.len(), weight.len(), x.len());
        other.assert_fits(convolution.samples, convolution.channels[0]);
    }
    let of_target = (Input::Target(map), weight);
    let inputs = others.iter().map(|&(other, weight)| (Input::Own(other), weight));
    let inputs = [of_target].into_iter().chain(inputs);
    let terms: Vec<_> = inputs.map(|(input, weight)| Term { input, weight: (weight, strides) }).collect();
    in_place(convolution, winograd::Map::forward(convolution), &terms, (x, moments));
}

/// `y_bar <- y_bar *^T w`: the same bits as [`input_cotangent`] in the memory of its operand.
///
/// # Panics
/// If the convolution does not work in place, or as [`input_cotangent`].
pub fn input_cotangent_in_place<T: Real>(convolution: &Convolution, y_bar: &mut [T], weight: &[T]) {
    let terms = [Term { input: Input::Target(None), weight: (weight, convolution.transposed_strides()) }];
    in_place(convolution, winograd::Map::transposed(convolution), &terms, (y_bar, &mut []));
}

fn in_place<T: Real>(
    convolution: &Convolution,
    map: winograd::Map,
    terms: &[Term<'_, T>],
    (target, moments): (&mut [T], &mut [Moments]),
) {
    convolution.assert_has_meaning();
    assert!(works_in_place(convolution), "{convolution:?} does not work in place");
    for term in terms {
        assert_lengths(convolution, target.len(), term.weight.0.len(), target.len());
    }
    if convolution.is_empty() {
        return;
    }
    let sizes = Sizes::of(convolution);
    // SAFETY: all of the target has been written; it is as large as the input that it stands for, since input and output are of one shape,
    // and the tiles put numbers wherever they write.
    unsafe { memory::overwritten(target, |values| T::sum_of_tiles(&sizes, &map, terms, Target { values, moments })) };
}

/// `w_bar = x *^T y_bar`, `[out, in / groups, kh, kw]`.
///
/// # Panics
/// If a slice's length is not that of its shape, or the shape is none of a convolution.
pub fn weight_cotangent<'a, T: Real>(convolution: &Convolution, x: impl Into<Source<'a, T>>, y_bar: &[T]) -> Vec<T> {
    convolution.assert_has_meaning();
    let x = x.into();
    x.assert_fits(convolution.samples, convolution.channels[0]);
    let weights = convolution.channels[1] * convolution.group()[0] * convolution.taps();
    assert_lengths(convolution, x.len(), weights, y_bar.len());
    if convolution.is_empty() {
        return vec![T::default(); weights];
    }
    if winograd::is_faster_weight(convolution) {
        return T::weight_cotangent_of_tiles(convolution, x, y_bar);
    }
    T::weight_cotangent_of_windows(convolution, x, y_bar)
}

fn assert_lengths(convolution: &Convolution, x: usize, weight: usize, y: usize) {
    assert_eq!(x, convolution.input_length(), "x does not fit {convolution:?}");
    assert_eq!(y, convolution.output_length(), "y does not fit {convolution:?}");
    let output = convolution.channels[1];
    assert_eq!(weight, output * convolution.group()[0] * convolution.taps(), "weight does not fit {convolution:?}");
}
