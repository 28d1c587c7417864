//! Sums of convolutions of few channels: one sample a lane, so that no lane is empty, however few channels there are.
//!
//! The planes of as many samples as a register has lanes are turned round in cache, with zeros around. What tiles read, their values at
//! the points and their products stay there, too, some rows of tiles at a time.

mod band;
mod sum;

pub(super) use sum::sum;

use std::ops::RangeInclusive;

use pulp::{Simd, WithSimd};

use super::transform::{POINTS, TILE};
use super::{CHANNELS_OF_SUM, Map, Way};
use crate::convolution::outer::Sizes;
use crate::instructions;

/// Channels on either side with which it is the fastest way.
const CHANNELS: RangeInclusive<usize> = 3..=64;

/// Bytes of turned planes at a time, at most: all of a sample's, where a sum works in place.
const BAND: usize = 320 << 10;

/// Bytes of transformed pixels and products at a time, about; with the turned planes they fit a second-level cache of a megabyte.
const BLOCK: usize = 224 << 10;

/// Registers of samples from which an empty part of the last one costs little.
const REGISTERS: usize = 4;

/// Bytes of a row of tiles up to which it is the fastest way.
const ROW: usize = 896 << 10;

/// The most output channels of a panel.
const PANEL: usize = 8;

/// Output channels of a panel: with two tiles of pixels, 8 x 2 sums fit 32 registers and 4 x 2 fit 16.
const fn rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { PANEL } else { PANEL / 2 }
}

/// Whether it is the faster way: there are samples enough, and few channels.
pub(super) fn is_faster(sizes: &Sizes, map: &Map, samples: usize) -> bool {
    let channels = sizes.channels.map(|channels| channels / sizes.groups);
    // Channels that would fill lanes themselves are only left to samples where all of a row stays in cache.
    let fill_lanes = channels.into_iter().all(|channels| channels >= CHANNELS_OF_SUM[0]);
    let held = channels[0] + if fill_lanes { channels[1] } else { PANEL };
    let row = POINTS * held * map.tiles()[1] * register();
    map.way == Way::Unit
        && channels.into_iter().all(|channels| CHANNELS.contains(&channels))
        && row <= ROW
        && fills(samples)
}

/// Whether all of a sample's planes can be turned round before any is written.
pub(super) fn reads_first(sizes: &Sizes, map: &Map) -> bool {
    sizes.channels[0] / sizes.groups * pixels(map, map.tiles()[0]) * register() <= BAND
}

/// Pixels of as many rows of tiles, with what they reach beyond.
fn pixels(map: &Map, rows: usize) -> usize {
    (rows * TILE + 2) * (map.tiles()[1] * TILE + 2)
}

/// Whether so many samples fill registers.
fn fills(samples: usize) -> bool {
    let lanes = register() / size_of::<f32>();
    lanes > 1 && (samples.is_multiple_of(lanes) || samples > (REGISTERS - 1) * lanes)
}

/// Bytes of a register.
fn register() -> usize {
    struct Bytes;
    impl WithSimd for Bytes {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            size_of::<S::f32s>()
        }
    }
    instructions::dispatch(Bytes)
}
