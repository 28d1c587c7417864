//! Sums of convolutions by tiles: the forward map, the tangent, and the input's cotangent.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use super::product::{self, ROWS};
use super::strip::Strip;
use super::tiling::{Doubling, Halving, Tiling, Unit};
use super::transform::{POINTS, apart};
use super::{Map, Way, by_sample, samples_at_once};
use crate::convolution::outer::{Sizes, Term};
use crate::convolution::source::Source;
use crate::memory::{self, Aligned};
use crate::parallel::{self, Own};
use crate::{Real, instructions};

/// Bytes of transformed weights at a time, about, if all of them take more than all products: they stay in the last-level
/// cache.
const WEIGHTS: usize = 10 << 20;

/// Writes the sum of terms to all of `target`.
///
/// # Safety
/// If a term has no input of its own, all of `target` must have been written, and be as large as that input.
pub(in crate::convolution) unsafe fn sum<T: Real>(
    sizes: &Sizes,
    map: &Map,
    terms: &[Term<'_, T>],
    target: &mut [MaybeUninit<T>],
) {
    let samples = target.len() / (sizes.channels[1] * map.target[0] * map.target[1]);
    if by_sample::is_faster(sizes, map, samples) {
        // SAFETY: the caller's promise.
        return unsafe { by_sample::sum(sizes, map, terms, target) };
    }
    for group in 0..sizes.groups {
        match map.way {
            Way::Unit => of_group::<T, Unit>(sizes, map, terms, group, target),
            Way::Halving => of_group::<T, Halving>(sizes, map, terms, group, target),
            Way::Doubling => of_group::<T, Doubling>(sizes, map, terms, group, target),
        }
    }
}

fn of_group<T: Real, G: Tiling>(
    sizes: &Sizes,
    map: &Map,
    terms: &[Term<'_, T>],
    group: usize,
    target: &mut [MaybeUninit<T>],
) {
    instructions::dispatch(Sum { job: Job::<T, G> { tiling: PhantomData, sizes, map, terms, group }, target });
}

struct Sum<'a, T, G> {
    job: Job<'a, T, G>,
    target: &'a mut [MaybeUninit<T>],
}

impl<T: Real, G: Tiling> WithSimd for Sum<'_, T, G> {
    type Output = ();

    fn with_simd<S: Simd>(self, _: S) {
        let Self { job, target } = self;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let sample = job.sizes.channels[1] * job.map.target[0] * job.map.target[1];
        let samples = target.len() / sample;
        // Enough parts for all threads.
        let at_once = samples_at_once(job.map).min(samples.div_ceil(rayon::current_num_threads()));
        let vectors = job.terms.len() * job.input().div_ceil(lanes);
        // Many channels at few tiles: a part of the channels at a time, with the products of all samples kept.
        let [rows, columns] = job.map.tiles();
        let is_cut = vectors * lanes * POINTS > samples * rows * columns * G::VALUES;
        let parts = if is_cut { (job.weights_length(vectors * lanes) * size_of::<T>()).div_ceil(WEIGHTS) } else { 1 };
        let mut kept: Vec<Buffers<T>> = Vec::new();
        if parts > 1 {
            kept.resize_with(samples.div_ceil(at_once), Buffers::default);
        }
        let mut weights = memory::aligned(0);
        for from in (0..vectors).step_by(vectors.div_ceil(parts)) {
            let part = from..vectors.min(from + vectors.div_ceil(parts));
            transform_weights::<T, S, G>(&job, &part, &mut weights);
            let on_samples = |buffers: &mut Buffers<T>, (index, target): (usize, &mut [MaybeUninit<T>])| {
                let (job, weights, first) = (&job, &weights, index * at_once);
                let [is_first, is_last] = [part.start == 0, part.end == vectors];
                let part = part.clone();
                instructions::dispatch(Samples { job, weights, part, is_first, is_last, first, buffers, target });
            };
            match parts {
                1 => parallel::for_each_with(target.chunks_mut(at_once * sample), on_samples),
                _ => {
                    let targets = target.par_chunks_mut(at_once * sample).enumerate();
                    targets.zip(&mut kept).for_each(|(target, buffers)| on_samples(buffers, target));
                }
            }
        }
    }
}

/// What is computed for one group.
struct Job<'a, T, G> {
    /// How it is cut into tiles.
    tiling: PhantomData<G>,
    sizes: &'a Sizes,
    map: &'a Map,
    terms: &'a [Term<'a, T>],
    group: usize,
}

impl<'a, T: Real, G> Job<'a, T, G> {
    /// Input channels of the group.
    fn input(&self) -> usize {
        self.sizes.channels[0] / self.sizes.groups
    }

    /// Output channels of the group.
    fn output(&self) -> usize {
        self.sizes.channels[1] / self.sizes.groups
    }

    /// Vectors of output channels of a tile of the product.
    fn columns<S: Simd>(&self) -> usize {
        product::columns::<S>((self.output() * size_of::<T>()).div_ceil(size_of::<T::Vector<S>>()))
    }

    /// Transformed weights of as many input channels.
    fn weights_length(&self, depth: usize) -> usize {
        POINTS * depth * self.output()
    }

    /// Every term's channels, `lanes` at a time and counted on from term to term: the products of all terms are one.
    fn channels(&self, vector: usize, lanes: usize) -> (&'a Term<'a, T>, Range<usize>) {
        let of_term = self.input().div_ceil(lanes);
        let first = vector % of_term * lanes;
        (&self.terms[vector / of_term], first..self.input().min(first + lanes))
    }
}

/// `G g G^T` of some vectors of input channels, as `[out / N][point][in][N]` vectors, zeros beyond the last channel.
fn transform_weights<T: Real, S: Simd, G: Tiling>(job: &Job<'_, T, G>, part: &Range<usize>, weights: &mut Aligned<T>) {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let width = job.columns::<S>() * lanes;
    let panel = POINTS * part.len() * lanes * width;
    weights.resize(job.output().div_ceil(width) * panel, T::default());
    weights.par_chunks_mut(panel).enumerate().for_each(|(index, panel)| {
        let outputs = index * width..job.output().min((index + 1) * width);
        instructions::dispatch(PanelOfWeights { job, part, outputs, panel });
    });
}

/// The transformed weights of a panel of output channels.
struct PanelOfWeights<'a, T, G> {
    job: &'a Job<'a, T, G>,
    part: &'a Range<usize>,
    outputs: Range<usize>,
    panel: &'a mut [T],
}

impl<T: Real, G: Tiling> WithSimd for PanelOfWeights<'_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { job, part, outputs, panel } = self;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let columns = job.columns::<S>();
        let distance = part.len() * lanes * columns;
        let panel: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(panel);
        for (index, vector) in part.clone().enumerate() {
            let (term, channels) = job.channels(vector, lanes);
            for lane in 0..lanes {
                for (column, first) in outputs.clone().step_by(lanes).enumerate() {
                    let outputs = first..outputs.end.min(first + lanes);
                    // Zeros for a lane beyond the last channel.
                    let mut window = [[T::splat(simd, T::default()); 3]; 3];
                    if lane < channels.len() {
                        window = job.map.window(simd, term, (job.group, channels.start + lane), outputs);
                    }
                    let place = (index * lanes + lane) * columns + column;
                    let from = (window.as_flattened(), [3, 1]);
                    G::weights::<T, S>(simd, from, (&mut panel[place..], apart(distance)));
                }
            }
        }
    }
}

/// One thread's memory.
struct Buffers<T> {
    strip: Strip<T>,
    /// `[point][tile][in]`, and a vector more a point: else the points' places share a few cache sets.
    pixels: Aligned<T>,
    /// `[point][out / N][tile][N]` vectors, and one more a point.
    products: Aligned<T>,
}

impl<T: Real> Default for Buffers<T> {
    fn default() -> Self {
        Self { strip: Strip::new(), pixels: memory::aligned(0), products: memory::aligned(0) }
    }
}

impl<T: Real> Own for Buffers<T> {
    fn bytes(&self) -> usize {
        (self.strip.length() + self.pixels.len() + self.products.len()) * size_of::<T>()
    }
}

/// Some input channels of some samples.
struct Samples<'a, T, G> {
    job: &'a Job<'a, T, G>,
    weights: &'a [T],
    /// Vectors of input channels.
    part: Range<usize>,
    /// Whether nothing has been added to the products yet, and whether nothing will be.
    is_first: bool,
    is_last: bool,
    /// The first sample.
    first: usize,
    buffers: &'a mut Buffers<T>,
    target: &'a mut [MaybeUninit<T>],
}

impl<T: Real, G: Tiling> WithSimd for Samples<'_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.job.columns::<S>() {
            4 => self.on_tiles_of::<S, 4>(simd),
            _ => self.on_tiles_of::<S, 2>(simd),
        }
    }
}

impl<T: Real, G: Tiling> Samples<'_, T, G> {
    #[inline(always)]
    fn on_tiles_of<S: Simd, const N: usize>(mut self, simd: S) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let [rows, columns] = self.job.map.tiles();
        // Those beyond the last tile hold anything.
        let tiles = (self.samples() * rows * columns).next_multiple_of(2);
        self.transform_pixels::<S>(simd, tiles);
        self.multiply::<S, N>(simd, tiles, self.job.output().div_ceil(N * lanes));
        if self.is_last {
            self.transform_products::<S, N>(simd, tiles);
        }
    }

    fn samples(&self) -> usize {
        self.target.len() / (self.job.sizes.channels[1] * self.job.map.target[0] * self.job.map.target[1])
    }

    /// `B^T d B` of every tile and channel.
    #[inline(always)]
    fn transform_pixels<S: Simd>(&mut self, simd: S, tiles: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let Job { sizes, map, group, .. } = *self.job;
        let samples = self.samples();
        let Buffers { strip, pixels, .. } = &mut *self.buffers;
        let geometry = map.reads();
        let depth = self.part.len();
        let distance = tiles * depth + 1;
        pixels.resize(G::VALUES * distance * lanes, T::default());
        let pixels: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(pixels);
        for (index, vector) in self.part.clone().enumerate() {
            let (term, channels) = self.job.channels(vector, lanes);
            let mut place = index;
            for sample in self.first..self.first + samples {
                let (source, sample) = match term.input {
                    Some(source) => (source, sample),
                    // SAFETY: the caller of `sum` promises that a term without input finds its values in the target, and of these samples
                    // nothing has been overwritten: that comes last.
                    None => (Source::from(unsafe { self.target.assume_init_ref() }), sample - self.first),
                };
                let first = sample * sizes.channels[0] + group * self.job.input();
                strip.read::<S>(source, first + channels.start..first + channels.end, &geometry);
                strip.each_tile::<S>(
                    [G::SIDES.read, G::SIDES.step],
                    #[inline(always)]
                    |tile| {
                        G::pixels::<T, S>(simd, tile, (&mut pixels[place..], G::apart(distance)));
                        place += depth;
                    },
                );
            }
        }
    }

    /// The products over channels.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(&mut self, simd: S, tiles: usize, panels: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let depth = self.part.len() * lanes;
        let Buffers { pixels, products, .. } = &mut *self.buffers;
        let distance = (panels * tiles * N + 1) * lanes;
        products.resize(G::VALUES * distance, T::default());
        let weights: &[T::Vector<S>] = bytemuck::cast_slice(self.weights);
        let (weights, _) = weights.as_chunks::<N>();
        for point in 0..POINTS {
            for panel in 0..panels {
                let weights = &weights[(panel * POINTS + point) * depth..][..depth];
                for value in G::values_of(point) {
                    let pixels = &pixels[value * (tiles * depth + lanes)..][..tiles * depth];
                    let products = &mut products[value * distance..][..distance];
                    let products: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(products);
                    let products = &mut products.as_chunks_mut::<N>().0[panel * tiles..][..tiles];
                    for (pixels, products) in pixels.chunks(ROWS * depth).zip(products.chunks_mut(ROWS)) {
                        product::over_channels::<T, S, N>(simd, pixels, weights, (products, !self.is_first));
                    }
                }
            }
        }
    }

    /// `A^T m A` of every tile and channel, put to its pixels.
    #[inline(always)]
    fn transform_products<S: Simd, const N: usize>(&mut self, simd: S, tiles: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let Job { sizes, map, group, .. } = *self.job;
        let Buffers { strip, products, .. } = &mut *self.buffers;
        let products: &[T::Vector<S>] = bytemuck::cast_slice(products);
        let (output, plane) = (self.job.output(), map.target[0] * map.target[1]);
        let distance = output.div_ceil(N * lanes) * tiles * N + 1;
        for (vector, channel) in (0..output).step_by(lanes).enumerate() {
            let mut place = vector / N * tiles * N + vector % N;
            for target in self.target.chunks_exact_mut(sizes.channels[1] * plane) {
                strip.fill_tiles::<S>(
                    (map.tiles(), G::SIDES.written),
                    #[inline(always)]
                    |tile| {
                        G::outputs::<T, S>(simd, (&products[place..], G::apart(distance)), tile);
                        place += N;
                    },
                );
                let planes = group * output + channel..group * output + output.min(channel + lanes);
                strip.write::<S>(&map.stands_for(), &mut target[planes.start * plane..planes.end * plane]);
            }
        }
    }
}
