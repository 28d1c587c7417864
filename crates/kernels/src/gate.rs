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
    assert_multiple(v, y);
    for v in v.chunks_exact_mut(y.len()) {
        let parts = v.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK));
        parts.for_each(|(v, y)| instructions::dispatch(Gate { v, y: Some(y) }));
    }
}

/// `v <- v + s where y > 0, else 0`, for as many vectors `v` and `s` as there are, one after the other.
///
/// # Panics
/// If `v` is no multiple of `y`, or not as long as `s`.
pub fn add_gated<T: Real>(v: &mut [T], s: &[T], y: &[T]) {
    assert_eq!(v.len(), s.len(), "add_gated: the lengths differ");
    if v.is_empty() {
        return;
    }
    assert_multiple(v, y);
    for (v, s) in v.chunks_exact_mut(y.len()).zip(s.chunks_exact(y.len())) {
        let parts = v.par_chunks_mut(CHUNK).zip(s.par_chunks(CHUNK)).zip(y.par_chunks(CHUNK));
        parts.for_each(|((v, s), y)| instructions::dispatch(Sum { v, s, y }));
    }
}

fn assert_multiple<T>(v: &[T], y: &[T]) {
    let is_multiple = !y.is_empty() && v.len().is_multiple_of(y.len());
    assert!(is_multiple, "gate: {} elements are no multiple of {}", v.len(), y.len());
}

/// `v + s`, gated by `y`.
struct Sum<'a, T> {
    v: &'a mut [T],
    s: &'a [T],
    y: &'a [T],
}

impl<T: Real> WithSimd for Sum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (v, v_rest) = registers_mut::<T, S>(self.v);
        let ((s, s_rest), (y, y_rest)) = (registers::<T, S>(self.s), registers::<T, S>(self.y));
        for ((v, &s), &y) in v.iter_mut().zip(s).zip(y) {
            *v = T::gated(simd, T::plus(simd, *v, s), y);
        }
        for ((v, &s), &y) in v_rest.iter_mut().zip(s_rest).zip(y_rest) {
            *v = gated(*v + s, y);
        }
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
pub(crate) fn registers<T: Real, S: Simd>(values: &[T]) -> (&[T::Vector<S>], &[T]) {
    let (whole, rest) = values.split_at(in_registers::<T, S>(values.len()));
    (bytemuck::cast_slice(whole), rest)
}

/// [`registers`] to be changed.
#[inline(always)]
pub(crate) fn registers_mut<T: Real, S: Simd>(values: &mut [T]) -> (&mut [T::Vector<S>], &mut [T]) {
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
    fn a_gated_sum_is_the_sum_gated() {
        for count in [2 * CHUNK + 5, 7, 0] {
            let y: Vec<f32> = (0..count).map(|i| [0.0, -1.5, 2.0, f32::NAN][i % 4]).collect();
            let s: Vec<f32> = (0..2 * count).map(|i| [1.0, -1.0, 0.25, -3.0, 7.0][i % 5]).collect();
            let mut v: Vec<f32> = (0..2 * count).map(|i| i as f32).collect();
            let mut expected: Vec<f32> = v.iter().zip(&s).map(|(v, s)| v + s).collect();
            gate(&mut expected, &y);
            add_gated(&mut v, &s, &y);
            assert_eq!(v, expected);
        }
    }

    #[test]
    fn not_a_number_is_not_hidden() {
        let mut x = [f64::NAN, -1.0];
        rectify(&mut x);
        assert!(x[0].is_nan() && x[1] == 0.0);
    }
}
