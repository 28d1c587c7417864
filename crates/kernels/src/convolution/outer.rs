//! Sums of convolutions: the forward map, the tangent, and the input's cotangent.
//!
//! An implicit matrix product `y[out, pixel] = sum_k weight[out, k] x[k, pixel]`, `k = (in, tap)`. A few hundred rows of `x`
//! at a few hundred pixels are laid out in the second-level cache and used for every output channel; the matrix of all
//! windows never exists in memory.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use super::pack::{Block, Planes, write_short};
use super::product::{self, PanelRow};
use super::shape::{Convolution, Grid};
use crate::memory::{self, Aligned};
use crate::parallel::{self, Own};
use crate::source::{Input, Source};
use crate::{Real, instructions};

/// Rows of `x` laid out at a time, about: with [`PIXELS`] pixels they take 440 KB in `f32`.
const DEPTH: usize = 288;

/// Pixels laid out at a time, about.
const PIXELS: usize = 384;

/// Weights, and how they lie: that of a tap at `group strides[0] + out strides[1] + in strides[2] + tap`.
pub type Weight<'a, T> = (&'a [T], [usize; 3]);

/// One summand: `input * weight`.
pub struct Term<'a, T> {
    /// `[samples, in, h, w]`.
    pub input: Input<'a, T>,
    pub weight: Weight<'a, T>,
}

impl<'a, T: Real> Term<'a, T> {
    /// The input of a term that is not the target.
    ///
    /// # Panics
    /// If it is: only tiles can work in place.
    fn elsewhere(&self) -> Source<'a, T> {
        match self.input {
            Input::Own(source) => source,
            Input::Target(_) => panic!("a product of windows reads its input again after it has written"),
        }
    }
}

/// The sizes that all summands share.
pub struct Sizes {
    /// Channels of the source and of the target, all groups together.
    pub channels: [usize; 2],
    pub groups: usize,
}

impl Sizes {
    /// Those of the forward map.
    pub(super) fn of(convolution: &Convolution) -> Self {
        Self { channels: convolution.channels, groups: convolution.groups }
    }
}

/// Writes `sum of terms` to the pixels of `target` that `grid` stands for.
pub(crate) fn sum<T: Real>(sizes: &Sizes, grid: &Grid, terms: &[Term<'_, T>], target: &mut [MaybeUninit<T>]) {
    instructions::dispatch(Sum { sizes, grid, terms, target });
}

struct Sum<'a, T> {
    sizes: &'a Sizes,
    grid: &'a Grid,
    terms: &'a [Term<'a, T>],
    target: &'a mut [MaybeUninit<T>],
}

impl<T: Real> WithSimd for Sum<'_, T> {
    type Output = ();

    fn with_simd<S: Simd>(self, _: S) {
        let Self { sizes, grid, terms, target } = self;
        let rows = product::rows::<S>();
        let panel = product::panel::<S>();
        // With as many samples, or a multiple, a thread's pixels fill their panels without remainder.
        let at_once = panel * (PIXELS / (panel * grid.pixels())).max(1);
        let sample = sizes.channels[1] * grid.target[0] * grid.target[1];
        for group in 0..sizes.groups {
            let weights: Vec<Vec<T>> = terms.iter().map(|term| pack_weights(sizes, grid, term, group, rows)).collect();
            parallel::for_each_with(target.chunks_mut(at_once * sample), |buffers, (index, target)| {
                let job = Job { sizes, grid, terms, weights: &weights, group, first: index * at_once };
                match (rows, panel) {
                    (8, 3) => instructions::dispatch(Samples::<T, 8, 3> { job, target, buffers }),
                    _ => instructions::dispatch(Samples::<T, 6, 2> { job, target, buffers }),
                }
            });
        }
    }
}

/// The weights of one group as `[out / rows][in, tap][rows]`, zeros beyond the last channel.
fn pack_weights<T: Real>(sizes: &Sizes, grid: &Grid, term: &Term<'_, T>, group: usize, rows: usize) -> Vec<T> {
    let [input, output] = sizes.channels.map(|channels| channels / sizes.groups);
    let taps = grid.taps.len();
    let mut packed = vec![T::default(); output.div_ceil(rows) * rows * input * taps];
    packed.par_chunks_mut((rows * input * taps).max(1)).enumerate().for_each(|(block, packed)| {
        for (row, out) in (block * rows..output.min((block + 1) * rows)).enumerate() {
            let (weights, strides) = term.weight;
            let weights = &weights[group * strides[0] + out * strides[1]..];
            for channel in 0..input {
                for (tap, place) in grid.taps.iter().enumerate() {
                    packed[(channel * taps + tap) * rows + row] = weights[channel * strides[2] + place.index];
                }
            }
        }
    });
    packed
}

/// What one thread works from.
struct Job<'a, T> {
    sizes: &'a Sizes,
    grid: &'a Grid,
    terms: &'a [Term<'a, T>],
    weights: &'a [Vec<T>],
    group: usize,
    first: usize,
}

/// One thread's samples, with tiles of `M` output channels by `P` vectors.
struct Samples<'a, T, const M: usize, const P: usize> {
    job: Job<'a, T>,
    target: &'a mut [MaybeUninit<T>],
    buffers: &'a mut Buffers<T>,
}

impl<T: Real, const M: usize, const P: usize> WithSimd for Samples<'_, T, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { job, target, buffers } = self;
        let Job { sizes, grid, .. } = job;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let width = P * lanes;
        let output = sizes.channels[1] / sizes.groups;
        let samples = target.len() / (sizes.channels[1] * grid.target[0] * grid.target[1]);
        let pixels = samples * grid.pixels();
        let blocks = pixels.div_ceil(PIXELS.next_multiple_of(width)).max(1);
        let panels = pixels.div_ceil(width).div_ceil(blocks);
        memory::resize(&mut buffers.sums, output.div_ceil(M) * panels * M * width);
        let start = job.first * grid.pixels();
        for from in (0..pixels).step_by((panels * width).max(1)) {
            let to = (from + panels * width).min(pixels);
            let block = Block::new(grid, start + from..start + to, P, lanes);
            buffers.sums.fill(T::default());
            for (term, weights) in job.terms.iter().zip(job.weights) {
                add_term::<T, S, M, P>(simd, &job, &block, (term, weights), buffers, panels);
            }
            for (index, sums) in buffers.sums.chunks_exact(panels * M * width).enumerate() {
                let channels = job.group * output + index * M..job.group * output + output.min((index + 1) * M);
                store(&job, channels, from..to, sums.chunks_exact(M * width), width, target);
            }
        }
    }
}

/// One thread's memory.
struct Buffers<T> {
    scratch: Vec<T>,
    /// `[panel][in, tap][P]` registers.
    packed: Aligned<T>,
    /// `[out / M][panel][M][P]` registers.
    sums: Aligned<T>,
}

impl<T: Real> Default for Buffers<T> {
    fn default() -> Self {
        Self { scratch: Vec::new(), packed: memory::aligned(0), sums: memory::aligned(0) }
    }
}

impl<T: Real> Own for Buffers<T> {
    fn bytes(&self) -> usize {
        self.scratch.capacity() * size_of::<T>() + memory::bytes([&self.packed, &self.sums])
    }
}

#[inline(always)]
fn add_term<T: Real, S: Simd, const M: usize, const P: usize>(
    simd: S,
    job: &Job<'_, T>,
    block: &Block,
    (term, weights): (&Term<'_, T>, &[T]),
    Buffers { scratch, packed, sums }: &mut Buffers<T>,
    panels: usize,
) {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let sums: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(sums);
    let sums = sums.as_chunks_mut::<P>().0.as_chunks_mut::<M>().0;
    let input = job.sizes.channels[0] / job.sizes.groups;
    let taps = job.grid.taps.len();
    let (weights, _) = weights.as_chunks::<M>();
    let at_once = (DEPTH / taps).clamp(1, input);
    for first in (0..input).step_by(at_once) {
        let count = at_once.min(input - first);
        let depth = count * taps;
        let packed = memory::first(packed, block.panels * depth * P * lanes);
        let channels = job.group * input + first..job.group * input + first + count;
        let planes = Planes { values: term.elsewhere(), channels: job.sizes.channels[0], range: channels };
        block.pack(job.grid, &planes, scratch, packed, depth);
        let packed: &[T::Vector<S>] = bytemuck::cast_slice(packed);
        let (packed, _): (&[PanelRow<T, S, P>], _) = packed.as_chunks();
        for (weights, sums) in weights.chunks_exact(input * taps).zip(sums.chunks_exact_mut(panels)) {
            let weights = &weights[first * taps..][..depth];
            for (pixels, sums) in packed.chunks_exact(depth).zip(sums) {
                product::outer::<T, S, M, P>(simd, weights, pixels, sums);
            }
        }
    }
}

/// Copies the sums of some channels, tiles of `[panel][M]` rows, to the pixels they belong to.
#[inline(always)]
fn store<'a, T: Real>(
    job: &Job<'_, T>,
    channels: Range<usize>,
    pixels: Range<usize>,
    tiles: impl Iterator<Item = &'a [T]> + Clone,
    width: usize,
    target: &mut [MaybeUninit<T>],
) {
    let grid = job.grid;
    let (per_sample, plane) = (grid.pixels(), grid.target[0] * grid.target[1]);
    for (row, channel) in channels.enumerate() {
        for (tile, first) in tiles.clone().zip(pixels.clone().step_by(width)) {
            let mut values = &tile[row * width..][..width.min(pixels.end - first)];
            let mut at = first;
            while !values.is_empty() {
                let (sample, from) = (at / per_sample, at % per_sample);
                let (now, later) = values.split_at(values.len().min(per_sample - from));
                let target = &mut target[(sample * job.sizes.channels[1] + channel) * plane..][..plane];
                place(grid, from, now, target);
                (values, at) = (later, at + now.len());
            }
        }
    }
}

/// Writes consecutive grid pixels of one plane.
#[inline(always)]
fn place<T: Real>(grid: &Grid, from: usize, values: &[T], target: &mut [MaybeUninit<T>]) {
    if grid.is_dense() {
        write_short(&mut target[from..from + values.len()], values);
        return;
    }
    let mut values = values;
    let mut pixel = from;
    while !values.is_empty() {
        let (row, column) = (pixel / grid.size[1], pixel % grid.size[1]);
        let (now, later) = values.split_at(values.len().min(grid.size[1] - column));
        let start = (grid.first[0] + row * grid.spacing) * grid.target[1] + grid.first[1] + column * grid.spacing;
        for (target, &value) in target[start..].iter_mut().step_by(grid.spacing).zip(now) {
            target.write(value);
        }
        (values, pixel) = (later, pixel + now.len());
    }
}
