//! The weight's cotangent by tiles.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};

mod pixels;

use super::product;
use super::strip::Strip;
use super::tiling::{Halving, Pixel, Unit, WeightTiling};
use super::{Map, Way, add_sums, samples_at_once};
use crate::convolution::shape::Convolution;
use crate::memory::{self, Places, Scratch};
use crate::parallel::{self, Own};
use crate::source::Source;
use crate::{Real, instructions};
use pixels::{PanelPixels, columns, length_of_panel, shared_pixels};

/// Bytes of the sums that a task adds to, about: they are gone through once for every block.
const SUMS: usize = 5 << 20;

/// The same where there is one block: the sums stay in the second-level cache, and a task transforms its own outputs' cotangents alone.
const SUMS_OF_ONE_BLOCK: usize = 1 << 19;

/// Tasks that a product is cut into, if it has the tiles; fixed, so that sums do not depend on the threads.
const TASKS: usize = 32;

/// Tasks that there are at least, if each gets [`LEAST_OUTPUTS`] channels; what each transforms for itself is little then.
const LEAST_TASKS: usize = 8;
const LEAST_OUTPUTS: usize = 32;

/// Tiles of a task at least, so that its sums are worth clearing and transforming.
const LEAST_TILES: usize = 256;

/// `w_bar` `[out, in / groups, taps]`, from `x` and `y_bar`.
pub(in crate::convolution) fn weight_cotangent<T: Real>(
    convolution: &Convolution,
    x: Source<'_, T>,
    y_bar: &[T],
) -> Vec<T> {
    let map = Map::forward(convolution);
    match map.way {
        Way::Unit => by_tiles::<T, Unit>(convolution, &map, x, y_bar),
        Way::Pixel => by_tiles::<T, Pixel<1>>(convolution, &map, x, y_bar),
        Way::SecondPixel => by_tiles::<T, Pixel<2>>(convolution, &map, x, y_bar),
        _ => by_tiles::<T, Halving>(convolution, &map, x, y_bar),
    }
}

fn by_tiles<T: Real, G: WeightTiling>(convolution: &Convolution, map: &Map, x: Source<'_, T>, y_bar: &[T]) -> Vec<T> {
    let [input, output] = convolution.group();
    let [rows, columns] = map.tiles();
    let bytes = G::POINTS * input * output * size_of::<T>();
    let is_one_block = convolution.samples <= samples_at_once(map);
    let most_bytes = if is_one_block { SUMS_OF_ONE_BLOCK } else { SUMS };
    let most = (convolution.samples * rows * columns / LEAST_TILES).clamp(1, convolution.samples.max(1));
    let for_all = output.div_ceil(LEAST_TASKS.div_ceil(most * convolution.groups)).max(LEAST_OUTPUTS);
    let at_once = output.div_ceil(bytes.div_ceil(most_bytes)).min(for_all).next_multiple_of(16);
    let parts = output.div_ceil(at_once);
    let segments = TASKS.div_ceil(parts * convolution.groups).min(most);
    let [of_group, of_part] = [output, at_once].map(|outputs| outputs * input * G::TAPS);
    // Several tasks that read the same block.
    let is_shared = is_one_block && parts > 1 && segments == 1;
    let shared = is_shared.then(|| shared_pixels::<T, G>(convolution, map, x));
    // The first segment's sums are put to their place, those of the others beside it.
    let mut others: Vec<Vec<T>> = vec![Vec::new(); (segments - 1) * convolution.groups * parts];
    let write = |w_bar: &mut [MaybeUninit<T>]| {
        let firsts = w_bar.chunks_exact_mut(of_group).flat_map(|w_bar| w_bar.chunks_mut(of_part));
        let targets: Vec<_> = firsts.map(Target::Place).chain(others.iter_mut().map(Target::Beside)).collect();
        parallel::for_each_with(targets.into_iter(), |buffers, (task, target)| {
            let (part, group, segment) =
                (task % parts, task / parts % convolution.groups, task / parts / convolution.groups);
            let samples = convolution.samples * segment / segments..convolution.samples * (segment + 1) / segments;
            let outputs = part * at_once..output.min((part + 1) * at_once);
            let length = outputs.len() * input * G::TAPS;
            let of_group = shared.as_ref().map_or(0, |shared| shared.len() / convolution.groups);
            let shared = shared.as_ref().map(|shared| &shared[group * of_group..][..of_group]);
            let part = Part { group, outputs, samples, shared };
            let write = |w_bar: &mut [MaybeUninit<T>]| {
                let tiling = PhantomData::<G>;
                instructions::dispatch(Task { tiling, convolution, map, x, y_bar, part, buffers, w_bar });
            };
            match target {
                Target::Place(w_bar) => write(w_bar),
                // SAFETY: a task writes the cotangents of all its pairs of channels.
                Target::Beside(sums) => *sums = unsafe { memory::written(length, write) },
            }
        });
    };
    // SAFETY: the parts of all groups make up the whole, and a task writes the cotangents of all its pairs of channels.
    let mut w_bar = unsafe { memory::written(convolution.groups * of_group, write) };
    for others in others.chunks_exact(convolution.groups * parts) {
        let places = w_bar.chunks_exact_mut(of_group).flat_map(|w_bar| w_bar.chunks_mut(of_part));
        places.zip(others).for_each(|(w_bar, sums)| add_sums(w_bar, sums));
    }
    w_bar
}

/// Where a task's result goes.
enum Target<'a, T> {
    /// To its place.
    Place(&'a mut [MaybeUninit<T>]),
    /// To an array of its own, to be added there.
    Beside(&'a mut Vec<T>),
}

/// One thread's memory.
struct Buffers<T> {
    strip: Strip<T>,
    /// [`PanelPixels::pixels`] of all panels.
    pixels: Scratch<T>,
    /// `[point][out / width][tile][width]`, with [`Block::width`], and a vector more a point.
    cotangents: Scratch<T>,
    /// `[point][in / N][out][N]` vectors.
    sums: Scratch<T>,
}

impl<T: Real> Default for Buffers<T> {
    fn default() -> Self {
        let [pixels, cotangents, sums] = [(); 3].map(|()| memory::scratch());
        Self { strip: Strip::new(), pixels, cotangents, sums }
    }
}

impl<T: Real> Own for Buffers<T> {
    fn bytes(&self) -> usize {
        self.strip.bytes() + memory::bytes([&self.pixels, &self.cotangents, &self.sums])
    }
}

/// Some output channels of a group against all its input channels, over some samples.
struct Task<'a, T, G> {
    tiling: PhantomData<G>,
    convolution: &'a Convolution,
    map: &'a Map,
    x: Source<'a, T>,
    y_bar: &'a [T],
    part: Part<'a, T>,
    buffers: &'a mut Buffers<T>,
    /// `[out][in][tap]`.
    w_bar: &'a mut [MaybeUninit<T>],
}

/// What a task is for.
struct Part<'a, T> {
    group: usize,
    /// Output channels of the group.
    outputs: Range<usize>,
    samples: Range<usize>,
    /// The transformed pixels, if all tasks read the same.
    shared: Option<&'a [MaybeUninit<T>]>,
}

impl<T: Real, G: WeightTiling> WithSimd for Task<'_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match columns::<T, S>(self.convolution) {
            4 => self.sums::<S, 4, 4>(simd),
            2 if S::REGISTER_COUNT >= 32 => self.sums::<S, 2, 8>(simd),
            2 => self.sums::<S, 2, 4>(simd),
            _ => self.sums::<S, 1, 8>(simd),
        }
    }
}

impl<T: Real, G: WeightTiling> Task<'_, T, G> {
    #[inline(always)]
    fn sums<S: Simd, const N: usize, const M: usize>(mut self, simd: S) {
        let [rows, columns] = self.map.tiles();
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let panels = self.convolution.group()[0].div_ceil(N * lanes);
        let width = lanes.max(M);
        let outputs = self.part.outputs.len().next_multiple_of(width);
        let is_empty = self.part.samples.is_empty();
        memory::lay_out(&mut self.buffers.sums, G::POINTS * (panels * outputs * N + 1) * lanes, is_empty);
        let at_once = samples_at_once(self.map);
        for first in self.part.samples.clone().step_by(at_once) {
            let samples = first..self.part.samples.end.min(first + at_once);
            let block = Block { tiles: samples.len() * rows * columns, outputs, width, panels };
            if self.part.shared.is_none() {
                self.transform_pixels::<S, N>(simd, &block, &samples);
            }
            self.transform_cotangents::<S>(simd, &block, &samples);
            self.multiply::<S, N, M>(simd, &block, first > self.part.samples.start);
        }
        self.transform_sums::<S, N>(simd, panels, outputs);
    }

    /// `B^T d B` of every tile and input channel.
    #[inline(always)]
    fn transform_pixels<S: Simd, const N: usize>(&mut self, simd: S, block: &Block, samples: &Range<usize>) {
        let Self { convolution, map, x, .. } = *self;
        let Buffers { strip, pixels, .. } = &mut *self.buffers;
        let length = length_of_panel::<T, S, G, N>(block.tiles);
        memory::lay_out(pixels, block.panels * length, false);
        for (panel, pixels) in pixels.chunks_exact_mut(length).enumerate() {
            let place = [self.part.group, panel];
            let samples = samples.clone();
            let panel =
                PanelPixels::<T, G, N> { tiling: PhantomData, convolution, map, x, place, samples, pixels, strip };
            panel.fill::<S>(simd);
        }
    }

    /// `A y_bar A^T` of every tile and output channel.
    #[inline(always)]
    fn transform_cotangents<S: Simd>(&mut self, simd: S, block: &Block, samples: &Range<usize>) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let distance = block.tiles * block.outputs / lanes + 1;
        let Buffers { strip, cotangents, .. } = &mut *self.buffers;
        let has_gaps = self.part.outputs.len().div_ceil(lanes) < block.outputs / lanes;
        memory::lay_out(cotangents, G::VALUES * distance * lanes, has_gaps);
        let mut cotangents = Places::new(memory::registers_mut::<T, S>(cotangents));
        let (output, geometry) = (self.convolution.group()[1], self.map.stands_for());
        for (vector, first) in self.part.outputs.clone().step_by(lanes).enumerate() {
            let side_by_side = block.width / lanes;
            let mut place = vector / side_by_side * block.tiles * side_by_side + vector % side_by_side;
            let channels =
                self.part.group * output + first..self.part.group * output + self.part.outputs.end.min(first + lanes);
            for sample in samples.clone() {
                let of_sample = planes(self.convolution.channels[1], sample, &channels);
                strip.read::<S>(simd, self.y_bar.into(), of_sample, &geometry);
                strip.each_tile::<S>(
                    [G::SIDES.written; 2],
                    #[inline(always)]
                    |tile| {
                        G::output_cotangents::<T, S>(simd, tile, (cotangents.from(place), G::apart(distance)));
                        place += side_by_side;
                    },
                );
            }
        }
    }

    /// The products over the block's tiles, to which the sums so far are added if `adds`.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize, const M: usize>(&mut self, simd: S, block: &Block, adds: bool) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let Buffers { pixels, cotangents, sums, .. } = &mut *self.buffers;
        let pixels = self.part.shared.unwrap_or(pixels);
        let of_pixels = (block.tiles * N + 1) * lanes;
        let of_cotangents = block.tiles * block.outputs + lanes;
        let of_sums = (block.panels * block.outputs * N + 1) * lanes;
        for point in 0..G::POINTS {
            let sums = memory::registers_mut::<T, S>(&mut sums[point * of_sums..][..of_sums]);
            let (sums, more) = sums.as_chunks_mut::<N>();
            more.iter_mut().for_each(|one| _ = one.write(T::splat(simd, T::default())));
            for (panel, sums) in sums.chunks_exact_mut(block.outputs).enumerate() {
                for (part, sums) in sums.chunks_exact_mut(block.width).enumerate() {
                    // All values of a point, while their sums are in the first-level cache.
                    for (index, value) in G::values_of(point).enumerate() {
                        let adds = adds || index > 0;
                        let pixels = &pixels[(panel * G::VALUES + value) * of_pixels..][..block.tiles * N * lanes];
                        let place = value * of_cotangents + part * block.tiles * block.width;
                        let operand = &cotangents[place..][..block.tiles * block.width];
                        // SAFETY: all tiles have been transformed, and where they left out anything there are zeros.
                        let (pixels, operand) = unsafe { (pixels.assume_init_ref(), operand.assume_init_ref()) };
                        let pixels: &[T::Vector<S>] = bytemuck::cast_slice(pixels);
                        let (pixels, _) = pixels.as_chunks::<N>();
                        for (first, sums) in (0..).step_by(M).zip(sums.as_chunks_mut::<M>().0) {
                            let operand = (operand, block.width, first);
                            // SAFETY: the first block's first value has written the sums.
                            unsafe { product::over_tiles::<T, S, N, M>(simd, operand, pixels, (sums, adds)) };
                        }
                    }
                }
            }
        }
    }

    /// `G^T m G` of every pair of channels.
    #[inline(always)]
    fn transform_sums<S: Simd, const N: usize>(&mut self, simd: S, panels: usize, outputs: usize) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let input = self.convolution.group()[0];
        // SAFETY: the first block has written all sums, and without any they are zeros.
        let sums: &[T::Vector<S>] = bytemuck::cast_slice(unsafe { self.buffers.sums.assume_init_ref() });
        for (out, w_bar) in self.w_bar.chunks_exact_mut(input * G::TAPS).enumerate() {
            for (vector, w_bar) in w_bar.chunks_mut(lanes * G::TAPS).enumerate() {
                let place = (vector / N * outputs + out) * N + vector % N;
                G::weight_cotangents::<T, S>(simd, (&sums[place..], panels * outputs * N + 1), w_bar);
            }
        }
    }
}

/// The planes of some of a sample's `channels`.
fn planes(channels: usize, sample: usize, range: &Range<usize>) -> Range<usize> {
    sample * channels + range.start..sample * channels + range.end
}

/// Sizes of a block's products.
struct Block {
    tiles: usize,
    /// Output channels, a multiple of [`Block::width`].
    outputs: usize,
    /// Output channels side by side: the rows of the product over tiles or the lanes, whichever are more.
    width: usize,
    /// Panels of input channels.
    panels: usize,
}
