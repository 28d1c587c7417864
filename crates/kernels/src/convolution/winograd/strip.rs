//! A few planes turned round: pixel by pixel, one channel a lane.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, bytemuck};

use super::tiling::{Place, PlaceMut};
use crate::Real;
use crate::convolution::turn::{Square, with_lanes};
use crate::memory::{self, Cleared, Places};
use crate::source::Source;

/// A plane's pixels with a margin around; every pixel is a vector of channels.
pub(super) struct Strip<T> {
    pixels: Cleared<T, Geometry>,
    /// Pixels of a row.
    columns: usize,
}

/// Where a plane lies on a strip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Height and width of a plane.
    pub plane: [usize; 2],
    /// Pixels above and to the left of it: zeros where it is read.
    pub margin: usize,
    /// Rows and columns of the strip, which reach over the plane's last.
    pub size: [usize; 2],
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
    pub(super) fn read<S: Simd>(&mut self, simd: S, source: Source<'_, T>, planes: Range<usize>, geometry: &Geometry) {
        with_lanes!(T, S, LANES => self.read_lanes::<S, LANES>(simd, source, planes, geometry))
    }

    #[inline(always)]
    fn read_lanes<S: Simd, const LANES: usize>(
        &mut self,
        simd: S,
        source: Source<'_, T>,
        planes: Range<usize>,
        geometry: &Geometry,
    ) {
        let [height, width] = geometry.plane;
        let plane = height * width;
        let map = source.map_of_planes(simd, planes.clone());
        let planes = source.planes(planes, plane);
        self.columns = geometry.size[1];
        self.pixels.lay_out(*geometry, geometry.size[0] * geometry.size[1] * LANES);
        let (pixels, _) = self.pixels.values.as_chunks_mut::<LANES>();
        let gap = self.columns - width;
        let next = |place, column| if column == width { (place + gap, 0) } else { (place, column) };
        let (mut place, mut column) = (geometry.margin * (self.columns + 1), 0);
        for from in (0..plane).step_by(LANES) {
            let count = LANES.min(plane - from);
            let mut block = Square::<T, LANES>::zeros();
            for (row, plane) in block.iter_mut().zip(planes.chunks_exact(plane)) {
                match plane[from..].first_chunk::<LANES>() {
                    Some(pixels) => *row = *pixels,
                    None => row[..count].copy_from_slice(&plane[from..]),
                }
            }
            block.turn(simd);
            if let Some(map) = map {
                map.apply(simd, block.registers::<S>());
            }
            if count == LANES && column + LANES <= width {
                // All in one row: one move.
                pixels[place..place + LANES].copy_from_slice(&*block);
                (place, column) = next(place + LANES, column + LANES);
                continue;
            }
            for pixel in block.iter().take(count) {
                pixels[place] = *pixel;
                (place, column) = next(place + 1, column + 1);
            }
        }
    }

    /// Writes planes, which lie one after the other, from the strip.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&self, simd: S, geometry: &Geometry, planes: &mut [MaybeUninit<T>]) {
        with_lanes!(T, S, LANES => self.write_lanes::<S, LANES>(simd, geometry, planes))
    }

    #[inline(always)]
    fn write_lanes<S: Simd, const LANES: usize>(&self, simd: S, geometry: &Geometry, planes: &mut [MaybeUninit<T>]) {
        let [height, width] = geometry.plane;
        let plane = height * width;
        let (pixels, _) = self.pixels.values.as_chunks::<LANES>();
        let (mut place, mut column) = (geometry.margin * (self.columns + 1), 0);
        for from in (0..plane).step_by(LANES) {
            let count = LANES.min(plane - from);
            let mut block = Square::<T, LANES>::zeros();
            for pixel in block.iter_mut().take(count) {
                *pixel = pixels[place];
                (place, column) = (place + 1, column + 1);
                if column == width {
                    (place, column) = (place + self.columns - width, 0);
                }
            }
            block.turn(simd);
            for (row, plane) in block.iter().zip(planes.chunks_exact_mut(plane)) {
                match plane[from..].first_chunk_mut::<LANES>() {
                    Some(to) => to.write_copy_of_slice(row),
                    None => plane[from..].write_copy_of_slice(&row[..count]),
                };
            }
        }
    }
}
