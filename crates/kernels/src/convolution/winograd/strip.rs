//! A few planes turned round: pixel by pixel, one channel a lane.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, bytemuck};

use super::grid::Grid;
use super::tiling::{Place, PlaceMut};
use crate::Real;
use crate::convolution::target::Moments;
use crate::convolution::turn::with_lanes;
use crate::memory::{self, Cleared, Places};
use crate::source::Source;

/// A plane's pixels with a margin around; every pixel is a vector of channels.
pub(super) struct Strip<T> {
    pixels: Cleared<T, Grid>,
    /// Pixels of a row.
    columns: usize,
}

impl<T: Real> Strip<T> {
    pub(super) fn new() -> Self {
        Self { pixels: Cleared::new(), columns: 0 }
    }

    /// What it holds.
    pub(super) fn bytes(&self) -> usize {
        memory::bytes([&self.pixels.values])
    }

    /// Calls `tile` with the first of every square of `side` pixels and what follows, and the steps between rows and columns: `step` on from one
    /// square to the next, row by row.
    #[inline(always)]
    pub(super) fn each_tile<S: Simd>(&self, [side, step]: [usize; 2], mut tile: impl FnMut(Place<T::Vector<S>>)) {
        let pixels: &[T::Vector<S>] = bytemuck::cast_slice(&self.pixels.values);
        for rows in pixels.windows(side * self.columns).step_by(step * self.columns) {
            for column in (0..=self.columns - side).step_by(step) {
                tile((&rows[column..], [self.columns, 1]));
            }
        }
    }

    /// Makes the strip of as many rows and columns of tiles of a side, row by row: `tile` gets the place of its first pixel and what follows, and the
    /// steps between rows and columns.
    #[inline(always)]
    pub(super) fn fill_tiles<S: Simd>(
        &mut self,
        ([rows, columns], side): ([usize; 2], usize),
        mut tile: impl FnMut(PlaceMut<T::Vector<S>>),
    ) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        self.columns = columns * side;
        self.pixels.spoil(rows * side * self.columns * lanes);
        let pixels: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(&mut self.pixels.values);
        for rows in pixels.chunks_exact_mut(side * self.columns) {
            for column in (0..self.columns).step_by(side) {
                tile((Places::over(&mut rows[column..]), [self.columns, 1]));
            }
        }
    }

    /// Reads planes of a source that lie one after the other, at most as many as there are lanes; zeros elsewhere.
    #[inline(always)]
    pub(super) fn read<S: Simd>(&mut self, simd: S, source: Source<'_, T>, planes: Range<usize>, grid: &Grid) {
        with_lanes!(T, S, LANES => self.read_lanes::<S, LANES>(simd, source, planes, grid))
    }

    #[inline(always)]
    fn read_lanes<S: Simd, const LANES: usize>(
        &mut self,
        simd: S,
        source: Source<'_, T>,
        planes: Range<usize>,
        grid: &Grid,
    ) {
        self.columns = grid.size[1];
        self.pixels.lay_out(*grid, grid.pixels() * LANES);
        let size = grid.plane[0] * grid.plane[1];
        let map = source.map_of_planes(simd, planes.clone());
        let mut side_by_side = [&[][..]; LANES];
        let planes = source.planes(planes, size).chunks_exact(size);
        for (to, plane) in side_by_side.iter_mut().zip(planes) {
            *to = plane;
        }
        grid.read(simd, &side_by_side, map, bytemuck::cast_slice_mut(&mut self.pixels.values));
    }

    /// The moments of the planes in the strip, of which the grid holds all.
    #[inline(always)]
    pub(super) fn moments<S: Simd>(&self, simd: S, grid: &Grid, moments: &mut [Moments]) {
        grid.moments::<T, S>(simd, bytemuck::cast_slice(&self.pixels.values), moments);
    }

    /// Writes planes, which lie one after the other, from the strip.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&self, simd: S, grid: &Grid, planes: &mut [MaybeUninit<T>]) {
        let size = grid.plane[0] * grid.plane[1];
        with_lanes!(T, S, LANES => {
            let (places, _) = self.pixels.values.as_chunks();
            grid.write::<T, S, LANES>(simd, places, (planes, size));
        });
    }
}
