//! The pixels that a weight's cotangent by tiles is computed from.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{Buffers, planes};
use crate::convolution::shape::Convolution;
use crate::convolution::winograd::strip::Strip;
use crate::convolution::winograd::tiling::WeightTiling;
use crate::convolution::winograd::{Map, product};
use crate::memory::{self, Places, Scratch};
use crate::source::Source;
use crate::{Real, instructions, parallel};

/// `B^T d B` of all tiles and input channels of all groups, [`PanelPixels::pixels`] of each panel, for tasks that would each do the same.
pub(super) fn shared_pixels<T: Real, G: WeightTiling>(
    convolution: &Convolution,
    map: &Map,
    x: Source<'_, T>,
) -> Scratch<T> {
    instructions::dispatch(Shared::<T, G> { tiling: PhantomData, convolution, map, x })
}

struct Shared<'a, T, G> {
    tiling: PhantomData<G>,
    convolution: &'a Convolution,
    map: &'a Map,
    x: Source<'a, T>,
}

impl<T: Real, G: WeightTiling> WithSimd for Shared<'_, T, G> {
    type Output = Scratch<T>;

    fn with_simd<S: Simd>(self, _: S) -> Scratch<T> {
        match columns::<T, S>(self.convolution) {
            4 => self.panels::<S, 4>(),
            2 => self.panels::<S, 2>(),
            _ => self.panels::<S, 1>(),
        }
    }
}

impl<T: Real, G: WeightTiling> Shared<'_, T, G> {
    fn panels<S: Simd, const N: usize>(self) -> Scratch<T> {
        let Self { tiling, convolution, map, x } = self;
        let [rows, columns] = map.tiles();
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let panels = convolution.group()[0].div_ceil(N * lanes);
        let length = length_of_panel::<T, S, G, N>(convolution.samples * rows * columns);
        let mut all = memory::scratch();
        memory::lay_out(&mut all, convolution.groups * panels * length, false);
        parallel::for_each_with(all.chunks_mut(length), |Buffers { strip, .. }, (index, pixels)| {
            let (place, samples) = ([index / panels, index % panels], 0..convolution.samples);
            instructions::dispatch(PanelPixels::<T, G, N> {
                tiling,
                convolution,
                map,
                x,
                place,
                samples,
                pixels,
                strip,
            });
        });
        all
    }
}

/// Vectors of input channels of a panel.
pub(super) fn columns<T: Real, S: Simd>(convolution: &Convolution) -> usize {
    let bytes = convolution.group()[0] * size_of::<T>();
    product::columns_over_tiles::<S>(bytes.div_ceil(size_of::<T::Vector<S>>()))
}

/// Elements of [`PanelPixels::pixels`].
pub(super) fn length_of_panel<T: Real, S: Simd, G: WeightTiling, const N: usize>(tiles: usize) -> usize {
    G::VALUES * (tiles * N + 1) * size_of::<T::Vector<S>>() / size_of::<T>()
}

/// `B^T d B` of every tile of some samples, for a panel of input channels.
pub(super) struct PanelPixels<'a, T, G, const N: usize> {
    pub tiling: PhantomData<G>,
    pub convolution: &'a Convolution,
    pub map: &'a Map,
    pub x: Source<'a, T>,
    /// The group and the panel.
    pub place: [usize; 2],
    pub samples: Range<usize>,
    /// `[value][tile][N]` vectors, zeros beyond the last channel; and one more a value: else the values' places share a few cache sets.
    pub pixels: &'a mut [MaybeUninit<T>],
    pub strip: &'a mut Strip<T>,
}

impl<T: Real, G: WeightTiling, const N: usize> WithSimd for PanelPixels<'_, T, G, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.fill::<S>(simd);
    }
}

impl<T: Real, G: WeightTiling, const N: usize> PanelPixels<'_, T, G, N> {
    #[inline(always)]
    pub fn fill<S: Simd>(self, simd: S) {
        let Self { convolution, map, x, place: [group, panel], samples, pixels, strip, .. } = self;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let (input, geometry) = (convolution.group()[0], map.reads());
        let channels = panel * N * lanes..input.min((panel + 1) * N * lanes);
        if channels.len().div_ceil(lanes) < N {
            pixels.fill(MaybeUninit::new(T::default()));
        }
        let pixels = memory::registers_mut::<T, S>(pixels);
        let distance = pixels.len() / G::VALUES;
        let mut pixels = Places::new(pixels);
        for (mut place, first) in channels.clone().step_by(lanes).enumerate() {
            let channels = group * input + first..group * input + channels.end.min(first + lanes);
            for sample in samples.clone() {
                strip.read::<S>(simd, x, planes(convolution.channels[0], sample, &channels), &geometry);
                strip.each_tile::<S>(
                    [G::SIDES.read, G::SIDES.step],
                    #[inline(always)]
                    |tile| {
                        G::pixels::<T, S>(simd, tile, (pixels.from(place), G::apart(distance)));
                        place += N;
                    },
                );
            }
        }
    }
}
