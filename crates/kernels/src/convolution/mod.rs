//! Two-dimensional convolution and its two transposes, on planes `[samples, channels, h, w]`.
//!
//! ```text
//! sum of terms       y     = sum_i x_i * w_i              forward (one term), tangent (x_dot * w + x * w_dot)
//! input cotangent    x_bar = y_bar *^T w
//! weight cotangent   w_bar = x *^T y_bar
//! ```
//! Each costs `2 samples h' w' out (in / groups) kh kw` operations, and reads and writes its tensors once; with a few dozen
//! channels the multipliers are the limit, below that memory is. Results do not depend on the number of threads.

mod inner;
mod outer;
mod pack;
mod product;
pub mod reference;
mod shape;
#[cfg(test)]
mod tests;

pub use shape::Convolution;

use crate::Real;
use outer::{Sizes, Term};

/// `y = sum_i x_i * w_i`, in one pass over `y`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn sum<T: Real>(convolution: &Convolution, terms: &[(&[T], &[T])], y: &mut [T]) {
    let [input, _] = convolution.group();
    let taps = convolution.taps();
    let strides = [convolution.group()[1] * input * taps, input * taps, taps];
    for (x, weight) in terms {
        assert_lengths(convolution, x.len(), weight.len(), y.len());
    }
    let terms: Vec<_> = terms.iter().map(|&(input, weight)| Term { input, weight, strides }).collect();
    let sizes = Sizes { channels: convolution.channels, groups: convolution.groups };
    outer::sum(&sizes, &convolution.forward_grid(), &terms, y);
}

/// `x_bar = y_bar *^T w`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn input_cotangent<T: Real>(convolution: &Convolution, y_bar: &[T], weight: &[T], x_bar: &mut [T]) {
    assert_lengths(convolution, x_bar.len(), weight.len(), y_bar.len());
    let [input, output] = convolution.group();
    let taps = convolution.taps();
    let strides = [output * input * taps, taps, input * taps];
    let [first, last] = convolution.channels;
    let sizes = Sizes { channels: [last, first], groups: convolution.groups };
    for grid in convolution.transposed_grids().iter().filter(|grid| grid.pixels() > 0) {
        outer::sum(&sizes, grid, &[Term { input: y_bar, weight, strides }], x_bar);
    }
}

/// `w_bar = x *^T y_bar`, `[out, in / groups, kh, kw]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn weight_cotangent<T: Real>(convolution: &Convolution, x: &[T], y_bar: &[T]) -> Vec<T> {
    let [input, _] = convolution.group();
    assert_lengths(convolution, x.len(), convolution.channels[1] * input * convolution.taps(), y_bar.len());
    inner::weight_cotangent(convolution, x, y_bar)
}

fn assert_lengths(convolution: &Convolution, x: usize, weight: usize, y: usize) {
    let [input, output] = convolution.channels;
    let pixels = |size: [usize; 2]| convolution.samples * size[0] * size[1];
    assert_eq!(x, input * pixels(convolution.size), "x does not fit {convolution:?}");
    assert_eq!(y, output * pixels(convolution.output()), "y does not fit {convolution:?}");
    assert_eq!(weight, output * convolution.group()[0] * convolution.taps(), "weight does not fit {convolution:?}");
}
