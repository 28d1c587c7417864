//! What tiles are made of: one way for 3x3 windows of stride 1, and two, for a map and its transpose, for stride 2; and windows of one pixel.

use std::mem::MaybeUninit;

use pulp::{Simd, bytemuck};

use super::halving::{self, VALUES, WIDE};
use super::transform::{self, SIDE, TILE, Transform, apart};
use super::window;
use crate::Real;
use crate::convolution::pack::write_short;
use crate::memory::Places;

/// The sides of a tile, in either direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    /// Pixels of the source that it reads.
    pub read: usize,
    /// Those from its first to the next tile's.
    pub step: usize,
    /// Values that are multiplied.
    pub values: usize,
    /// Pixels of the target that it stands for.
    pub written: usize,
    /// Weights that values are multiplied by, and those of a window.
    pub points: usize,
    pub taps: usize,
}

/// Vectors, and the steps from one row and one column to the next.
pub(super) type Place<'a, V> = (&'a [V], [usize; 2]);

/// The same to write to.
pub(super) type PlaceMut<'a, V> = (Places<'a, V>, [usize; 2]);

/// One way to cut a map into tiles.
pub(super) trait Tiling: Copy + Send + Sync {
    const SIDES: Sides;

    /// Values of a tile.
    const VALUES: usize = Self::SIDES.values * Self::SIDES.values;

    /// The pixels of a tile to its values: `B^T d B`.
    fn pixels<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);

    /// The steps of a tile's values, if each lies `distance` after the one before.
    #[inline(always)]
    fn apart(distance: usize) -> [usize; 2] {
        [Self::SIDES.values * distance, distance]
    }

    /// The values that the weights of a point are for: of those beyond the last point of a side, all are the last's.
    #[inline(always)]
    fn values_of(point: usize) -> impl Iterator<Item = usize> {
        let Sides { values: side, points, .. } = Self::SIDES;
        let [rows, columns] =
            [point / points, point % points].map(|at| at..if at + 1 == points { side } else { at + 1 });
        rows.flat_map(move |row| columns.clone().map(move |column| row * side + column))
    }
}

/// A tiling by which sums are computed.
pub(super) trait SumTiling: Tiling {
    /// A window to the weights of all [`transform::POINTS`]: `G g G^T`.
    fn weights<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);

    /// The products of a tile to its pixels of the target: `A^T m A`.
    fn outputs<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);
}

/// A tiling of a forward map by which the weights' cotangent is computed.
pub(super) trait WeightTiling: Tiling {
    /// Weights of a tile.
    const POINTS: usize = Self::SIDES.points * Self::SIDES.points;

    /// Weights of a window.
    const TAPS: usize = Self::SIDES.taps * Self::SIDES.taps;

    /// The cotangents of a tile's outputs to those of its products: `A y_bar A^T`.
    fn output_cotangents<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);

    /// The cotangents of all points' weights, `distance` vectors apart, to those of windows, one after the other: `G^T m G`.
    fn weight_cotangents<T: Real, S: Simd>(simd: S, from: (&[T::Vector<S>], usize), to: &mut [MaybeUninit<T>]);
}

/// Stride 1: 36 products for 4x4 pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit;

/// Stride 2: 81 products for 4x4 pixels, which read 9x9.
#[derive(Debug, Clone, Copy)]
pub(super) struct Halving;

/// The transpose of stride 2: 81 products for 8x8 pixels, which read 5x5.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubling;

/// Windows of one pixel: every pixel that one reads is its own tile, and nothing is transformed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel<const STRIDE: usize>;

/// Functions of a tiling that are named elsewhere.
macro_rules! transforms {
    ($($function:ident: $($transform:ident)::+),*) => {$(
        #[inline(always)]
        fn $function<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>) {
            $($transform)::+::<T, S>(simd, from, to);
        }
    )*};
}

/// [`WeightTiling::weight_cotangents`] by a transform.
#[inline(always)]
fn windows<F: Transform<SIDE, 3>, T: Real, S: Simd>(
    simd: S,
    (points, distance): (&[T::Vector<S>], usize),
    to: &mut [MaybeUninit<T>],
) {
    let mut window: transform::Square<T, S, 3> = [[T::splat(simd, T::default()); 3]; 3];
    F::apply::<T, S>(simd, (points, apart(distance)), (Places::over(window.as_flattened_mut()), [3, 1]));
    window::write::<T, S>(simd, &window, to);
}

impl Tiling for Unit {
    const SIDES: Sides = Sides { read: SIDE, step: TILE, values: SIDE, written: TILE, points: SIDE, taps: 3 };
    transforms!(pixels: transform::Pixels::apply);
}

impl SumTiling for Unit {
    transforms!(weights: transform::Weights::apply, outputs: transform::Outputs::apply);
}

impl WeightTiling for Unit {
    transforms!(output_cotangents: transform::OutputCotangents::apply);

    #[inline(always)]
    fn weight_cotangents<T: Real, S: Simd>(simd: S, from: (&[T::Vector<S>], usize), to: &mut [MaybeUninit<T>]) {
        windows::<transform::WeightCotangents, T, S>(simd, from, to);
    }
}

impl Tiling for Halving {
    const SIDES: Sides = Sides { read: WIDE, step: 2 * TILE, values: VALUES, written: TILE, points: SIDE, taps: 3 };
    transforms!(pixels: halving::pixels);
}

impl SumTiling for Halving {
    transforms!(weights: halving::Weights::apply, outputs: halving::outputs);
}

impl WeightTiling for Halving {
    transforms!(output_cotangents: halving::output_cotangents);

    #[inline(always)]
    fn weight_cotangents<T: Real, S: Simd>(simd: S, from: (&[T::Vector<S>], usize), to: &mut [MaybeUninit<T>]) {
        windows::<halving::WeightCotangents, T, S>(simd, from, to);
    }
}

impl Tiling for Doubling {
    const SIDES: Sides = Sides { read: TILE + 1, step: TILE, values: VALUES, written: 2 * TILE, points: SIDE, taps: 3 };
    transforms!(pixels: halving::spread);
}

impl SumTiling for Doubling {
    transforms!(weights: halving::Weights::apply, outputs: halving::interleaved);
}

impl<const STRIDE: usize> Tiling for Pixel<STRIDE> {
    const SIDES: Sides = Sides { read: 1, step: STRIDE, values: 1, written: 1, points: 1, taps: 1 };

    #[inline(always)]
    fn pixels<T: Real, S: Simd>(_: S, (from, _): Place<T::Vector<S>>, (mut to, _): PlaceMut<T::Vector<S>>) {
        to.put(0, from[0]);
    }
}

impl<const STRIDE: usize> WeightTiling for Pixel<STRIDE> {
    #[inline(always)]
    fn output_cotangents<T: Real, S: Simd>(_: S, (from, _): Place<T::Vector<S>>, (mut to, _): PlaceMut<T::Vector<S>>) {
        to.put(0, from[0]);
    }

    #[inline(always)]
    fn weight_cotangents<T: Real, S: Simd>(_: S, (points, _): (&[T::Vector<S>], usize), to: &mut [MaybeUninit<T>]) {
        let sums: &[T] = bytemuck::cast_slice(&points[..1]);
        write_short(to, &sums[..to.len()]);
    }
}
