//! A convolution into one channel, as the tangent along a weight `a b^T` needs it (`x * (a b^T) = a (x * b)`).
//!
//! Laying out windows would cost as much as for many channels. Here every input pixel is first multiplied by the weights of
//! all taps - a matrix product `[taps, in] x [in, pixels]` that reads `x` once - and then the taps' planes, shifted, are added:
//! ```text
//! t[tap, pixel] = sum_c w[c, tap] x[c, pixel]        y[i] = sum_tap t[tap, i stride + tap - padding]
//! ```

use std::ops::Range;

use rayon::prelude::*;

use super::{Convolution, Source};
use crate::{Real, instructions};

/// Whether the planes of all taps together are fewer than the input's.
pub(super) fn is_faster(convolution: &Convolution) -> bool {
    convolution.channels[1] == 1
        && convolution.groups == 1
        && (2..=convolution.channels[0]).contains(&convolution.taps())
}

/// `x * weight`.
pub(super) fn sum<T: Real>(convolution: &Convolution, x: Source<'_, T>, weight: &[T]) -> Vec<T> {
    let taps = convolution.taps();
    let [input, _] = convolution.channels;
    let products = Convolution { channels: [input, taps], kernel: [1, 1], stride: 1, padding: 0, ..*convolution };
    let by_tap: Vec<T> = (0..taps * input).map(|index| weight[index % input * taps + index / input]).collect();
    let products = super::sum(&products, &[(x, &by_tap)]);
    let mut y = vec![T::default(); convolution.output_length()];
    let samples = convolution.samples.max(1);
    let [planes, pixels] = [products.len(), y.len()].map(|length| (length / samples).max(1));
    y.par_chunks_mut(pixels).zip(products.par_chunks(planes)).for_each(|(y, products)| {
        instructions::vectorised(
            #[inline(always)]
            || add_taps(convolution, products, y),
        );
    });
    y
}

/// Adds every tap's plane, shifted, to one sample's output.
#[inline(always)]
fn add_taps<T: Real>(convolution: &Convolution, products: &[T], y: &mut [T]) {
    let ([height, width], [_, columns]) = (convolution.size, convolution.output());
    for (tap, plane) in products.chunks_exact(height * width).enumerate() {
        let [row, column] = [tap / convolution.kernel[1], tap % convolution.kernel[1]];
        let (rows, inside) = (reached(convolution, 0, row), reached(convolution, 1, column));
        // A tap that no output sees has no first pixel either: `first` would lie beyond the line.
        for i in if inside.is_empty() { 0..0 } else { rows } {
            let line = &plane[(i * convolution.stride + row - convolution.padding) * width..][..width];
            let first = inside.start * convolution.stride + column - convolution.padding;
            let y = &mut y[i * columns..][inside.clone()];
            if convolution.stride == 1 {
                y.iter_mut().zip(&line[first..]).for_each(add);
            } else {
                y.iter_mut().zip(line[first..].iter().step_by(convolution.stride)).for_each(add);
            }
        }
    }
}

#[inline(always)]
fn add<T: Real>((y, product): (&mut T, &T)) {
    *y = *y + *product;
}

/// The outputs whose window has the input below its position `k`: `0 <= i stride + k - padding < size`.
fn reached(convolution: &Convolution, axis: usize, k: usize) -> Range<usize> {
    let Convolution { stride, padding, .. } = *convolution;
    let first = padding.saturating_sub(k).div_ceil(stride);
    let end = (convolution.size[axis] + padding).saturating_sub(k).div_ceil(stride);
    first..end.min(convolution.output()[axis]).max(first)
}
