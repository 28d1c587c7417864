//! Sums over so few tiles that there are more weights than pixels: every transformed weight is used in the cache that it was made in.
//!
//! Pixels are transformed first, for all threads. Then a thread takes a panel of output channels, and a vector of input channels of it at a
//! time: it transforms their weights and multiplies all tiles by them.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};

use super::Map;
use super::job::{Block, Job};
use super::panel::Panel;
use super::strip::Strip;
use super::tiling::SumTiling;
use super::transform::POINTS;
use crate::convolution::outer::Sizes;
use crate::memory::{self, Places, Scratch};
use crate::parallel::{self, Own};
use crate::source::Source;
use crate::{Real, instructions};

/// Tiles up to which it is the faster way: the products of a panel stay in a second-level cache of a megabyte.
const TILES: usize = 136;

/// Output channels from which there are panels for several threads.
const OUTPUTS: usize = 128;

/// Whether it is the faster way.
pub(super) fn is_faster(sizes: &Sizes, map: &Map, samples: usize) -> bool {
    let [input, output] = sizes.channels.map(|channels| channels / sizes.groups);
    let tiles = tiles(map, samples);
    tiles * map.values() <= TILES * POINTS && output >= OUTPUTS && input > tiles
}

/// Tiles of all samples, an even number; those beyond the last hold anything.
fn tiles(map: &Map, samples: usize) -> usize {
    let [rows, columns] = map.tiles();
    (samples * rows * columns).next_multiple_of(2)
}

/// Writes the sums of a group to all of their targets.
///
/// If an input is the memory of a target, all of that must have been written, and be as large as the input: as `winograd::sums` demands.
pub(super) fn sums<T: Real, S: Simd, G: SumTiling>(
    job: &Job<'_, T, G>,
    samples: usize,
    targets: &mut [&mut [MaybeUninit<T>]],
) {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let (tiles, vectors) = (tiles(job.map, samples), job.input().div_ceil(lanes));
    // A register more a value, else their places share a few cache sets.
    let length = G::VALUES * (tiles + 1) * lanes;
    let mut pixels = memory::scratch();
    let [rows, columns] = job.map.tiles();
    memory::lay_out(&mut pixels, job.sums.inputs.len() * vectors * length, tiles > samples * rows * columns);
    let inputs = job.sums.inputs.iter().enumerate().map(|(number, input)| {
        let target: &[_] = targets.get(number).map_or(&[], |target| target);
        // SAFETY: the caller of `winograd::sums` promises that an input in a target has been written.
        unsafe { input.source((target, 0), job.sizes.channels[0]) }.0
    });
    let inputs: Vec<Source<'_, T>> = inputs.collect();
    parallel::for_each_with(pixels.chunks_mut(length), |buffers: &mut Buffers<T>, (index, pixels)| {
        let (input, vector) = (inputs[index / vectors], index % vectors);
        instructions::dispatch(Pixels { job, input, vector, samples, buffers, pixels });
    });
    let panels = panels(job, job.columns::<S>() * lanes, targets);
    parallel::for_each_with(panels.into_iter(), |buffers: &mut Buffers<T>, (_, (outputs, targets))| {
        instructions::dispatch(OfPanel { job, samples, tiles, pixels: &pixels, outputs, buffers, targets });
    });
}

/// Output channels of a panel, and their planes: all samples of the first target, then of the next.
type Planes<'a, T> = (Range<usize>, Vec<&'a mut [MaybeUninit<T>]>);

/// The panels of a group, so many channels wide.
fn panels<'a, T: Real, G>(
    job: &Job<'_, T, G>,
    width: usize,
    targets: &'a mut [&mut [MaybeUninit<T>]],
) -> Vec<Planes<'a, T>> {
    let (output, plane) = (job.output(), job.map.target[0] * job.map.target[1]);
    let channels = (0..output).step_by(width).map(|first| first..output.min(first + width));
    let mut panels: Vec<Planes<'_, T>> = channels.map(|outputs| (outputs, Vec::new())).collect();
    for sample in targets.iter_mut().flat_map(|target| target.chunks_exact_mut(job.sizes.channels[1] * plane)) {
        let of_group = &mut sample[job.group * output * plane..][..output * plane];
        let planes = of_group.chunks_mut(width * plane);
        panels.iter_mut().zip(planes).for_each(|((_, panel), planes)| panel.push(planes));
    }
    panels
}

/// One thread's memory.
struct Buffers<T> {
    strip: Strip<T>,
    /// [`Panel::panel`] of every weight.
    weights: Vec<Scratch<T>>,
    /// `[target][value][tile][N]` vectors, and one more a value.
    products: Scratch<T>,
}

impl<T: Real> Default for Buffers<T> {
    fn default() -> Self {
        Self { strip: Strip::new(), weights: Vec::new(), products: memory::scratch() }
    }
}

impl<T: Real> Own for Buffers<T> {
    fn bytes(&self) -> usize {
        let weights: usize = self.weights.iter().map(|weights| memory::bytes([weights])).sum();
        self.strip.bytes() + weights + memory::bytes([&self.products])
    }
}

/// `B^T d B` of every tile of a vector of input channels.
struct Pixels<'a, T, G> {
    job: &'a Job<'a, T, G>,
    input: Source<'a, T>,
    vector: usize,
    samples: usize,
    buffers: &'a mut Buffers<T>,
    /// `[value][tile]` vectors, and one more a value.
    pixels: &'a mut [MaybeUninit<T>],
}

impl<T: Real, G: SumTiling> WithSimd for Pixels<'_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { job, input, vector, samples, buffers, pixels } = self;
        let pixels = memory::registers_mut::<T, S>(pixels);
        let (distance, [rows, columns]) = (pixels.len() / G::VALUES, job.map.tiles());
        let mut pixels = Places::new(pixels);
        for sample in 0..samples {
            let pixels = pixels.from(sample * rows * columns);
            job.transform_pixels::<S>(simd, &mut buffers.strip, (input, sample, vector), (pixels, [distance, 1]));
        }
    }
}

/// The sums of a panel of output channels.
struct OfPanel<'a, 't, T, G> {
    job: &'a Job<'a, T, G>,
    samples: usize,
    tiles: usize,
    /// `[input][in / lanes][value][tile]` vectors, as [`Pixels`] leaves them.
    pixels: &'a [MaybeUninit<T>],
    outputs: Range<usize>,
    buffers: &'a mut Buffers<T>,
    targets: Vec<&'t mut [MaybeUninit<T>]>,
}

impl<T: Real, G: SumTiling> WithSimd for OfPanel<'_, '_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.job.columns::<S>() {
            4 => self.on_tiles_of::<S, 4>(simd),
            _ => self.on_tiles_of::<S, 2>(simd),
        }
    }
}

impl<T: Real, G: SumTiling> OfPanel<'_, '_, T, G> {
    #[inline(always)]
    fn on_tiles_of<S: Simd, const N: usize>(mut self, simd: S) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let targets = self.targets.len() / self.samples;
        self.buffers.weights.resize_with(self.job.sums.weights.len(), memory::scratch);
        memory::lay_out(&mut self.buffers.products, targets * G::VALUES * (self.tiles * N + 1) * lanes, false);
        for vector in 0..self.job.input().div_ceil(lanes) {
            self.transform_weights::<S>(simd, vector);
            self.multiply::<S, N>(simd, vector);
        }
        self.transform_products::<S, N>(simd);
    }

    /// `G g G^T` of a vector of input channels of every weight.
    #[inline(always)]
    fn transform_weights<S: Simd>(&mut self, simd: S, vector: usize) {
        let job = self.job;
        let part = vector..vector + 1;
        for (panel, &weight) in self.buffers.weights.iter_mut().zip(&job.sums.weights) {
            Panel { job, weight, part: &part, outputs: self.outputs.clone(), panel }.fill(simd);
        }
    }

    /// The products over a vector of input channels, added to those before.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(&mut self, simd: S, vector: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let Buffers { weights, products, .. } = &mut *self.buffers;
        let of_vector = G::VALUES * (self.tiles + 1) * lanes;
        let pixels = (&self.pixels[vector * of_vector..], self.job.input().div_ceil(lanes) * of_vector);
        let block = Block { tiles: self.tiles, depth: lanes, panels: 1 };
        // SAFETY: all tiles have been transformed, and this vector's weights; the first vector's products were written.
        unsafe { self.job.multiply::<S, N>(simd, block, pixels, weights, (products, vector > 0)) };
    }

    /// `A^T m A` of every tile and channel, put to its pixels.
    #[inline(always)]
    fn transform_products<S: Simd, const N: usize>(&mut self, simd: S) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let (map, outputs) = (self.job.map, self.outputs.len());
        let (plane, [rows, columns]) = (map.target[0] * map.target[1], map.tiles());
        let Buffers { strip, products, .. } = &mut *self.buffers;
        // SAFETY: every target has a product, which writes all of it.
        let products: &[T::Vector<S>] = bytemuck::cast_slice(unsafe { products.assume_init_ref() });
        let distance = self.tiles * N + 1;
        let of_targets = products.chunks_exact(G::VALUES * distance).zip(self.targets.chunks_exact_mut(self.samples));
        for (products, samples) in of_targets {
            for (vector, channel) in (0..outputs).step_by(lanes).enumerate() {
                for (sample, planes) in samples.iter_mut().enumerate() {
                    let products = &products[vector + sample * rows * columns * N..];
                    let planes = &mut planes[channel * plane..outputs.min(channel + lanes) * plane];
                    self.job.transform_products::<S>(simd, strip, (products, [distance, N]), planes);
                }
            }
        }
    }
}
