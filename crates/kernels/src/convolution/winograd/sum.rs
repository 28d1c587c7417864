//! Sums of convolutions by tiles: the forward map, the tangent, both at once, and the input's cotangent.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};

use super::job::{Block, Job};
use super::panel;
use super::strip::Strip;
use super::tiling::{Doubling, Halving, SumTiling, Unit};
use super::transform::POINTS;
use super::{Map, Way, by_sample, few, samples_at_once};
use crate::convolution::outer::{Sizes, Term, Weight};
use crate::convolution::target::Target;
use crate::memory::{self, Places, Scratch};
use crate::parallel::{self, Own};
use crate::source::Input;
use crate::{Real, instructions};

/// Bytes of transformed weights at a time, about, if all of them take more than all products: they stay in the last-level
/// cache.
const WEIGHTS: usize = 10 << 20;

/// Several sums that share inputs and weights, each of which is transformed once.
pub struct Sums<'a, T> {
    /// `[samples, in, h, w]`; an input in a target is in that of the same number.
    pub inputs: Vec<Input<'a, T>>,
    pub weights: Vec<Weight<'a, T>>,
    /// In the order in which they are added up; every target has one.
    pub products: Vec<Product>,
}

/// What is added to a target, by number: an input times a weight.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    pub input: usize,
    pub weight: usize,
    pub target: usize,
}

impl<'a, T: Real> Sums<'a, T> {
    /// One sum.
    fn of(terms: &[Term<'a, T>]) -> Self {
        Self {
            inputs: terms.iter().map(|term| term.input).collect(),
            weights: terms.iter().map(|term| term.weight).collect(),
            products: (0..terms.len()).map(|number| Product { input: number, weight: number, target: 0 }).collect(),
        }
    }
}

/// Writes the sum of terms to all of `target`; the moments only where [`takes_moments`](super::takes_moments) says so.
///
/// # Safety
/// If the first term's input is in the target, all of `target` must have been written, and be as large as that input.
pub(in crate::convolution) unsafe fn sum<T: Real>(
    sizes: &Sizes,
    map: &Map,
    terms: &[Term<'_, T>],
    target: Target<'_, T>,
) {
    let samples = target.values.len() / (sizes.channels[1] * map.target[0] * map.target[1]);
    if by_sample::is_faster(sizes, map, samples) {
        // SAFETY: the caller's promise.
        return unsafe { by_sample::sum(sizes, map, terms, target) };
    }
    // SAFETY: the caller's promise.
    unsafe { sums(sizes, map, &Sums::of(terms), &mut [target]) };
}

/// Writes sums to all of their targets, which are of one size; the moments as [`sum`].
///
/// # Safety
/// If an input is the memory of a target, all of that must have been written, and be as large as the input.
pub(in crate::convolution) unsafe fn sums<T: Real>(
    sizes: &Sizes,
    map: &Map,
    sums: &Sums<'_, T>,
    targets: &mut [Target<'_, T>],
) {
    for group in 0..sizes.groups {
        match map.way {
            Way::Unit => of_group::<T, Unit>(sizes, map, sums, group, targets),
            Way::Halving => of_group::<T, Halving>(sizes, map, sums, group, targets),
            Way::Doubling => of_group::<T, Doubling>(sizes, map, sums, group, targets),
            Way::Pixel | Way::SecondPixel => unreachable!("a sum over windows of one pixel by tiles"),
        }
    }
}

fn of_group<T: Real, G: SumTiling>(
    sizes: &Sizes,
    map: &Map,
    sums: &Sums<'_, T>,
    group: usize,
    targets: &mut [Target<'_, T>],
) {
    instructions::dispatch(OfGroup { job: Job::<T, G> { tiling: PhantomData, sizes, map, sums, group }, targets });
}

struct OfGroup<'a, 't, T, G> {
    job: Job<'a, T, G>,
    targets: &'a mut [Target<'t, T>],
}

impl<T: Real, G: SumTiling> WithSimd for OfGroup<'_, '_, T, G> {
    type Output = ();

    fn with_simd<S: Simd>(self, _: S) {
        let Self { job, targets } = self;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let sample = job.sizes.channels[1] * job.map.target[0] * job.map.target[1];
        let samples = targets.first().map_or(0, |target| target.values.len() / sample);
        if few::is_faster(job.sizes, job.map, samples) {
            let mut targets: Vec<_> = targets.iter_mut().map(|target| &mut *target.values).collect();
            return few::sums::<T, S, G>(&job, samples, &mut targets);
        }
        // Enough parts for all threads.
        let at_once = samples_at_once(job.map).min(samples.div_ceil(rayon::current_num_threads()));
        let vectors = job.input().div_ceil(lanes);
        // Many channels at few tiles: a part of the channels at a time, with the products of all samples kept.
        let [rows, columns] = job.map.tiles();
        let depth = job.sums.weights.len() * vectors * lanes;
        let is_cut = depth * POINTS > samples * rows * columns * G::VALUES;
        let bytes = depth * POINTS * job.output() * size_of::<T>();
        let parts = if is_cut { bytes.div_ceil(WEIGHTS).clamp(1, vectors) } else { 1 };
        let mut kept: Vec<Option<Scratch<T>>> = Vec::new();
        kept.resize_with(samples.div_ceil(at_once), || (parts > 1).then(memory::scratch));
        let mut weights = Vec::new();
        for from in (0..vectors).step_by(vectors.div_ceil(parts)) {
            let part = from..vectors.min(from + vectors.div_ceil(parts));
            panel::transform::<T, S, G>(&job, &part, &mut weights);
            let each = side_by_side(targets, at_once, (sample, job.sizes.channels[1])).into_iter().zip(&mut kept);
            parallel::for_each_with(each, |buffers: &mut Buffers<T>, (index, (targets, kept))| {
                let (job, weights, first) = (&job, &weights, index * at_once);
                let [is_first, is_last] = [part.start == 0, part.end == vectors];
                let part = part.clone();
                kept.iter_mut().for_each(|kept| std::mem::swap(kept, &mut buffers.products));
                instructions::dispatch(Samples { job, weights, part, is_first, is_last, first, buffers, targets });
                kept.iter_mut().for_each(|kept| std::mem::swap(kept, &mut buffers.products));
            });
        }
    }
}

/// The first samples of every target, then the next, and so on.
fn side_by_side<'a, T>(
    targets: &'a mut [Target<'_, T>],
    samples: usize,
    sizes: (usize, usize),
) -> Vec<Vec<Target<'a, T>>> {
    let mut parts: Vec<_> = targets.iter_mut().map(|target| target.parts(samples, sizes)).collect();
    let next = || -> Option<Vec<_>> { parts.iter_mut().map(Iterator::next).collect() };
    std::iter::from_fn(next).collect()
}

/// One thread's memory.
struct Buffers<T> {
    strip: Strip<T>,
    /// `[input][value][tile][in]`, and a vector more a value: else the values' places share a few cache sets.
    pixels: Scratch<T>,
    /// `[target][value][out / N][tile][N]` vectors, and one more a value.
    products: Scratch<T>,
}

impl<T: Real> Default for Buffers<T> {
    fn default() -> Self {
        Self { strip: Strip::new(), pixels: memory::scratch(), products: memory::scratch() }
    }
}

impl<T: Real> Own for Buffers<T> {
    fn bytes(&self) -> usize {
        self.strip.bytes() + memory::bytes([&self.pixels, &self.products])
    }
}

/// Some input channels of some samples.
struct Samples<'a, 't, T, G> {
    job: &'a Job<'a, T, G>,
    weights: &'a [Scratch<T>],
    /// Vectors of input channels.
    part: Range<usize>,
    /// Whether nothing has been added to the products yet, and whether nothing will be.
    is_first: bool,
    is_last: bool,
    /// The first sample.
    first: usize,
    buffers: &'a mut Buffers<T>,
    targets: Vec<Target<'t, T>>,
}

impl<T: Real, G: SumTiling> WithSimd for Samples<'_, '_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.job.columns::<S>() {
            4 => self.on_tiles_of::<S, 4>(simd),
            _ => self.on_tiles_of::<S, 2>(simd),
        }
    }
}

impl<T: Real, G: SumTiling> Samples<'_, '_, T, G> {
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
        self.targets[0].values.len() / (self.job.sizes.channels[1] * self.job.map.target[0] * self.job.map.target[1])
    }

    /// `B^T d B` of every tile and channel of every input.
    #[inline(always)]
    fn transform_pixels<S: Simd>(&mut self, simd: S, tiles: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let length = G::VALUES * (tiles * self.part.len() + 1) * lanes;
        let [rows, columns] = self.job.map.tiles();
        let has_gaps = tiles > self.samples() * rows * columns;
        memory::lay_out(&mut self.buffers.pixels, self.job.sums.inputs.len() * length, has_gaps);
        for number in 0..self.job.sums.inputs.len() {
            self.transform_input::<S>(simd, number, length);
        }
    }

    /// `B^T d B` of every tile and channel of an input.
    #[inline(always)]
    fn transform_input<S: Simd>(&mut self, simd: S, number: usize, length: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let [rows, columns] = self.job.map.tiles();
        let (samples, depth) = (self.samples(), self.part.len());
        let Buffers { strip, pixels, .. } = &mut *self.buffers;
        let distance = length / lanes / G::VALUES;
        let mut pixels = Places::new(memory::registers_mut::<T, S>(&mut pixels[number * length..][..length]));
        let (input, channels) = (self.job.sums.inputs[number], self.job.sizes.channels[0]);
        let part: &[_] = self.targets.get(number).map_or(&[], |target| target.values);
        // SAFETY: the caller of `sums` promises that an input in a target has been written, and of these samples nothing has been
        // overwritten: that comes last.
        let (source, first) = unsafe { input.source((part, self.first), channels) };
        for (index, vector) in self.part.clone().enumerate() {
            for sample in 0..samples {
                let pixels = pixels.from(sample * rows * columns * depth + index);
                self.job.transform_pixels::<S>(
                    simd,
                    strip,
                    (source, first + sample, vector),
                    (pixels, [distance, depth]),
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
        if self.is_first {
            memory::lay_out(products, self.targets.len() * G::VALUES * (panels * tiles * N + 1) * lanes, false);
        }
        let of_input = G::VALUES * (tiles * depth + lanes);
        let (block, adds) = (Block { tiles, depth, panels }, !self.is_first);
        // SAFETY: all tiles have been transformed, and all panels of weights. What is added to was written for the first part.
        unsafe { self.job.multiply::<S, N>(simd, block, (pixels, of_input), self.weights, (products, adds)) };
    }

    /// `A^T m A` of every tile and channel, put to its pixels.
    #[inline(always)]
    fn transform_products<S: Simd, const N: usize>(&mut self, simd: S, tiles: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let Job { sizes, map, group, .. } = *self.job;
        let [rows, columns] = map.tiles();
        let Buffers { strip, products, .. } = &mut *self.buffers;
        // SAFETY: every target has a product, which writes all of it.
        let products: &[T::Vector<S>] = bytemuck::cast_slice(unsafe { products.assume_init_ref() });
        let (output, plane) = (self.job.output(), map.target[0] * map.target[1]);
        let distance = output.div_ceil(N * lanes) * tiles * N + 1;
        for (products, target) in products.chunks_exact(G::VALUES * distance).zip(&mut self.targets) {
            for (vector, channel) in (0..output).step_by(lanes).enumerate() {
                let first = vector / N * tiles * N + vector % N;
                for (sample, values) in target.values.chunks_exact_mut(sizes.channels[1] * plane).enumerate() {
                    let products = &products[first + sample * rows * columns * N..];
                    let planes = group * output + channel..group * output + output.min(channel + lanes);
                    let values = &mut values[planes.start * plane..planes.end * plane];
                    self.job.transform_products::<S>(simd, strip, (products, [distance, N]), values);
                    if !target.moments.is_empty() {
                        let moments = &mut target.moments[sample * sizes.channels[1]..][planes];
                        strip.moments::<S>(simd, &map.stands_for(), moments);
                    }
                }
            }
        }
    }
}
