//! The rectifier and its derivative, in place: one read, one write.

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use crate::{Real, instructions};

/// Elements a thread takes at a time.
const CHUNK: usize = 1 << 15;

/// `x <- max(x, 0)`; what is not a number stays so.
pub fn rectify<T: Real>(x: &mut [T]) {
    x.par_chunks_mut(CHUNK).for_each(|x| instructions::dispatch(Gate { v: x, y: None }));
}

/// `v <- v where y > 0, else 0`, for as many vectors `v` as there are, one after the other.
///
/// # Panics
/// If `v` is no multiple of `y`.
pub fn gate<T: Real>(v: &mut [T], y: &[T]) {
    if v.is_empty() {
        return;
    }
    assert!(
        !y.is_empty() && v.len().is_multiple_of(y.len()),
        "gate: {} elements are no multiple of {}",
        v.len(),
        y.len()
    );
    for v in v.chunks_exact_mut(y.len()) {
        let parts = v.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK));
        parts.for_each(|(v, y)| instructions::dispatch(Gate { v, y: Some(y) }));
    }
}

/// `y <- max(y + s, 0)`; what is not a number stays so.
///
/// # Panics
/// If the lengths differ.
pub fn add_rectified<T: Real>(y: &mut [T], s: &[T]) {
    assert_eq!(y.len(), s.len(), "add_rectified: the lengths differ");
    let parts = y.par_chunks_mut(CHUNK).zip(s.par_chunks(CHUNK));
    parts.for_each(|(y, s)| instructions::dispatch(Sum { y, s }));
}

/// `y + s`, gated by itself.
struct Sum<'a, T> {
    y: &'a mut [T],
    s: &'a [T],
}

impl<T: Real> WithSimd for Sum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ((y, y_rest), (s, s_rest)) = (registers_mut::<T, S>(self.y), registers::<T, S>(self.s));
        for (y, &s) in y.iter_mut().zip(s) {
            let sum = T::plus(simd, *y, s);
            *y = T::gated(simd, sum, sum);
        }
        y_rest.iter_mut().zip(s_rest).for_each(|(y, &s)| *y = gated(*y + s, *y + s));
    }
}

/// `v` gated by `y`, or by itself. In registers, since the compiler would make masked stores of it, which some processors
/// are ten times slower at.
struct Gate<'a, T> {
    v: &'a mut [T],
    y: Option<&'a [T]>,
}

impl<T: Real> WithSimd for Gate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (v, v_rest) = registers_mut::<T, S>(self.v);
        let Some(y) = self.y else {
            v.iter_mut().for_each(|v| *v = T::gated(simd, *v, *v));
            return v_rest.iter_mut().for_each(|v| *v = gated(*v, *v));
        };
        let (y, y_rest) = registers::<T, S>(y);
        v.iter_mut().zip(y).for_each(|(v, &y)| *v = T::gated(simd, *v, y));
        v_rest.iter_mut().zip(y_rest).for_each(|(v, &y)| *v = gated(*v, y));
    }
}

/// [`Real::gated`] of one element.
#[inline(always)]
pub(crate) fn gated<T: Real>(v: T, y: T) -> T {
    if y <= T::default() { T::default() } else { v }
}

/// The whole registers of some elements, and the rest.
#[inline(always)]
fn registers<T: Real, S: Simd>(values: &[T]) -> (&[T::Vector<S>], &[T]) {
    let (whole, rest) = values.split_at(in_registers::<T, S>(values.len()));
    (bytemuck::cast_slice(whole), rest)
}

/// [`registers`] to be changed.
#[inline(always)]
fn registers_mut<T: Real, S: Simd>(values: &mut [T]) -> (&mut [T::Vector<S>], &mut [T]) {
    let (whole, rest) = values.split_at_mut(in_registers::<T, S>(values.len()));
    (bytemuck::cast_slice_mut(whole), rest)
}

/// How many of `length` elements fill whole registers.
#[inline(always)]
fn in_registers<T: Real, S: Simd>(length: usize) -> usize {
    length - length % (size_of::<T::Vector<S>>() / size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passed_the_rectifier_has_a_derivative() {
        for count in [2 * CHUNK + 5, CHUNK, 7, 1, 0] {
            gates(count);
        }
    }

    fn gates(count: usize) {
        let x: Vec<f32> = (0..count).map(|i| [0.0, -1.5, 2.0, -0.0, 1e-30][i % 5]).collect();
        let mut y = x.clone();
        rectify(&mut y);
        let mut v = vec![3.0; 2 * count];
        gate(&mut v, &y);
        for i in 0..count {
            assert_eq!(y[i], x[i].max(0.0));
            let expected = if x[i] > 0.0 { 3.0 } else { 0.0 };
            assert_eq!([v[i], v[count + i]], [expected; 2]);
        }
    }

    #[test]
    fn a_rectified_sum_is_the_rectified_sum() {
        for count in [2 * CHUNK + 5, 7, 0] {
            let mut y: Vec<f32> = (0..count).map(|i| [0.0, -1.5, 2.0][i % 3]).collect();
            let s: Vec<f32> = (0..count).map(|i| [1.0, -1.0, 0.25, -3.0][i % 4]).collect();
            let expected: Vec<f32> = y.iter().zip(&s).map(|(y, s)| (y + s).max(0.0)).collect();
            add_rectified(&mut y, &s);
            assert_eq!(y, expected);
        }
    }

    #[test]
    fn not_a_number_is_not_hidden() {
        let mut x = [f64::NAN, -1.0];
        rectify(&mut x);
        assert!(x[0].is_nan() && x[1] == 0.0);
    }
}
