//! Sums of convolutions: the forward map, the tangent, and the input's cotangent.

use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};

use super::band::{Turned, band};
use super::{BAND, BLOCK, pixels, rows};
use crate::convolution::outer::{Sizes, Term};
use crate::convolution::target::Target;
use crate::convolution::turn::with_lanes;
use crate::convolution::winograd::grid::Grid;
use crate::convolution::winograd::transform::{Outputs, POINTS, Pixels, SIDE, Square, TILE, Transform, Weights, apart};
use crate::convolution::winograd::{Map, moments};
use crate::memory::{self, Aligned, Places};
use crate::parallel::{self, Own};
use crate::source::Input;
use crate::{Real, instructions};

/// Tiles of a tile of the product.
const COLUMNS: usize = 2;

/// Writes the sum of terms to all of `target`.
///
/// # Safety
/// As `winograd::sum`.
pub(in crate::convolution::winograd) unsafe fn sum<T: Real>(
    sizes: &Sizes,
    map: &Map,
    terms: &[Term<'_, T>],
    target: Target<'_, T>,
) {
    instructions::dispatch(Sum { sizes, map, terms, target });
}

struct Sum<'a, T> {
    sizes: &'a Sizes,
    map: &'a Map,
    terms: &'a [Term<'a, T>],
    target: Target<'a, T>,
}

impl<T: Real> WithSimd for Sum<'_, T> {
    type Output = ();

    fn with_simd<S: Simd>(self, _: S) {
        let Self { sizes, map, terms, mut target } = self;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let sample = sizes.channels[1] * map.target[0] * map.target[1];
        let is_in_place = terms.iter().any(|term| matches!(term.input, Input::Target(_)));
        let bytes = sizes.channels[0] / sizes.groups * terms.len() * size_of::<T::Vector<S>>();
        let bands = bands(map, if is_in_place { 0 } else { bytes });
        for group in 0..sizes.groups {
            let weights = match rows::<S>() {
                8 => instructions::dispatch(Transformed::<T, 8> { sizes, map, terms, group }),
                _ => instructions::dispatch(Transformed::<T, 4> { sizes, map, terms, group }),
            };
            let job = Job { sizes, map, terms, weights: &weights, group, bands: &bands };
            let parts = target.parts(lanes, (sample, sizes.channels[1]));
            parallel::for_each_with(parts, |buffers: &mut Buffers<T>, (index, target)| {
                let first = index * lanes;
                match rows::<S>() {
                    8 => instructions::dispatch(Samples::<T, 8> { job: &job, first, target, buffers }),
                    _ => instructions::dispatch(Samples::<T, 4> { job: &job, first, target, buffers }),
                }
            });
        }
    }
}

/// Rows of tiles whose turned planes, at `bytes` a pixel, stay in cache; all of them at 0.
fn bands(map: &Map, bytes: usize) -> Vec<(Range<usize>, Grid)> {
    let [rows, _] = map.tiles();
    let fits = |count: &usize| pixels(map, *count) * bytes <= BAND;
    let at_once = rows.div_ceil(rows.div_ceil((1..=rows).rev().find(fits).unwrap_or(1)));
    let ranges = (0..rows).step_by(at_once).map(|first| first..rows.min(first + at_once));
    ranges.map(|range| (range.clone(), band(map, range))).collect()
}

/// `G g G^T` of all weights of a group, as `[out / M][point][term, in][M]`, zeros beyond the last channel.
struct Transformed<'a, T, const M: usize> {
    sizes: &'a Sizes,
    map: &'a Map,
    terms: &'a [Term<'a, T>],
    group: usize,
}

impl<T: Real, const M: usize> WithSimd for Transformed<'_, T, M> {
    type Output = Aligned<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Aligned<T> {
        let Self { sizes, map, terms, group } = self;
        let [input, output] = sizes.channels.map(|channels| channels / sizes.groups);
        let (lanes, depth) = (size_of::<T::Vector<S>>() / size_of::<T>(), terms.len() * input);
        let mut weights = memory::aligned(output.div_ceil(M) * POINTS * depth * M);
        let (tiles, _) = weights.as_chunks_mut::<M>();
        for k in 0..depth {
            let term = &terms[k / input];
            for first in (0..output).step_by(lanes) {
                let outputs = first..output.min(first + lanes);
                let window = map.window::<T, S>(simd, term.weight, (group, k % input), outputs);
                let mut points: Square<T, S, SIDE> = [[T::splat(simd, T::default()); SIDE]; SIDE];
                Weights::apply::<T, S>(
                    simd,
                    (window.as_flattened(), [3, 1]),
                    (Places::over(points.as_flattened_mut()), [SIDE, 1]),
                );
                for (point, vector) in points.as_flattened().iter().enumerate() {
                    let vector = std::slice::from_ref(vector);
                    for (lane, &value) in bytemuck::cast_slice::<_, T>(vector).iter().enumerate() {
                        let out = first + lane;
                        if out < output {
                            tiles[(out / M * POINTS + point) * depth + k][out % M] = value;
                        }
                    }
                }
            }
        }
        weights
    }
}

/// What all threads work from.
struct Job<'a, T> {
    sizes: &'a Sizes,
    map: &'a Map,
    terms: &'a [Term<'a, T>],
    /// [`Transformed`].
    weights: &'a [T],
    group: usize,
    bands: &'a [(Range<usize>, Grid)],
}

impl<T: Real> Job<'_, T> {
    /// Channels of the group, those of all terms and those of the target.
    fn channels(&self) -> [usize; 2] {
        let [input, output] = self.sizes.channels.map(|channels| channels / self.sizes.groups);
        [input * self.terms.len(), output]
    }

    /// Rows of tiles at a time, if a register takes `bytes`.
    fn rows_at_once<const M: usize>(&self, bytes: usize) -> usize {
        let [rows, columns] = self.map.tiles();
        let row = POINTS * (self.channels()[0] + M) * columns * bytes;
        rows.div_ceil(rows.div_ceil((BLOCK / row).max(1)))
    }
}

/// One thread's memory.
struct Buffers<T> {
    /// One a term.
    inputs: Vec<Turned<T>>,
    /// `[point][term, in][tile]` registers, and one more a point: else the points' places share a few cache sets.
    pixels: Aligned<T>,
    /// Those of a panel of output channels: `[point][out][tile]` registers, and one more a point.
    products: Aligned<T>,
    /// The pixels of one channel of some rows of tiles.
    outputs: Aligned<T>,
    /// `[out]`, those of [`moments`].
    sums: Aligned<T>,
}

impl<T: Real> Default for Buffers<T> {
    fn default() -> Self {
        let [pixels, products, outputs, sums] = [(); 4].map(|()| memory::aligned(0));
        Self { inputs: Vec::new(), pixels, products, outputs, sums }
    }
}

impl<T: Real> Own for Buffers<T> {
    fn bytes(&self) -> usize {
        let turned: usize = self.inputs.iter().map(Turned::bytes).sum();
        turned + memory::bytes([&self.pixels, &self.products, &self.outputs, &self.sums])
    }
}

/// As many samples as a register has lanes, at most.
struct Samples<'a, T, const M: usize> {
    job: &'a Job<'a, T>,
    first: usize,
    target: Target<'a, T>,
    buffers: &'a mut Buffers<T>,
}

impl<T: Real, const M: usize> WithSimd for Samples<'_, T, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let at_once = self.job.rows_at_once::<M>(size_of::<T::Vector<S>>());
        for (rows, band) in self.job.bands {
            self.turn::<S>(simd, band);
            for first in rows.clone().step_by(at_once) {
                let block = first..rows.end.min(first + at_once);
                let tiles = block.len() * self.job.map.tiles()[1];
                self.transform_pixels::<S>(simd, band, (first - rows.start) * TILE, tiles);
                for panel in 0..self.job.channels()[1].div_ceil(M) {
                    self.multiply::<S>(simd, panel, tiles);
                    self.transform_products::<S>(simd, panel, block.clone(), tiles);
                }
            }
        }
        self.put_moments::<S>();
    }
}

impl<T: Real, const M: usize> Samples<'_, T, M> {
    fn samples(&self) -> usize {
        self.target.values.len() / (self.job.sizes.channels[1] * self.job.map.target[0] * self.job.map.target[1])
    }

    /// Reads every term's channels.
    #[inline(always)]
    fn turn<S: Simd>(&mut self, simd: S, band: &Grid) {
        let (Job { sizes, group, terms, .. }, samples) = (self.job, self.samples());
        let input = sizes.channels[0] / sizes.groups;
        let inputs = &mut self.buffers.inputs;
        inputs.resize_with(inputs.len().max(terms.len()), Turned::new);
        for (term, turned) in terms.iter().zip(inputs) {
            // SAFETY: the caller of `sum` promises that an input in the target has been written, and nothing of these samples has been
            // overwritten: there is one band only.
            let (source, first) = unsafe { term.input.source((self.target.values, self.first), sizes.channels[0]) };
            let channels = (group * input..(group + 1) * input, sizes.channels[0]);
            turned.read::<S>(simd, band, source, first..first + samples, channels);
        }
    }

    /// `B^T d B` of some rows of tiles, from a row of the band on.
    #[inline(always)]
    fn transform_pixels<S: Simd>(&mut self, simd: S, band: &Grid, row: usize, tiles: usize) {
        let Buffers { inputs, pixels, .. } = &mut *self.buffers;
        let (columns, [depth, _]) = (self.job.map.tiles()[1], self.job.channels());
        let distance = depth * tiles + 1;
        let pixels = registers_mut::<T, S>(pixels, POINTS * distance);
        let inputs = inputs.iter().take(self.job.terms.len());
        let channels = inputs.flat_map(|input| input.pixels::<S>().chunks_exact(band.pixels()));
        for (k, channel) in channels.enumerate() {
            for tile in 0..tiles {
                let start = (row + tile / columns * TILE) * band.size[1] + tile % columns * TILE;
                let points = (Places::over(&mut pixels[k * tiles + tile..]), apart(distance));
                Pixels::apply::<T, S>(simd, (&channel[start..], [band.size[1], 1]), points);
            }
        }
    }

    /// The products over channels, for a panel of output channels.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, simd: S, panel: usize, tiles: usize) {
        let Buffers { pixels, products, .. } = &mut *self.buffers;
        let depth = self.job.channels()[0];
        let [from, to] = [depth, M].map(|rows| rows * tiles + 1);
        let (pixels, products) = (registers::<T, S>(pixels), registers_mut::<T, S>(products, POINTS * to));
        let (weights, _) = self.job.weights.as_chunks::<M>();
        let points = pixels.chunks_exact(from).zip(products.chunks_exact_mut(to));
        for (point, (pixels, products)) in points.enumerate() {
            let weights = &weights[(panel * POINTS + point) * depth..][..depth];
            let whole = tiles - tiles % COLUMNS;
            for tile in (0..whole).step_by(COLUMNS) {
                multiply_tile::<T, S, M, COLUMNS>(simd, weights, pixels, products, (tile, tiles));
            }
            for tile in whole..tiles {
                multiply_tile::<T, S, M, 1>(simd, weights, pixels, products, (tile, tiles));
            }
        }
    }

    /// `A^T m A` of every tile and channel of a panel, put to its pixels.
    #[inline(always)]
    fn transform_products<S: Simd>(&mut self, simd: S, panel: usize, block: Range<usize>, tiles: usize) {
        let Job { sizes, map, group, .. } = self.job;
        let Buffers { products, outputs, sums, .. } = &mut *self.buffers;
        let (columns, [_, output]) = (map.tiles()[1], self.job.channels());
        let [height, width] = map.target;
        let distance = M * tiles + 1;
        let rows = block.start * TILE..height.min(block.end * TILE);
        let (products, outputs) = (registers::<T, S>(products), registers_mut::<T, S>(outputs, rows.len() * width));
        let (sums, _) = registers_mut::<T, S>(sums, output * moments::REGISTERS).as_chunks_mut();
        for (index, out) in (panel * M..output.min((panel + 1) * M)).enumerate() {
            for tile in 0..tiles {
                let points = (&products[index * tiles + tile..], apart(distance));
                let (row, column) = (tile / columns * TILE, tile % columns * TILE);
                if column + TILE <= width && row + TILE <= rows.len() {
                    let outputs = Places::over(&mut outputs[row * width + column..]);
                    Outputs::apply::<T, S>(simd, points, (outputs, [width, 1]));
                    continue;
                }
                // Over the edge: what lies beyond is thrown away.
                let mut square: Square<T, S, TILE> = [[T::splat(simd, T::default()); TILE]; TILE];
                Outputs::apply::<T, S>(simd, points, (Places::over(square.as_flattened_mut()), [TILE, 1]));
                for (line, outputs) in square.iter().zip(outputs.chunks_exact_mut(width).skip(row)) {
                    outputs[column..].iter_mut().zip(line).for_each(|(pixel, &value)| *pixel = value);
                }
            }
            if !self.target.moments.is_empty() {
                moments::add::<T, S>(simd, &mut sums[out], outputs, rows.start == 0);
            }
            let first = (group * output + out) * height * width + rows.start * width;
            // They lie one after the other, as in a plane of one row.
            let grid = Grid { plane: [1, outputs.len()], first: [0, 0], size: [1, outputs.len()] };
            let samples = (&mut self.target.values[first..], sizes.channels[1] * height * width);
            let outputs: &[T] = bytemuck::cast_slice(outputs);
            with_lanes!(T, S, LANES => grid.write::<T, S, LANES>(simd, outputs.as_chunks().0, samples));
        }
    }

    /// The moments of all planes, if anybody wants them.
    #[inline(always)]
    fn put_moments<S: Simd>(&mut self) {
        if self.target.moments.is_empty() {
            return;
        }
        let Job { sizes, map, group, .. } = self.job;
        let (sums, _) = registers::<T, S>(&self.buffers.sums).as_chunks();
        let output = self.job.channels()[1];
        for (out, sums) in sums.iter().take(output).enumerate() {
            let moments = &mut self.target.moments[group * output + out..];
            moments::put::<T, S>(sums, map.target[0] * map.target[1], (moments, sizes.channels[1]));
        }
    }
}

/// An array's registers.
#[inline(always)]
fn registers<T: Real, S: Simd>(values: &[T]) -> &[T::Vector<S>] {
    bytemuck::cast_slice(values)
}

/// So many of an array's registers.
#[inline(always)]
fn registers_mut<T: Real, S: Simd>(values: &mut Aligned<T>, length: usize) -> &mut [T::Vector<S>] {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    bytemuck::cast_slice_mut(memory::first(values, length * lanes))
}

/// `products[m][tile p] = sum_k weights[k][m] pixels[k][tile p]`, with `tiles` a row.
#[inline(always)]
fn multiply_tile<T: Real, S: Simd, const M: usize, const P: usize>(
    simd: S,
    weights: &[[T; M]],
    pixels: &[T::Vector<S>],
    products: &mut [T::Vector<S>],
    (tile, tiles): (usize, usize),
) {
    let mut sums = [[T::splat(simd, T::default()); P]; M];
    // Once for all rows: to divide for their number, or to compare at each of them, would take as long as a few of their products.
    let has_rows = weights.len().checked_mul(tiles).is_some_and(|length| length <= pixels.len());
    assert!(has_rows && tile + P <= tiles, "{} values for {} rows of {tiles} tiles", pixels.len(), weights.len());
    for (k, weights) in weights.iter().enumerate() {
        // SAFETY: row `k` is there, and has the tiles.
        let pixels = unsafe { pixels.get_unchecked(k * tiles + tile..k * tiles + tile + P) };
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = T::splat(simd, weight);
            for (sum, &pixel) in sums.iter_mut().zip(pixels) {
                *sum = T::multiply_add(simd, weight, pixel, *sum);
            }
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        if let Some(products) = products[m * tiles + tile..].first_chunk_mut::<P>() {
            *products = *sums;
        }
    }
}
