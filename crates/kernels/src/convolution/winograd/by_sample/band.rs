//! Some rows of the planes of a register's samples: pixel by pixel, one sample a lane.

use std::ops::Range;

use pulp::{Simd, bytemuck};

use crate::Real;
use crate::convolution::turn::with_lanes;
use crate::convolution::winograd::Map;
use crate::convolution::winograd::grid::Grid;
use crate::convolution::winograd::transform::{SIDE, TILE};
use crate::memory::{self, Cleared};
use crate::source::Source;

/// The pixels that some rows of tiles read.
pub(super) fn band(map: &Map, rows: Range<usize>) -> Grid {
    let padding = map.margins[0] as isize;
    let first = [(rows.start * TILE) as isize - padding, -padding];
    let size = [rows.len(), map.tiles()[1]].map(|tiles| tiles * TILE + SIDE - TILE);
    Grid { plane: map.source, first, size }
}

/// A band of some channels.
pub(super) struct Turned<T> {
    /// `[channel][pixel][sample]`, of as many channels.
    pixels: Cleared<T, (Grid, usize)>,
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
        band: &Grid,
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
        band: &Grid,
        source: Source<'_, T>,
        samples: Range<usize>,
        (channels, all): (Range<usize>, usize),
    ) {
        self.pixels.lay_out((*band, channels.len()), channels.len() * band.pixels() * LANES);
        let places: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(&mut self.pixels.values);
        let [height, width] = band.plane;
        for (channel, places) in channels.zip(places.chunks_exact_mut(band.pixels())) {
            let mut planes = [&[][..]; LANES];
            for (plane, sample) in planes.iter_mut().zip(samples.clone()) {
                let number = sample * all + channel;
                *plane = source.planes(number..number + 1, height * width);
            }
            let map = source.map_of_samples(simd, samples.clone(), (channel, all));
            band.read(simd, &planes, map, places);
        }
    }
}
