//! Moments of planes side by side, one a lane, from pixels that are in cache.
//!
//! ```text
//! mean = about + sum / pixels    mean((x - mean)^2) = square / pixels - (sum / pixels)^2
//! ```
//! with `sum` and `square` those of `x - about`, where `about` is the mean of a plane's first pixels: what is taken off is little.

use pulp::{Simd, bytemuck};

use crate::Real;
use crate::convolution::target::Moments;

/// Registers of as many planes as there are lanes: `about`, `sum`, `square`.
pub(super) const REGISTERS: usize = 3;

/// Partial sums side by side, so that additions overlap.
const CHAINS: usize = 4;

/// Pixels of a plane that the sums are about the mean of, at most: a row or two, whatever else there is.
const ABOUT: usize = 64;

/// Adds the pixels of some rows to the sums; the first ones say what they are about.
#[inline(always)]
pub(super) fn add<T: Real, S: Simd>(
    simd: S,
    sums: &mut [T::Vector<S>; REGISTERS],
    pixels: &[T::Vector<S>],
    is_first: bool,
) {
    if is_first {
        let zero = T::splat(simd, T::default());
        let first = &pixels[..pixels.len().min(ABOUT)];
        let [sum, _] = summed::<T, S>(simd, zero, first);
        let share = T::splat(simd, T::of_f64(1.0 / first.len() as f64));
        *sums = [T::times(simd, sum, share), zero, zero];
    }
    let [about, sum, square] = *sums;
    let of_rows = summed::<T, S>(simd, about, pixels);
    *sums = [about, T::plus(simd, sum, of_rows[0]), T::plus(simd, square, of_rows[1])];
}

/// The sums of `x - about` and of its square.
#[inline(always)]
fn summed<T: Real, S: Simd>(simd: S, about: T::Vector<S>, pixels: &[T::Vector<S>]) -> [T::Vector<S>; 2] {
    let zero = T::splat(simd, T::default());
    let (rows, rest) = pixels.as_chunks::<CHAINS>();
    let mut chains = [[zero; 2]; CHAINS];
    for row in rows {
        for (sums, &pixel) in chains.iter_mut().zip(row) {
            *sums = with::<T, S>(simd, *sums, pixel, about);
        }
    }
    let mut sums = [zero; 2];
    for &pixel in rest {
        sums = with::<T, S>(simd, sums, pixel, about);
    }
    for [sum, square] in chains {
        sums = [T::plus(simd, sums[0], sum), T::plus(simd, sums[1], square)];
    }
    sums
}

/// Sums with one pixel more: by value, so that they stay in registers.
#[inline(always)]
fn with<T: Real, S: Simd>(
    simd: S,
    [sum, square]: [T::Vector<S>; 2],
    pixel: T::Vector<S>,
    about: T::Vector<S>,
) -> [T::Vector<S>; 2] {
    let centred = T::minus(simd, pixel, about);
    [T::plus(simd, sum, centred), T::multiply_add(simd, centred, centred, square)]
}

/// Puts the moments of the planes, of so many pixels each, to `moments[0]` and `step` later each, as many as there is room for.
#[inline(always)]
pub(super) fn put<T: Real, S: Simd>(
    sums: &[T::Vector<S>; REGISTERS],
    pixels: usize,
    (moments, step): (&mut [Moments], usize),
) {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let sums: &[T] = bytemuck::cast_slice(sums);
    let share = 1.0 / pixels as f64;
    for (lane, moments) in moments.iter_mut().step_by(step).enumerate() {
        let value = |register: usize| sums[register * lanes + lane].to_f64();
        let beyond = value(1) * share;
        *moments = [value(0) + beyond, (value(2) * share - beyond * beyond).max(0.0)];
    }
}
