//! The weight's cotangent: `w_bar[out, in, tap] = sum over samples and pixels of y_bar[out, pixel] x[in, pixel + tap]`.
//!
//! Both operands are laid out pixels side by side, so that no transposition is needed: a lane adds up its own pixels, and
//! the lanes are summed at the very end.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use super::pack::{Block, Planes, copy_short};
use super::product::{self, Lanes, PanelRow, RIGHT};
use super::shape::{Convolution, Grid};
use crate::account::{self, Role};
use crate::memory::{self, Aligned};
use crate::source::Source;
use crate::{Real, instructions};

/// Rows of `x` laid out at a time, about.
const DEPTH: usize = 144;

/// Panels laid out at a time, at most: six rows of `f32` at 48 a panel are 18 KB and stay in the first-level cache, [`DEPTH`]
/// rows and [`OUTPUTS`] rows are 830 KB and stay in a second of a megabyte.
const BLOCK: usize = 16;

/// Output channels that are gone through before the next rows of `x`; a multiple of [`product::left`].
const OUTPUTS: usize = 128;

/// Tasks that a product is cut into at least, if it has the samples; fixed, so that sums do not depend on the threads.
const TASKS: usize = 16;

/// Bytes of `y_bar` that several tasks go through before the next: they stay in the last-level cache.
const SEGMENT: usize = 4 << 20;

/// `w_bar` `[out, in / groups, kh, kw]`, from `x` and `y_bar`.
pub(crate) fn weight_cotangent<T: Real>(convolution: &Convolution, x: Source<'_, T>, y_bar: &[T]) -> Vec<T> {
    let [input, output] = convolution.group();
    let taps = convolution.taps();
    let grid = convolution.forward_grid();
    let at_once = (DEPTH / taps).clamp(1, input);
    let parts = input.div_ceil(at_once) * convolution.groups;
    let segments = TASKS.div_ceil(parts).max(size_of_val(y_bar) / SEGMENT).clamp(1, convolution.samples.max(1));
    // Parts of one segment after each other: all but the first find its `y_bar` in cache.
    let tasks: Vec<_> = (0..parts * segments).map(|task| (task % parts, task / parts)).collect();
    let sum = |(part, segment): (usize, usize)| {
        let per_group = input.div_ceil(at_once);
        let (group, first) = (part / per_group, part % per_group * at_once);
        let samples = convolution.samples * segment / segments..convolution.samples * (segment + 1) / segments;
        let channels = group * input + first..group * input + input.min(first + at_once);
        instructions::dispatch(Part { convolution, grid: &grid, x, y_bar, group, channels, samples })
    };
    let sums: Vec<Vec<T>> = account::within(Role::Scratch, || tasks.into_par_iter().map(sum).collect());
    let mut w_bar = vec![T::default(); convolution.channels[1] * input * taps];
    for part in 0..parts {
        let (group, first) = (part / input.div_ceil(at_once), part % input.div_ceil(at_once) * at_once);
        let depth = at_once.min(input - first) * taps;
        for out in 0..output {
            let row = &mut w_bar[((group * output + out) * input + first) * taps..][..depth];
            for sums in sums.iter().skip(part).step_by(parts) {
                row.iter_mut().zip(&sums[out * depth..]).for_each(|(a, &b)| *a = T::of_f64(a.to_f64() + b.to_f64()));
            }
        }
    }
    w_bar
}

/// Some input channels of a group against all its output channels, over some samples.
struct Part<'a, T> {
    convolution: &'a Convolution,
    grid: &'a Grid,
    x: Source<'a, T>,
    y_bar: &'a [T],
    group: usize,
    channels: Range<usize>,
    samples: Range<usize>,
}

impl<T: Real> WithSimd for Part<'_, T> {
    /// `[out][in, tap]`.
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<T> {
        match (product::left::<S>(), product::panel::<S>()) {
            (4, 3) => self.sums::<S, 4, 3>(simd),
            _ => self.sums::<S, 2, 2>(simd),
        }
    }
}

impl<T: Real> Part<'_, T> {
    #[inline(always)]
    fn sums<S: Simd, const L: usize, const P: usize>(self, simd: S) -> Vec<T> {
        let output = self.convolution.group()[1];
        let depth = self.channels.len() * self.grid.taps.len();
        let outputs = self.group * output..(self.group + 1) * output;
        let y_planes = Planes { values: self.y_bar.into(), channels: self.convolution.channels[1], range: outputs };
        let x_planes = Planes { values: self.x, channels: self.convolution.channels[0], range: self.channels.clone() };
        // Tiles beyond the last row multiply zeros and are thrown away.
        let mut left = Operand::<T, S, L, P>::new(output);
        let mut right = Operand::<T, S, RIGHT, P>::new(depth);
        let (tiles_left, tiles_right) = (output.div_ceil(L), depth.div_ceil(RIGHT));
        let tile = RIGHT * L * size_of::<T::Vector<S>>() / size_of::<T>();
        let mut lanes = memory::aligned::<T>(tiles_left * tiles_right * tile);
        let lanes: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(&mut lanes);
        let (lanes, _): (&mut [Lanes<T, S, L>], _) = lanes.as_chunks_mut().0.as_chunks_mut();
        let at_once = BLOCK * Operand::<T, S, RIGHT, P>::WIDTH;
        let pixels = self.samples.start * self.grid.pixels()..self.samples.end * self.grid.pixels();
        for from in pixels.clone().step_by(at_once) {
            let range = from..(from + at_once).min(pixels.end);
            left.pack_channels(self.grid.pixels(), &y_planes, range.clone());
            right.pack_taps(self.grid, &x_planes, range);
            for first in (0..tiles_left).step_by(OUTPUTS / L) {
                for column in 0..tiles_right {
                    for row in first..tiles_left.min(first + OUTPUTS / L) {
                        let sums = &mut lanes[row * tiles_right + column];
                        product::inner::<T, S, L, P>(simd, left.tile(row), right.tile(column), sums);
                    }
                }
            }
        }
        let mut sums = vec![T::default(); output * depth];
        for (index, sum) in sums.iter_mut().enumerate() {
            let (row, column) = (index / depth, index % depth);
            *sum = T::sum(simd, lanes[row / L * tiles_right + column / RIGHT][column % RIGHT][row % L]);
        }
        sums
    }
}

/// One side of the product: tiles of `ROWS` rows, panel by panel.
struct Operand<T: Real, S: Simd, const ROWS: usize, const P: usize> {
    tiles: usize,
    registers: PhantomData<PanelRow<T, S, P>>,
    packed: Aligned<T>,
    scratch: Vec<T>,
}

impl<T: Real, S: Simd, const ROWS: usize, const P: usize> Operand<T, S, ROWS, P> {
    const WIDTH: usize = P * size_of::<T::Vector<S>>() / size_of::<T>();

    fn new(rows: usize) -> Self {
        Self { tiles: rows.div_ceil(ROWS), registers: PhantomData, packed: memory::aligned(0), scratch: Vec::new() }
    }

    /// Every tap of every channel.
    #[inline(always)]
    fn pack_taps(&mut self, grid: &Grid, planes: &Planes<'_, T>, pixels: Range<usize>) {
        let block = Block::new(grid, pixels, P, Self::WIDTH / P);
        memory::resize(&mut self.packed, block.panels * self.tiles * ROWS * Self::WIDTH);
        block.pack(grid, planes, &mut self.scratch, &mut self.packed, ROWS);
    }

    /// The channels themselves, with zeros after the last pixel.
    #[inline(always)]
    fn pack_channels(&mut self, per_sample: usize, planes: &Planes<'_, T>, pixels: Range<usize>) {
        let panels = pixels.len().div_ceil(Self::WIDTH);
        memory::resize(&mut self.packed, panels * self.tiles * ROWS * Self::WIDTH);
        let rows = &mut self.packed;
        for (index, channel) in planes.range.clone().enumerate() {
            for (panel, first) in pixels.clone().step_by(Self::WIDTH).enumerate() {
                let place = (index / ROWS * panels + panel) * ROWS + index % ROWS;
                let row = &mut rows[place * Self::WIDTH..][..Self::WIDTH];
                let (mut row, beyond) = row.split_at_mut(Self::WIDTH.min(pixels.end - first));
                beyond.fill(T::default());
                let mut at = first;
                while !row.is_empty() {
                    let (sample, from) = (at / per_sample, at % per_sample);
                    let (now, later) = row.split_at_mut(row.len().min(per_sample - from));
                    let place = sample * planes.channels + channel;
                    let plane = planes.values.planes(place..place + 1, per_sample);
                    copy_short(now, &plane[from..from + now.len()]);
                    at += now.len();
                    row = later;
                }
            }
        }
    }

    /// All panels of a tile.
    fn tile(&self, tile: usize) -> &[[PanelRow<T, S, P>; ROWS]] {
        let length = self.packed.len() / self.tiles;
        let registers: &[T::Vector<S>] = bytemuck::cast_slice(&self.packed[tile * length..][..length]);
        registers.as_chunks().0.as_chunks().0
    }
}
