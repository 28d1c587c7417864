//! 3x3 convolution of stride 1 with 16 products for every 2x2 pixels instead of 36.
//!
//! With `d` the 4x4 pixels that a tile of 2x2 outputs reads, and `g` the 3x3 weights:
//! ```text
//! y = A^T [(G g G^T) . (B^T d B)] A        . element by element, summed over input channels
//! ```
//! Each of the 16 elements is a matrix product over channels, done by the same tile as the plain convolution. In `f32` the
//! result is off by about twice the rounding of the plain sum.
//!
//! Source: Lavin & Gray, *Fast algorithms for convolutional neural networks* (2016), F(2x2, 3x3).

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use super::outer::{Sizes, Term};
use super::pack::{Block, PANEL, Planes};
use super::product::{self, PanelRow};
use super::shape::{Convolution, Grid, Tap};
use crate::{Real, instructions};

/// Elements of a transformed tile.
const POINTS: usize = 16;

/// Panels of tiles transformed at a time: with 64 channels in and out, 800 KB in `f32`.
const BLOCK: usize = 2;

/// Channels on either side from which the transforms cost less than the products they save.
const LEAST_CHANNELS: usize = 48;

/// The map of a 3x3 convolution of stride 1: a window that starts at `i - padding`, perhaps with the weights turned round.
pub(crate) struct Map {
    /// Height and width of a source plane and of a target plane.
    source: [usize; 2],
    target: [usize; 2],
    padding: isize,
    /// The input's cotangent: weight `[2 - i, 2 - j]` stands at `[i, j]`.
    turned: bool,
}

/// Whether this is the faster way.
pub(crate) fn is_faster(kernel: [usize; 2], stride: usize, sizes: &Sizes) -> bool {
    let fewest = sizes.channels.map(|channels| channels / sizes.groups).into_iter().min();
    kernel == [3, 3] && stride == 1 && fewest >= Some(LEAST_CHANNELS)
}

impl Map {
    /// `y = x * w`.
    pub(crate) fn forward(convolution: &Convolution) -> Self {
        let padding = convolution.padding as isize;
        Self { source: convolution.size, target: convolution.output(), padding, turned: false }
    }

    /// `x_bar = y_bar *^T w`: a convolution of `y_bar` with the weights turned round.
    pub(crate) fn transposed(convolution: &Convolution) -> Self {
        let padding = 2 - convolution.padding as isize;
        Self { source: convolution.output(), target: convolution.size, padding, turned: true }
    }

    /// Tiles of 2x2 target pixels, each reading 4x4 source pixels.
    fn grid(&self) -> Grid {
        let tap = |index: usize| {
            let offset = [index / 4, index % 4].map(|position| position as isize - self.padding);
            Tap { offset, index }
        };
        let size = self.target.map(|pixels| pixels.div_ceil(2));
        let (source, target) = (self.source, self.target);
        Grid { source, size, step: 2, taps: (0..POINTS).map(tap).collect(), target, first: [0, 0], spacing: 2 }
    }
}

/// Writes the sum of terms to all of `target`.
pub(crate) fn sum<T: Real>(sizes: &Sizes, map: &Map, terms: &[Term<'_, T>], target: &mut [MaybeUninit<T>]) {
    instructions::dispatch(Sum { sizes, map, terms, target });
}

struct Sum<'a, T> {
    sizes: &'a Sizes,
    map: &'a Map,
    terms: &'a [Term<'a, T>],
    target: &'a mut [MaybeUninit<T>],
}

impl<T: Real> WithSimd for Sum<'_, T> {
    type Output = ();

    fn with_simd<S: Simd>(self, _: S) {
        match product::rows::<S>() {
            8 => self.on_tiles_of::<S, 8>(),
            _ => self.on_tiles_of::<S, 4>(),
        }
    }
}

impl<T: Real> Sum<'_, T> {
    fn on_tiles_of<S: Simd, const M: usize>(self) {
        let Self { sizes, map, terms, target } = self;
        let grid = map.grid();
        let width = PANEL * size_of::<T::Vector<S>>() / size_of::<T>();
        let at_once = PANEL * (BLOCK * width / (PANEL * grid.pixels())).max(1);
        let sample = sizes.channels[1] * map.target[0] * map.target[1];
        for group in 0..sizes.groups {
            let weights: Vec<[T; M]> = transformed_weights(sizes, terms, group, map.turned);
            target.par_chunks_mut(at_once * sample).enumerate().for_each(|(index, target)| {
                let job = Job { sizes, grid: &grid, terms, weights: &weights, group, first: index * at_once };
                instructions::dispatch(Samples { job, target });
            });
        }
    }
}

/// `G g G^T` of one group, `[out / M][point][term, in][M]`, zeros beyond the last channel.
fn transformed_weights<T: Real, const M: usize>(
    sizes: &Sizes,
    terms: &[Term<'_, T>],
    group: usize,
    turned: bool,
) -> Vec<[T; M]> {
    let [input, output] = sizes.channels.map(|channels| channels / sizes.groups);
    let depth = terms.len() * input;
    let mut transformed = vec![[T::default(); M]; output.div_ceil(M) * POINTS * depth];
    transformed.par_chunks_mut(POINTS * depth).enumerate().for_each(|(block, transformed)| {
        instructions::vectorised(
            #[inline(always)]
            || {
                for (index, (term, channel)) in channels_of(terms, input).enumerate() {
                    for (row, out) in (block * M..output.min((block + 1) * M)).enumerate() {
                        let start = group * term.strides[0] + out * term.strides[1];
                        let weights = &term.weight[start + channel * term.strides[2]..];
                        for (point, value) in transform_weights(weights, turned).into_iter().enumerate() {
                            transformed[point * depth + index][row] = value;
                        }
                    }
                }
            },
        );
    });
    transformed
}

/// `G g G^T` of one window.
#[inline(always)]
fn transform_weights<T: Real>(weights: &[T], turned: bool) -> [T; POINTS] {
    let half = T::of_f64(0.5);
    let expand = |[a, b, c]: [T; 3]| {
        let (even, odd) = ((a + c) * half, b * half);
        [a, even + odd, even - odd, c]
    };
    let g = |tap: usize| weights[if turned { 8 - tap } else { tap }];
    let columns = [0, 1, 2].map(|column| expand([g(column), g(3 + column), g(6 + column)]));
    let mut points = [T::default(); POINTS];
    for (row, points) in points.chunks_exact_mut(4).enumerate() {
        points.copy_from_slice(&expand([columns[0][row], columns[1][row], columns[2][row]]));
    }
    points
}

/// Every channel of every term: the terms' products are one, with as many channels as all terms together.
fn channels_of<'a, T>(terms: &'a [Term<'a, T>], input: usize) -> impl Iterator<Item = (&'a Term<'a, T>, usize)> {
    terms.iter().flat_map(move |term| (0..input).map(move |channel| (term, channel)))
}

/// What one thread works from.
struct Job<'a, T, const M: usize> {
    sizes: &'a Sizes,
    grid: &'a Grid,
    terms: &'a [Term<'a, T>],
    weights: &'a [[T; M]],
    group: usize,
    first: usize,
}

/// One thread's samples.
struct Samples<'a, T, const M: usize> {
    job: Job<'a, T, M>,
    target: &'a mut [MaybeUninit<T>],
}

impl<T: Real, const M: usize> WithSimd for Samples<'_, T, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { job, target } = self;
        let Job { sizes, grid, .. } = job;
        let [input, output] = sizes.channels.map(|channels| channels / sizes.groups);
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let width = PANEL * lanes;
        let samples = target.len() / (sizes.channels[1] * grid.target[0] * grid.target[1]);
        let tiles = samples * grid.pixels();
        let zero = [T::splat(simd, T::default()); PANEL];
        let depth = job.terms.len() * input;
        let mut pixels = vec![zero; POINTS * BLOCK * depth];
        let mut packed = [zero; POINTS * BLOCK];
        let mut scratch = Vec::new();
        let start = job.first * grid.pixels();
        for from in (0..tiles).step_by(BLOCK * width) {
            let to = (from + BLOCK * width).min(tiles);
            let block = Block::new(grid, start + from..start + to, lanes);
            for (index, (term, channel)) in channels_of(job.terms, input).enumerate() {
                let of_group = job.group * input + channel;
                let planes = Planes { values: term.input, channels: sizes.channels[0], range: of_group..of_group + 1 };
                let rows = bytemuck::cast_slice_mut(packed[..block.panels * POINTS].as_flattened_mut());
                block.pack(grid, &planes, &mut scratch, rows, POINTS);
                for (panel, rows) in packed.chunks_exact(POINTS).take(block.panels).enumerate() {
                    transform_pixels::<T, S>(simd, rows, &mut pixels[panel * depth + index..], BLOCK * depth);
                }
            }
            let runs = block.runs(grid, from..to);
            for (index, weights) in job.weights.chunks_exact(POINTS * depth).enumerate() {
                let mut sums = [[[zero; M]; BLOCK]; POINTS];
                let points = weights.chunks_exact(depth).zip(pixels.chunks_exact(BLOCK * depth));
                for ((weights, pixels), sums) in points.zip(&mut sums) {
                    for (pixels, sums) in pixels.chunks_exact(depth).zip(sums).take(block.panels) {
                        product::outer::<T, S, M>(simd, weights, pixels, sums);
                    }
                }
                for row in 0..M.min(output - index * M) {
                    let channel = job.group * output + index * M + row;
                    store::<T, S, M>(simd, &job, (channel, row), &sums, (&runs, block.run()), target);
                }
            }
        }
    }
}

/// `B^T d B` of one panel: `rows` holds the 16 pixels of its tiles, point `p` goes to `to[p distance]`.
#[inline(always)]
fn transform_pixels<T: Real, S: Simd>(simd: S, rows: &[PanelRow<T, S>], to: &mut [PanelRow<T, S>], distance: usize) {
    let rows: &[PanelRow<T, S>; POINTS] = rows.try_into().expect("a panel holds 16 rows");
    for vector in 0..PANEL {
        let mut d = [[T::splat(simd, T::default()); 4]; 4];
        for j in 0..4 {
            let [a, b, c, e] = [rows[j][vector], rows[4 + j][vector], rows[8 + j][vector], rows[12 + j][vector]];
            (d[0][j], d[1][j]) = (T::minus(simd, a, c), T::plus(simd, b, c));
            (d[2][j], d[3][j]) = (T::minus(simd, c, b), T::minus(simd, b, e));
        }
        for (row, [a, b, c, e]) in d.into_iter().enumerate() {
            let point = 4 * row;
            to[point * distance][vector] = T::minus(simd, a, c);
            to[(point + 1) * distance][vector] = T::plus(simd, b, c);
            to[(point + 2) * distance][vector] = T::minus(simd, c, b);
            to[(point + 3) * distance][vector] = T::minus(simd, b, e);
        }
    }
}

/// `A^T m A` of one channel's tiles, put to its pixels.
#[inline(always)]
fn store<T: Real, S: Simd, const M: usize>(
    simd: S,
    job: &Job<'_, T, M>,
    (channel, row): (usize, usize),
    sums: &[[[PanelRow<T, S>; M]; BLOCK]; POINTS],
    (runs, run): (&[[usize; 3]], usize),
    target: &mut [MaybeUninit<T>],
) {
    let [height, width] = job.grid.target;
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let per_panel = PANEL * lanes / run;
    for (panel, runs) in runs.chunks(per_panel).enumerate() {
        let mut outputs = [[[T::splat(simd, T::default()); PANEL]; 2]; 2];
        for vector in 0..PANEL {
            let mut m = [[T::splat(simd, T::default()); 2]; 4];
            for (i, m) in m.iter_mut().enumerate() {
                let at = |j: usize| sums[4 * i + j][panel][row][vector];
                let [a, b, c, e] = [at(0), at(1), at(2), at(3)];
                m[0] = T::plus(simd, T::plus(simd, a, b), c);
                m[1] = T::minus(simd, T::minus(simd, b, c), e);
            }
            for j in 0..2 {
                outputs[0][j][vector] = T::plus(simd, T::plus(simd, m[0][j], m[1][j]), m[2][j]);
                outputs[1][j][vector] = T::minus(simd, T::minus(simd, m[1][j], m[2][j]), m[3][j]);
            }
        }
        for (line, outputs) in outputs.iter().enumerate() {
            let even: &[T] = bytemuck::cast_slice(&outputs[0]);
            let odd: &[T] = bytemuck::cast_slice(&outputs[1]);
            let places = runs.iter().map(|&[sample, row, column]| {
                let in_plane = 2 * row + line < height;
                let start = ((sample * job.sizes.channels[1] + channel) * height + 2 * row + line) * width + 2 * column;
                in_plane.then_some(start..start + (width - 2 * column).min(2 * run))
            });
            match run {
                16 => put::<T, 16>(even, odd, places, target),
                8 => put::<T, 8>(even, odd, places, target),
                4 => put::<T, 4>(even, odd, places, target),
                2 => put::<T, 2>(even, odd, places, target),
                _ => put::<T, 1>(even, odd, places, target),
            }
        }
    }
}

/// Puts runs of tiles' lines, `even[0], odd[0], even[1], ...`, to their places, as far as there is room.
#[inline(always)]
fn put<T: Real, const RUN: usize>(
    even: &[T],
    odd: &[T],
    places: impl Iterator<Item = Option<Range<usize>>>,
    target: &mut [MaybeUninit<T>],
) {
    let pairs = even.as_chunks::<RUN>().0.iter().zip(odd.as_chunks::<RUN>().0);
    for (place, (even, odd)) in places.zip(pairs) {
        let Some(place) = place else { continue };
        let mut line = [[T::default(); 2]; RUN];
        for tile in 0..RUN {
            line[tile] = [even[tile], odd[tile]];
        }
        let (to, line) = (&mut target[place], line.as_flattened());
        // With its length known to the compiler, a whole run is copied without a call.
        match to.len() == 2 * RUN {
            true => to[..2 * RUN].write_copy_of_slice(line),
            false => to.write_copy_of_slice(&line[..to.len()]),
        };
    }
}
