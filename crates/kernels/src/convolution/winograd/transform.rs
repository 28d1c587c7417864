//! The transforms of Winograd's tiles, each in one dimension and applied to both.
//!
//! A tile is a product of polynomials, known by its values at 0, ±[`NEAR`], ±[`FAR`] and infinity. The usual ±1 and ±2 lose
//! twice as many bits; these four are exact in binary, and no larger than the fifth root of the product's largest value asks.

use std::mem::MaybeUninit;

use pulp::Simd;

use crate::Real;
use crate::memory::Places;

/// Outputs of a tile, a side.
pub(super) const TILE: usize = 4;

/// Pixels that a tile reads, a side; as many values know the product.
pub(super) const SIDE: usize = 6;

/// Values of a tile.
pub(super) const POINTS: usize = SIDE * SIDE;

/// The inner pair of points.
pub(super) const NEAR: f64 = 0.75;

/// The outer pair of points.
pub(super) const FAR: f64 = 1.5;

/// The squares of the points, of which the constants are made.
pub(super) const NEAR_2: f64 = NEAR * NEAR;
pub(super) const FAR_2: f64 = FAR * FAR;

/// What the weights are divided by: `product over the other points q of (p - q)`, for p = 0, ±NEAR, ±FAR.
const AT_ZERO: f64 = NEAR_2 * FAR_2;
const AT_NEAR: f64 = 2.0 * NEAR_2 * (NEAR_2 - FAR_2);
const AT_FAR: f64 = 2.0 * FAR_2 * (FAR_2 - NEAR_2);

/// A square of `N` by `N` vectors, row by row.
pub(super) type Square<T, S, const N: usize> = [[<T as Real>::Vector<S>; N]; N];

/// The steps of the values of a tile, if each lies `distance` after the one before.
pub(super) fn apart(distance: usize) -> [usize; 2] {
    [SIDE * distance, distance]
}

/// A matrix `FROM -> TO`.
pub(super) trait Transform<const FROM: usize, const TO: usize> {
    /// The matrix times one line.
    fn line<T: Real, S: Simd>(simd: S, from: [T::Vector<S>; FROM]) -> [T::Vector<S>; TO];

    /// The matrix times one line, whose values lie a step apart.
    #[inline(always)]
    fn apply_once<T: Real, S: Simd>(
        simd: S,
        (from, step): (&[T::Vector<S>], usize),
        (mut to, to_step): (Places<'_, T::Vector<S>>, usize),
    ) {
        let mut values = [T::splat(simd, T::default()); FROM];
        for (place, value) in values.iter_mut().enumerate() {
            *value = from[place * step];
        }
        for (place, &value) in Self::line::<T, S>(simd, values).iter().enumerate() {
            to.put(place * to_step, value);
        }
    }

    /// The matrix times the columns and the rows of a square, whose `[row, column]` lies at `row steps[0] + column steps[1]`.
    ///
    /// Values go from where they lie to where they belong: a square in between would be written and read once more.
    #[inline(always)]
    fn apply<T: Real, S: Simd>(
        simd: S,
        (from, steps): (&[T::Vector<S>], [usize; 2]),
        (mut to, to_steps): (Places<'_, T::Vector<S>>, [usize; 2]),
    ) {
        // Once for all values: a comparison for each of them shows in a transform's time.
        assert_reaches(from.len(), FROM, steps);
        assert_reaches(to.len(), TO, to_steps);
        let zero = T::splat(simd, T::default());
        // Not cleared: those of the pixels are more than there are registers, and would be cleared in memory for each tile.
        let mut lines = [[MaybeUninit::<T::Vector<S>>::uninit(); TO]; FROM];
        for (row, line) in lines.iter_mut().enumerate() {
            let mut values = [zero; FROM];
            for (column, value) in values.iter_mut().enumerate() {
                // SAFETY: row and column are less than `FROM`, and the last of both is there.
                *value = unsafe { *from.get_unchecked(row * steps[0] + column * steps[1]) };
            }
            line.write_copy_of_slice(&Self::line::<T, S>(simd, values));
        }
        for column in 0..TO {
            let mut values = [zero; FROM];
            for (value, line) in values.iter_mut().zip(&lines) {
                // SAFETY: every line has been written.
                *value = unsafe { line[column].assume_init() };
            }
            for (row, &value) in Self::line::<T, S>(simd, values).iter().enumerate() {
                // SAFETY: row and column are less than `TO`, and the last of both is there.
                unsafe { to.put_unchecked(row * to_steps[0] + column * to_steps[1], value) };
            }
        }
    }
}

/// Checks that so many values reach to the last row and column of a square.
///
/// # Panics
/// If they do not.
#[inline(always)]
fn assert_reaches(length: usize, side: usize, [row, column]: [usize; 2]) {
    let last = row.checked_add(column).and_then(|diagonal| diagonal.checked_mul(side - 1));
    assert!(last.is_some_and(|last| last < length), "{length} values for a square of {side}, steps {row} and {column}");
}

/// A register of equal constants.
#[inline(always)]
fn constant<T: Real, S: Simd>(simd: S, value: f64) -> T::Vector<S> {
    T::splat(simd, T::of_f64(value))
}

/// `a + factor b`.
#[inline(always)]
pub(super) fn add<T: Real, S: Simd>(simd: S, a: T::Vector<S>, factor: f64, b: T::Vector<S>) -> T::Vector<S> {
    T::multiply_add(simd, constant::<T, S>(simd, factor), b, a)
}

/// `factor a`.
#[inline(always)]
pub(super) fn scale<T: Real, S: Simd>(simd: S, factor: f64, a: T::Vector<S>) -> T::Vector<S> {
    T::times(simd, constant::<T, S>(simd, factor), a)
}

/// `even + factor odd` and `even - factor odd`: what a polynomial's even and odd parts give at a pair of points.
#[inline(always)]
pub(super) fn pair<T: Real, S: Simd>(simd: S, even: T::Vector<S>, factor: f64, odd: T::Vector<S>) -> [T::Vector<S>; 2] {
    [add::<T, S>(simd, even, factor, odd), add::<T, S>(simd, even, -factor, odd)]
}

/// `a + b` and `a - b`: the even and the odd part of a pair of points.
#[inline(always)]
pub(super) fn parts<T: Real, S: Simd>(simd: S, a: T::Vector<S>, b: T::Vector<S>) -> [T::Vector<S>; 2] {
    [T::plus(simd, a, b), T::minus(simd, a, b)]
}

/// `B^T`: six pixels to their values at the points.
pub(super) struct Pixels;

impl Transform<SIDE, SIDE> for Pixels {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5]: [T::Vector<S>; SIDE]) -> [T::Vector<S>; SIDE] {
        let zero = add::<T, S>(simd, add::<T, S>(simd, d4, -NEAR_2 - FAR_2, d2), NEAR_2 * FAR_2, d0);
        let infinity = add::<T, S>(simd, add::<T, S>(simd, d5, -NEAR_2 - FAR_2, d3), NEAR_2 * FAR_2, d1);
        let [even, odd] = [add::<T, S>(simd, d4, -FAR_2, d2), add::<T, S>(simd, d3, -FAR_2, d1)];
        let near = pair::<T, S>(simd, even, NEAR, odd);
        let [even, odd] = [add::<T, S>(simd, d4, -NEAR_2, d2), add::<T, S>(simd, d3, -NEAR_2, d1)];
        let far = pair::<T, S>(simd, even, FAR, odd);
        [zero, near[0], near[1], far[0], far[1], infinity]
    }
}

/// `G`: three weights to their values at the points.
pub(super) struct Weights;

impl Transform<3, SIDE> for Weights {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [g0, g1, g2]: [T::Vector<S>; 3]) -> [T::Vector<S>; SIDE] {
        let even = add::<T, S>(simd, scale::<T, S>(simd, 1.0 / AT_NEAR, g0), NEAR_2 / AT_NEAR, g2);
        let near = pair::<T, S>(simd, even, NEAR / AT_NEAR, g1);
        let even = add::<T, S>(simd, scale::<T, S>(simd, 1.0 / AT_FAR, g0), FAR_2 / AT_FAR, g2);
        let far = pair::<T, S>(simd, even, FAR / AT_FAR, g1);
        [scale::<T, S>(simd, 1.0 / AT_ZERO, g0), near[0], near[1], far[0], far[1], g2]
    }
}

/// `A^T`: values at the points to four outputs.
pub(super) struct Outputs;

impl Transform<SIDE, TILE> for Outputs {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5]: [T::Vector<S>; SIDE]) -> [T::Vector<S>; TILE] {
        let near = parts::<T, S>(simd, m1, m2);
        let far = parts::<T, S>(simd, m3, m4);
        let last = add::<T, S>(simd, m5, NEAR * NEAR_2, near[1]);
        [
            T::plus(simd, m0, T::plus(simd, near[0], far[0])),
            add::<T, S>(simd, scale::<T, S>(simd, NEAR, near[1]), FAR, far[1]),
            add::<T, S>(simd, scale::<T, S>(simd, NEAR_2, near[0]), FAR_2, far[0]),
            add::<T, S>(simd, last, FAR * FAR_2, far[1]),
        ]
    }
}

/// `A`, the transpose of [`Outputs`]: cotangents of four outputs to cotangents of the values.
pub(super) struct OutputCotangents;

impl Transform<TILE, SIDE> for OutputCotangents {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [y0, y1, y2, y3]: [T::Vector<S>; TILE]) -> [T::Vector<S>; SIDE] {
        let [even, odd] = [add::<T, S>(simd, y0, NEAR_2, y2), add::<T, S>(simd, y1, NEAR_2, y3)];
        let near = pair::<T, S>(simd, even, NEAR, odd);
        let [even, odd] = [add::<T, S>(simd, y0, FAR_2, y2), add::<T, S>(simd, y1, FAR_2, y3)];
        let far = pair::<T, S>(simd, even, FAR, odd);
        [y0, near[0], near[1], far[0], far[1], y3]
    }
}

/// `G^T`, the transpose of [`Weights`]: cotangents of the values to cotangents of three weights.
pub(super) struct WeightCotangents;

impl Transform<SIDE, 3> for WeightCotangents {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5]: [T::Vector<S>; SIDE]) -> [T::Vector<S>; 3] {
        let near = parts::<T, S>(simd, m1, m2);
        let far = parts::<T, S>(simd, m3, m4);
        let first = add::<T, S>(simd, scale::<T, S>(simd, 1.0 / AT_NEAR, near[0]), 1.0 / AT_FAR, far[0]);
        [
            add::<T, S>(simd, first, 1.0 / AT_ZERO, m0),
            add::<T, S>(simd, scale::<T, S>(simd, NEAR / AT_NEAR, near[1]), FAR / AT_FAR, far[1]),
            add::<T, S>(simd, add::<T, S>(simd, m5, NEAR_2 / AT_NEAR, near[0]), FAR_2 / AT_FAR, far[0]),
        ]
    }
}
