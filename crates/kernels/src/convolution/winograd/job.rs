//! The stages of sums by tiles, whatever order they are gone through in: pixels to values, products of values, products to pixels.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;

use super::Map;
use super::product;
use super::strip::Strip;
use super::sum::{Product, Sums};
use super::tiling::{PlaceMut, SumTiling};
use super::transform::POINTS;
use crate::Real;
use crate::convolution::outer::Sizes;
use crate::memory::Scratch;
use crate::source::Source;

/// What is computed for one group.
pub(super) struct Job<'a, T, G> {
    /// How it is cut into tiles.
    pub tiling: PhantomData<G>,
    pub sizes: &'a Sizes,
    pub map: &'a Map,
    pub sums: &'a Sums<'a, T>,
    pub group: usize,
}

impl<T: Real, G> Job<'_, T, G> {
    /// Input channels of the group.
    pub(super) fn input(&self) -> usize {
        self.sizes.channels[0] / self.sizes.groups
    }

    /// Output channels of the group.
    pub(super) fn output(&self) -> usize {
        self.sizes.channels[1] / self.sizes.groups
    }

    /// Vectors of output channels of a tile of the product.
    pub(super) fn columns<S: Simd>(&self) -> usize {
        product::columns::<S>((self.output() * size_of::<T>()).div_ceil(size_of::<T::Vector<S>>()))
    }

    /// The input channels of a vector.
    pub(super) fn channels(&self, vector: usize, lanes: usize) -> Range<usize> {
        vector * lanes..self.input().min((vector + 1) * lanes)
    }
}

/// Sizes of products.
pub(super) struct Block {
    /// An even number.
    pub tiles: usize,
    /// Input channels, whole vectors.
    pub depth: usize,
    /// Panels of output channels.
    pub panels: usize,
}

impl<T: Real, G: SumTiling> Job<'_, T, G> {
    /// `B^T d B` of the tiles of a sample and a vector of input channels: values `distance` vectors apart, tiles `step`.
    #[inline(always)]
    pub(super) fn transform_pixels<S: Simd>(
        &self,
        simd: S,
        strip: &mut Strip<T>,
        (source, sample, vector): (Source<'_, T>, usize, usize),
        (mut pixels, [distance, step]): PlaceMut<'_, T::Vector<S>>,
    ) {
        let channels = self.channels(vector, size_of::<T::Vector<S>>() / size_of::<T>());
        let first = sample * self.sizes.channels[0] + self.group * self.input();
        strip.read::<S>(simd, source, first + channels.start..first + channels.end, &self.map.reads());
        let mut place = 0;
        strip.each_tile::<S>(
            [G::SIDES.read, G::SIDES.step],
            #[inline(always)]
            |tile| {
                G::pixels::<T, S>(simd, tile, (pixels.from(place), G::apart(distance)));
                place += step;
            },
        );
    }

    /// The products over channels, added to what is there if `adds`: of pixels `[value][tile][depth]`, those of an input `of_input` elements after
    /// those of the one before, with weights `[weight][panel][point][depth][N]`, as `[target][value][panel][tile][N]`; a vector more a value, and a
    /// channel more a point.
    ///
    /// # Safety
    /// Pixels and weights, but for that vector and channel, must have been written; if `adds`, products too.
    #[inline(always)]
    pub(super) unsafe fn multiply<S: Simd, const N: usize>(
        &self,
        simd: S,
        Block { tiles, depth, panels }: Block,
        (pixels, of_input): (&[MaybeUninit<T>], usize),
        weights: &[Scratch<T>],
        (products, adds): (&mut [MaybeUninit<T>], bool),
    ) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let [of_pixels, of_panel] = [tiles * depth + lanes, tiles * N * lanes];
        let of_products = panels * of_panel + lanes;
        for point in 0..POINTS {
            for (number, &Product { input, weight, target }) in self.sums.products.iter().enumerate() {
                let adds = adds || self.sums.products[..number].iter().any(|one| one.target == target);
                for panel in 0..panels {
                    let weights =
                        &weights[weight * panels + panel][point * (depth + 1) * N * lanes..][..depth * N * lanes];
                    // SAFETY: the caller's promise.
                    let weights = unsafe { weights.assume_init_ref() };
                    for value in G::values_of(point) {
                        let pixels = &pixels[input * of_input + value * of_pixels..][..tiles * depth];
                        // SAFETY: the caller's promise.
                        let pixels = unsafe { pixels.assume_init_ref() };
                        let products = &mut products[(target * G::VALUES + value) * of_products..][..of_products];
                        let (products, more) = products.split_at_mut(of_products - lanes);
                        more.fill(MaybeUninit::new(T::default()));
                        let products = &mut products[panel * of_panel..][..of_panel];
                        // SAFETY: the caller's promise, or a product before has written the target.
                        unsafe { product::over_channels::<T, S, N>(simd, pixels, weights, (products, adds)) };
                    }
                }
            }
        }
    }

    /// `A^T m A` of the tiles of a sample and a vector of output channels, put to its planes: values `distance` vectors apart, tiles `step`.
    #[inline(always)]
    pub(super) fn transform_products<S: Simd>(
        &self,
        simd: S,
        strip: &mut Strip<T>,
        (products, [distance, step]): (&[T::Vector<S>], [usize; 2]),
        planes: &mut [MaybeUninit<T>],
    ) {
        let mut place = 0;
        strip.fill_tiles::<S>(
            (self.map.tiles(), G::SIDES.written),
            #[inline(always)]
            |tile| {
                G::outputs::<T, S>(simd, (&products[place..], G::apart(distance)), tile);
                place += step;
            },
        );
        strip.write::<S>(simd, &self.map.stands_for(), planes);
    }
}
