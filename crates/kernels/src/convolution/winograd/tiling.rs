//! What tiles are made of: one way for stride 1, and two, for a map and its transpose, for stride 2.

use pulp::Simd;

use super::halving::{self, VALUES, WIDE};
use super::transform::{self, SIDE, TILE, Transform};
use crate::Real;

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
}

/// Vectors, and the steps from one row and one column to the next.
pub(super) type Place<'a, V> = (&'a [V], [usize; 2]);

/// The same to write to.
pub(super) type PlaceMut<'a, V> = (&'a mut [V], [usize; 2]);

/// One way to cut a map into tiles.
pub(super) trait Tiling: Copy + Send + Sync {
    const SIDES: Sides;

    /// Values of a tile.
    const VALUES: usize = Self::SIDES.values * Self::SIDES.values;

    /// The pixels of a tile to its values: `B^T d B`.
    fn pixels<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);

    /// A window to the weights of all [`transform::POINTS`]: `G g G^T`.
    fn weights<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);

    /// The products of a tile to its pixels of the target: `A^T m A`.
    fn outputs<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);

    /// The steps of a tile's values, if each lies `distance` after the one before.
    #[inline(always)]
    fn apart(distance: usize) -> [usize; 2] {
        [Self::SIDES.values * distance, distance]
    }

    /// The values that the weights of a point are for: of those beyond the last point of a side, all are the last's.
    #[inline(always)]
    fn values_of(point: usize) -> impl Iterator<Item = usize> {
        let side = Self::SIDES.values;
        let [rows, columns] = [point / SIDE, point % SIDE].map(|at| at..if at + 1 == SIDE { side } else { at + 1 });
        rows.flat_map(move |row| columns.clone().map(move |column| row * side + column))
    }
}

/// A tiling of a forward map, by which the weights' cotangent is computed too.
pub(super) trait ForwardTiling: Tiling {
    /// The cotangents of a tile's outputs to those of its products: `A y_bar A^T`.
    fn output_cotangents<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);

    /// The cotangents of all points' weights to a window's: `G^T m G`.
    fn weight_cotangents<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>);
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

/// Functions of a tiling that are named elsewhere.
macro_rules! transforms {
    ($($function:ident: $($transform:ident)::+),*) => {$(
        #[inline(always)]
        fn $function<T: Real, S: Simd>(simd: S, from: Place<T::Vector<S>>, to: PlaceMut<T::Vector<S>>) {
            $($transform)::+::<T, S>(simd, from, to);
        }
    )*};
}

impl Tiling for Unit {
    const SIDES: Sides = Sides { read: SIDE, step: TILE, values: SIDE, written: TILE };
    transforms!(pixels: transform::Pixels::apply, weights: transform::Weights::apply, outputs: transform::Outputs::apply);
}

impl ForwardTiling for Unit {
    transforms!(
        output_cotangents: transform::OutputCotangents::apply,
        weight_cotangents: transform::WeightCotangents::apply
    );
}

impl Tiling for Halving {
    const SIDES: Sides = Sides { read: WIDE, step: 2 * TILE, values: VALUES, written: TILE };
    transforms!(pixels: halving::pixels, weights: halving::Weights::apply, outputs: halving::outputs);
}

impl ForwardTiling for Halving {
    transforms!(output_cotangents: halving::output_cotangents, weight_cotangents: halving::WeightCotangents::apply);
}

impl Tiling for Doubling {
    const SIDES: Sides = Sides { read: TILE + 1, step: TILE, values: VALUES, written: 2 * TILE };
    transforms!(pixels: halving::spread, weights: halving::Weights::apply, outputs: halving::interleaved);
}
