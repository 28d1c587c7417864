//! The transforms of tiles of stride 2, each in one dimension and applied to both.
//!
//! Output `i` reads pixels `2 i`, `2 i + 1` and `2 i + 2`: two weights meet the even pixels, one the odd ones.
//! ```text
//! y_i = (g_0 e_i + g_2 e_{i+1}) + g_1 o_i        e_i = d_{2i},  o_i = d_{2i+1}
//! ```
//! The first is a product of polynomials, for four outputs known by its values at 0, ±[`NEAR`], [`FAR`] and infinity; the second are four
//! products as they stand, all with the same weight. The transposed map has the same two parts: `o` takes `g_1 y_i`, and `e` both neighbours.

use pulp::Simd;

use super::tiling::{Place, PlaceMut};
use super::transform::{
    FAR, FAR_2, NEAR, NEAR_2, OutputCotangents, SIDE, Square, TILE, Transform, add, pair, parts, scale,
};
use crate::Real;
use crate::memory::Places;

/// Values of a tile, a side: five at points, and the four odd pixels.
pub(super) const VALUES: usize = POINTS + TILE;

/// Pixels that a tile of four outputs reads, a side.
pub(super) const WIDE: usize = 2 * TILE + 1;

/// Points of the two weights of the even pixels.
const POINTS: usize = TILE + 1;

/// What the two weights are divided by: `product over the other points q of (p - q)`, for p = 0, NEAR, -NEAR, FAR.
const AT_ZERO: f64 = NEAR_2 * FAR;
const AT_PLUS: f64 = 2.0 * NEAR_2 * (NEAR - FAR);
const AT_MINUS: f64 = -2.0 * NEAR_2 * (NEAR + FAR);
const AT_FAR: f64 = FAR * (FAR_2 - NEAR_2);

/// Where the even and the odd positions of a line lie.
#[derive(Clone, Copy)]
struct Line {
    /// The first even and the first odd position.
    first: [usize; 2],
    /// From one to the next of its kind.
    step: usize,
}

/// The values of a tile: those at the points, then the odd ones.
const VALUES_OF_LINE: Line = Line { first: [0, POINTS], step: 1 };

/// The pixels around four outputs.
const AROUND: Line = Line { first: [0, 1], step: 2 };

/// Outputs, each of which is read at even and at odd positions.
const BOTH: Line = Line { first: [0, 0], step: 1 };

/// The pixels from the middle of an output's window on.
const FROM_MIDDLE: Line = Line { first: [1, 0], step: 2 };

impl Line {
    /// What lies from the first of some rows and columns on, odd ones or not, and the steps between them.
    #[inline(always)]
    fn of<V>(self, (values, steps): Place<V>, odd: [usize; 2]) -> Place<V> {
        (&values[self.start(steps, odd)..], steps.map(|step| self.step * step))
    }

    /// The same to write to.
    #[inline(always)]
    fn of_mut<'a, V>(self, (values, steps): &'a mut PlaceMut<V>, odd: [usize; 2]) -> PlaceMut<'a, V> {
        (values.from(self.start(*steps, odd)), steps.map(|step| self.step * step))
    }

    #[inline(always)]
    fn start(self, steps: [usize; 2], odd: [usize; 2]) -> usize {
        self.first[odd[0]] * steps[0] + self.first[odd[1]] * steps[1]
    }
}

/// A transform of the even rows and columns of a square, whose odd ones stay as they are.
#[inline(always)]
fn apply_to_even<L: Transform<FROM, TO>, T: Real, S: Simd, const FROM: usize, const TO: usize>(
    simd: S,
    (from, reads): (Place<T::Vector<S>>, Line),
    (mut to, writes): (PlaceMut<T::Vector<S>>, Line),
) {
    L::apply::<T, S>(simd, reads.of(from, [0, 0]), writes.of_mut(&mut to, [0, 0]));
    for odd in 0..TILE {
        let ((from, steps), (mut to, to_steps)) = (reads.of(from, [0, 1]), writes.of_mut(&mut to, [0, 1]));
        L::apply_once::<T, S>(simd, (&from[odd * steps[1]..], steps[0]), (to.from(odd * to_steps[1]), to_steps[0]));
    }
    for odd in 0..TILE {
        let ((from, steps), (mut to, to_steps)) = (reads.of(from, [1, 0]), writes.of_mut(&mut to, [1, 0]));
        L::apply_once::<T, S>(simd, (&from[odd * steps[0]..], steps[1]), (to.from(odd * to_steps[0]), to_steps[1]));
    }
    let ((from, steps), (mut to, to_steps)) = (reads.of(from, [1, 1]), writes.of_mut(&mut to, [1, 1]));
    for row in 0..TILE {
        for column in 0..TILE {
            to.put(row * to_steps[0] + column * to_steps[1], from[row * steps[0] + column * steps[1]]);
        }
    }
}

/// Nine by nine pixels to the values of a tile.
#[inline(always)]
pub(super) fn pixels<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>) {
    apply_to_even::<Values, T, S, POINTS, POINTS>(simd, (from, AROUND), (to, VALUES_OF_LINE));
}

/// Of the transposed map: five by five outputs to the values that the pixels' cotangents take.
#[inline(always)]
pub(super) fn spread<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>) {
    apply_to_even::<Values, T, S, POINTS, POINTS>(simd, (from, BOTH), (to, VALUES_OF_LINE));
}

/// Of the transposed map: the products to eight by eight pixels' cotangents.
#[inline(always)]
pub(super) fn interleaved<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>) {
    apply_to_even::<Sums, T, S, POINTS, TILE>(simd, (from, VALUES_OF_LINE), (to, FROM_MIDDLE));
}

/// The transpose of [`outputs`]: cotangents of four by four outputs to cotangents of the products.
#[inline(always)]
pub(super) fn output_cotangents<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>) {
    apply_to_even::<SumCotangents, T, S, TILE, POINTS>(simd, (from, BOTH), (to, VALUES_OF_LINE));
}

/// The products to four by four outputs, to each of which even and odd rows and columns add.
#[inline(always)]
pub(super) fn outputs<T: Real, S: Simd>(
    simd: S,
    from: Place<T::Vector<S>>,
    (mut to, to_steps): PlaceMut<T::Vector<S>>,
) {
    let zero = T::splat(simd, T::default());
    let mut sums: Square<T, S, TILE> = [[zero; TILE]; TILE];
    Sums::apply::<T, S>(simd, VALUES_OF_LINE.of(from, [0, 0]), (Places::over(sums.as_flattened_mut()), [TILE, 1]));
    for column in 0..TILE {
        let (from, steps) = VALUES_OF_LINE.of(from, [0, 1]);
        let mut line = [zero; TILE];
        Sums::apply_once::<T, S>(simd, (&from[column * steps[1]..], steps[0]), (Places::over(&mut line), 1));
        for (sums, value) in sums.iter_mut().zip(line) {
            sums[column] = T::plus(simd, sums[column], value);
        }
    }
    let (odd, odd_steps) = VALUES_OF_LINE.of(from, [1, 1]);
    for (row, sums) in sums.iter().enumerate() {
        let (from, steps) = VALUES_OF_LINE.of(from, [1, 0]);
        let mut line = [zero; TILE];
        Sums::apply_once::<T, S>(simd, (&from[row * steps[0]..], steps[1]), (Places::over(&mut line), 1));
        for (column, (&sum, value)) in sums.iter().zip(line).enumerate() {
            let value = T::plus(simd, value, odd[row * odd_steps[0] + column * odd_steps[1]]);
            to.put(row * to_steps[0] + column * to_steps[1], T::plus(simd, sum, value));
        }
    }
}

/// Five even pixels to their values at the points.
struct Values;

impl Transform<POINTS, POINTS> for Values {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [e0, e1, e2, e3, e4]: [T::Vector<S>; POINTS]) -> [T::Vector<S>; POINTS] {
        let [s0, s1] = [add::<T, S>(simd, e1, -FAR, e0), add::<T, S>(simd, e2, -FAR, e1)];
        let [s2, s3] = [add::<T, S>(simd, e3, -FAR, e2), add::<T, S>(simd, e4, -FAR, e3)];
        let near = pair::<T, S>(simd, s2, NEAR, s1);
        let far = add::<T, S>(simd, e3, -NEAR_2, e1);
        [add::<T, S>(simd, s2, -NEAR_2, s0), near[0], near[1], far, add::<T, S>(simd, s3, -NEAR_2, s1)]
    }
}

/// The products at the points to four sums.
struct Sums;

impl Transform<POINTS, TILE> for Sums {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [m0, m1, m2, m3, m4]: [T::Vector<S>; POINTS]) -> [T::Vector<S>; TILE] {
        let [even, odd] = parts::<T, S>(simd, m1, m2);
        [
            T::plus(simd, T::plus(simd, m0, m3), even),
            add::<T, S>(simd, scale::<T, S>(simd, NEAR, odd), FAR, m3),
            add::<T, S>(simd, scale::<T, S>(simd, NEAR_2, even), FAR_2, m3),
            add::<T, S>(simd, add::<T, S>(simd, m4, NEAR * NEAR_2, odd), FAR * FAR_2, m3),
        ]
    }
}

/// The transpose of [`Sums`].
struct SumCotangents;

impl Transform<TILE, POINTS> for SumCotangents {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, outputs: [T::Vector<S>; TILE]) -> [T::Vector<S>; POINTS] {
        // The same points as of stride 1, but for the last but one.
        let [zero, plus, minus, far, _, infinite] = OutputCotangents::line::<T, S>(simd, outputs);
        [zero, plus, minus, far, infinite]
    }
}

/// Three weights to the values of the outer two, and the middle one.
pub(super) struct Weights;

impl Transform<3, SIDE> for Weights {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [g0, g1, g2]: [T::Vector<S>; 3]) -> [T::Vector<S>; SIDE] {
        [
            scale::<T, S>(simd, 1.0 / AT_ZERO, g0),
            add::<T, S>(simd, scale::<T, S>(simd, 1.0 / AT_PLUS, g0), NEAR / AT_PLUS, g2),
            add::<T, S>(simd, scale::<T, S>(simd, 1.0 / AT_MINUS, g0), -NEAR / AT_MINUS, g2),
            add::<T, S>(simd, scale::<T, S>(simd, 1.0 / AT_FAR, g0), FAR / AT_FAR, g2),
            g2,
            g1,
        ]
    }
}

/// The transpose of [`Weights`]: cotangents of the values to cotangents of three weights.
pub(super) struct WeightCotangents;

impl Transform<SIDE, 3> for WeightCotangents {
    #[inline(always)]
    fn line<T: Real, S: Simd>(simd: S, [m0, m1, m2, m3, m4, middle]: [T::Vector<S>; SIDE]) -> [T::Vector<S>; 3] {
        let first = add::<T, S>(simd, scale::<T, S>(simd, 1.0 / AT_ZERO, m0), 1.0 / AT_PLUS, m1);
        let last = add::<T, S>(simd, m4, NEAR / AT_PLUS, m1);
        let first = add::<T, S>(simd, first, 1.0 / AT_MINUS, m2);
        let last = add::<T, S>(simd, last, -NEAR / AT_MINUS, m2);
        [add::<T, S>(simd, first, 1.0 / AT_FAR, m3), middle, add::<T, S>(simd, last, FAR / AT_FAR, m3)]
    }
}
