//! Some rows of the planes of a register's samples: pixel by pixel, one sample a lane.

use std::mem::MaybeUninit;
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
        if count == LANES && held.start <= self.column && self.column + LANES as isize <= held.end {
            // All in one row: one move.
            pixels[place as usize..][..LANES].copy_from_slice(&**block);
            return self.pass(LANES, width);
        }
        for pixel in block.iter().take(count) {
            if held.contains(&self.column) {
                pixels[place as usize] = *pixel;
            }
            place += 1;
            self.pass(1, width);
            if self.column == 0 {
                place += columns - width;
            }
        }
    }

    /// Goes on by some pixels of a row.
    #[inline(always)]
    fn pass(&mut self, pixels: usize, width: isize) {
        self.column += pixels as isize;
        if self.column == width {
            (self.column, self.row) = (0, self.row + 1);
        }
    }
}

/// Turns consecutive pixels of one channel back, and writes those of every sample: the first of them to `target[first]`, the next sample's `step`
/// later, as many samples as it holds. What the pixels hold then is of no use.
#[inline(always)]
pub(super) fn write_samples<T: Real, S: Simd>(
    simd: S,
    pixels: &mut [T::Vector<S>],
    (target, [first, step]): (&mut [MaybeUninit<T>], [usize; 2]),
) {
    let pixels: &mut [T] = bytemuck::cast_slice_mut(pixels);
    let target = &mut target[first..];
    with_lanes!(T, S, LANES => write_lanes::<T, S, LANES>(simd, pixels, (target, step)))
}

#[inline(always)]
fn write_lanes<T: Real, S: Simd, const LANES: usize>(
    simd: S,
    pixels: &mut [T],
    (target, step): (&mut [MaybeUninit<T>], usize),
) {
    let (pixels, _) = pixels.as_chunks_mut::<LANES>();
    let (whole, rest) = pixels.as_chunks_mut::<LANES>();
    for (index, pixels) in whole.iter_mut().enumerate() {
        turn(simd, pixels);
        for (row, target) in pixels.iter().zip(target[index * LANES..].chunks_mut(step)) {
            // Of a length known to the compiler, so that it is one move.
            target[..LANES].write_copy_of_slice(row);
        }
    }
    if !rest.is_empty() {
        let mut block = Square::<T, LANES>::zeros();
        block[..rest.len()].copy_from_slice(rest);
        block.turn(simd);
        for (row, target) in block.iter().zip(target[whole.len() * LANES..].chunks_mut(step)) {
            target[..rest.len()].write_copy_of_slice(&row[..rest.len()]);
        }
    }
}
