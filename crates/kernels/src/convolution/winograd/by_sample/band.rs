//! Some rows of the planes of a register's samples: pixel by pixel, one sample a lane.

use std::ops::Range;

use pulp::{Simd, bytemuck};

use crate::Real;
use crate::convolution::turn::{Square, turn, with_lanes};
use crate::convolution::winograd::Map;
use crate::convolution::winograd::transform::{SIDE, TILE};
use crate::memory::{self, Cleared};
use crate::source::{LaneMap, Source};

/// The pixels that some rows of tiles read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Band {
    /// The first source row and column, which may lie outside of the plane.
    first: [isize; 2],
    /// Rows and columns held.
    size: [usize; 2],
    /// Height and width of a source plane.
    plane: [usize; 2],
}

impl Band {
    /// The band of some rows of tiles.
    pub(super) fn new(map: &Map, rows: Range<usize>) -> Self {
        let padding = map.margins[0] as isize;
        let first = [(rows.start * TILE) as isize - padding, -padding];
        let size = [rows.len(), map.tiles()[1]].map(|tiles| tiles * TILE + SIDE - TILE);
        Self { first, size, plane: map.source }
    }

    /// Registers of a row.
    pub(super) fn columns(&self) -> usize {
        self.size[1]
    }

    /// Registers of a channel.
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }
}

/// A band of some channels.
pub(super) struct Turned<T> {
    /// `[channel][pixel][sample]`, of as many channels.
    pixels: Cleared<T, (Band, usize)>,
}

impl<T: Real> Turned<T> {
    pub(super) fn new() -> Self {
        Self { pixels: Cleared::new() }
    }

    /// What it holds.
    pub(super) fn bytes(&self) -> usize {
        memory::bytes([&self.pixels.values])
    }

    /// `[channel][pixel]`.
    pub(super) fn pixels<S: Simd>(&self) -> &[T::Vector<S>] {
        bytemuck::cast_slice(&self.pixels.values)
    }

    /// Reads some channels of at most as many samples as a register has lanes.
    #[inline(always)]
    pub(super) fn read<S: Simd>(
        &mut self,
        simd: S,
        band: &Band,
        source: Source<'_, T>,
        samples: Range<usize>,
        (channels, all): (Range<usize>, usize),
    ) {
        with_lanes!(T, S, LANES => self.read_lanes::<S, LANES>(simd, band, source, samples, (channels, all)))
    }

    #[inline(always)]
    fn read_lanes<S: Simd, const LANES: usize>(
        &mut self,
        simd: S,
        band: &Band,
        source: Source<'_, T>,
        samples: Range<usize>,
        (channels, all): (Range<usize>, usize),
    ) {
        self.pixels.lay_out((*band, channels.len()), channels.len() * band.pixels() * LANES);
        let (pixels, _) = self.pixels.values.as_chunks_mut::<LANES>();
        for (channel, pixels) in channels.zip(pixels.chunks_exact_mut(band.pixels())) {
            read_channel(simd, band, source, (samples.clone(), (channel, all)), pixels);
        }
    }
}

/// One channel, of so many, of some samples; the zeros around are there.
#[inline(always)]
fn read_channel<T: Real, S: Simd, const LANES: usize>(
    simd: S,
    band: &Band,
    source: Source<'_, T>,
    (samples, (channel, channels)): (Range<usize>, (usize, usize)),
    pixels: &mut [[T; LANES]],
) {
    let [height, width] = band.plane.map(|size| size as isize);
    let map = source.map_of_samples(simd, samples.clone(), (channel, channels));
    let planes = samples.map(|sample| sample * channels + channel);
    let rows = band.first[0].clamp(0, height)..(band.first[0] + band.size[0] as isize).clamp(0, height);
    let (start, end) = ((rows.start * width) as usize, (rows.end * width) as usize);
    let mut at = Position { row: rows.start, column: 0 };
    let plane_of = |plane: usize| &source.planes(plane..plane + 1, (height * width) as usize)[..end];
    let whole = end - (end - start) % LANES;
    for from in (start..whole).step_by(LANES) {
        let mut block = Square::<T, LANES>::zeros();
        for (row, plane) in block.iter_mut().zip(planes.clone()) {
            // Of a length known to the compiler, so that it is one move.
            if let Some(pixels) = plane_of(plane)[from..].first_chunk::<LANES>() {
                *row = *pixels;
            }
        }
        at.put(simd, band, &mut block, LANES, map, pixels);
    }
    if whole < end {
        let mut block = Square::<T, LANES>::zeros();
        for (row, plane) in block.iter_mut().zip(planes.clone()) {
            row[..end - whole].copy_from_slice(&plane_of(plane)[whole..]);
        }
        at.put(simd, band, &mut block, end - whole, map, pixels);
    }
}

/// Where in the source plane the next pixel lies.
struct Position {
    row: isize,
    column: isize,
}

impl Position {
    /// Turns the next `count` pixels round and puts those to their places that the band holds.
    #[inline(always)]
    fn put<T: Real, S: Simd, const LANES: usize>(
        &mut self,
        simd: S,
        band: &Band,
        block: &mut Square<T, LANES>,
        count: usize,
        map: Option<LaneMap<T, S>>,
        pixels: &mut [[T; LANES]],
    ) {
        block.turn(simd);
        if let Some(map) = map {
            map.apply(simd, block.registers::<S>());
        }
        let (width, columns) = (band.plane[1] as isize, band.size[1] as isize);
        let held = band.first[1].max(0)..(band.first[1] + columns).min(width);
        let mut place = (self.row - band.first[0]) * columns - band.first[1] + self.column;
        for pixel in block.iter().take(count) {
            if held.contains(&self.column) {
                pixels[place as usize] = *pixel;
            }
            (place, self.column) = (place + 1, self.column + 1);
            if self.column == width {
                (place, self.column, self.row) = (place + columns - width, 0, self.row + 1);
            }
        }
    }
}

/// Turns consecutive pixels of one channel back, and calls `write` with each sample's: `write(sample, pixels from the first, values)`. What the pixels
/// hold then is of no use.
#[inline(always)]
pub(super) fn each_sample<T: Real, S: Simd>(
    simd: S,
    pixels: &mut [T::Vector<S>],
    mut write: impl FnMut(usize, usize, &[T]),
) {
    let values: &mut [T] = bytemuck::cast_slice_mut(pixels);
    with_lanes!(T, S, LANES => each_of::<T, S, LANES>(simd, values, &mut write))
}

#[inline(always)]
fn each_of<T: Real, S: Simd, const LANES: usize>(
    simd: S,
    values: &mut [T],
    write: &mut impl FnMut(usize, usize, &[T]),
) {
    let (pixels, _) = values.as_chunks_mut::<LANES>();
    let (whole, rest) = pixels.as_chunks_mut::<LANES>();
    for (index, pixels) in whole.iter_mut().enumerate() {
        turn(simd, pixels);
        // Of a length known to the compiler, so that a row is one move.
        for (sample, values) in pixels.iter().enumerate() {
            write(sample, index * LANES, values);
        }
    }
    if !rest.is_empty() {
        let mut block = Square::<T, LANES>::zeros();
        block[..rest.len()].copy_from_slice(rest);
        block.turn(simd);
        for (sample, values) in block.iter().enumerate() {
            write(sample, whole.len() * LANES, &values[..rest.len()]);
        }
    }
}
