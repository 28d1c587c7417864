//! 3x3 convolution of stride 1 with 36 products for every 4x4 pixels instead of 144, and its transposes.
//!
//! With `d` the 6x6 pixels that a tile of 4x4 outputs reads, and `g` the 3x3 weights:
//! ```text
//! y     = A^T [(G g G^T) . (B^T d B)] A              element by element, summed over input channels
//! g_bar = G^T [(A y_bar A^T) . (B^T d B)] G          summed over samples and tiles
//! ```
//! Pixels are turned round in cache, so that a vector holds channels: then each of the 36 elements is a plain matrix product
//! `[tiles, in] x [in, out]`, or `[out, tiles] x [tiles, in]`.
//!
//! With fewer channels than a vector has lanes a weight's cotangent has tiles of one dimension, that need not be turned round.
//!
//! In `f32` a sum is off by 1e-6 (64 channels) or 2e-6 (512) of its root mean square, twice as much as the plain kernel's; a
//! weight's cotangent by 5e-7 instead of 1e-7.
//!
//! Source: Lavin & Gray, *Fast algorithms for convolutional neural networks* (2016), F(4x4, 3x3).

mod by_line;
mod by_sample;
mod panel;
mod product;
mod strip;
mod sum;
mod transform;
mod weight;

pub use sum::{Product, Sums};
pub(super) use sum::{sum, sums};

use std::ops::Range;

use pulp::{Simd, bytemuck};

use super::outer::{Sizes, Weight};
use super::shape::Convolution;
use super::source::Source;
use crate::Real;
use strip::Geometry;
use transform::{POINTS, Square, TILE};

/// Tiles transformed at a time, about: with 64 channels they take 600 KB in `f32` before the product and after it.
const BLOCK: usize = 64;

/// Channels on either side from which the transforms of a sum cost less than the products they save.
const CHANNELS_OF_SUM: usize = 32;

/// The same for the weight's cotangent.
const CHANNELS_OF_WEIGHT: usize = 16;

/// Whether tiles are the faster way to a sum.
pub(super) fn is_faster_sum(convolution: &Convolution) -> bool {
    saves(convolution) && (has_channels(convolution, CHANNELS_OF_SUM) || is_by_sample(convolution))
}

/// Whether tiles are a way to several sums that share their inputs and weights.
pub(super) fn is_faster_sums(convolution: &Convolution) -> bool {
    saves(convolution) && has_channels(convolution, CHANNELS_OF_SUM) && !is_by_sample(convolution)
}

/// Whether a sum by tiles has read a sample before it writes any of it.
pub(super) fn reads_first(convolution: &Convolution) -> bool {
    !is_by_sample(convolution) || by_sample::reads_first(&Sizes::of(convolution), &Map::forward(convolution))
}

/// Whether the tiles of the forward map hold one sample a lane.
fn is_by_sample(convolution: &Convolution) -> bool {
    by_sample::is_faster(&Sizes::of(convolution), &Map::forward(convolution), convolution.samples)
}

/// Whether tiles, of two dimensions or of one, are the faster way to the weight's cotangent.
pub(super) fn is_faster_weight(convolution: &Convolution) -> bool {
    saves(convolution) && has_channels(convolution, CHANNELS_OF_WEIGHT) || by_line::is_faster(convolution)
}

/// `w_bar` `[out, in / groups, 3, 3]`, from `x` and `y_bar`.
pub(super) fn weight_cotangent<T: Real>(convolution: &Convolution, x: Source<'_, T>, y_bar: &[T]) -> Vec<T> {
    if by_line::is_faster(convolution) {
        return by_line::weight_cotangent(convolution, x, y_bar);
    }
    weight::weight_cotangent(convolution, x, y_bar)
}

/// A convolution that tiles can compute, with at most half of its products even where they reach over the border.
fn saves(convolution: &Convolution) -> bool {
    let [height, width] = convolution.output();
    let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
    fits(convolution) && 2 * tiles * POINTS <= height * width * convolution.taps()
}

/// Whether tiles have the form of its window.
fn fits(convolution: &Convolution) -> bool {
    convolution.kernel == [3, 3] && convolution.stride == 1 && convolution.padding <= 2
}

fn has_channels(convolution: &Convolution, least: usize) -> bool {
    convolution.group().into_iter().all(|channels| channels >= least)
}

/// The map of a 3x3 convolution of stride 1: a window that starts at `i - padding`, perhaps with the weights turned round.
pub struct Map {
    /// Height and width of a source plane and of a target plane.
    source: [usize; 2],
    target: [usize; 2],
    padding: usize,
    /// The input's cotangent: weight `[2 - i, 2 - j]` stands at `[i, j]`.
    turned: bool,
}

impl Map {
    /// `y = x * w`.
    pub(super) fn forward(convolution: &Convolution) -> Self {
        let Convolution { size, padding, .. } = *convolution;
        Self { source: size, target: convolution.output(), padding, turned: false }
    }

    /// `x_bar = y_bar *^T w`: a convolution of `y_bar` with the weights turned round.
    pub(super) fn transposed(convolution: &Convolution) -> Self {
        let padding = 2 - convolution.padding;
        Self { source: convolution.output(), target: convolution.size, padding, turned: true }
    }

    /// The windows of an input channel of a group, one output channel a lane; zeros in the other lanes.
    #[inline(always)]
    fn window<T: Real, S: Simd>(
        &self,
        simd: S,
        (weight, strides): Weight<'_, T>,
        (group, channel): (usize, usize),
        outputs: Range<usize>,
    ) -> Square<T, S, 3> {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let mut window = [[T::splat(simd, T::default()); 3]; 3];
        let taps: &mut [T] = bytemuck::cast_slice_mut(window.as_flattened_mut());
        for (lane, out) in outputs.enumerate() {
            let start = group * strides[0] + out * strides[1] + channel * strides[2];
            for (tap, &weight) in weight[start..][..9].iter().enumerate() {
                let place = if self.turned { 8 - tap } else { tap };
                taps[place * lanes + lane] = weight;
            }
        }
        window
    }

    /// Rows and columns of tiles of a target plane.
    fn tiles(&self) -> [usize; 2] {
        self.target.map(|pixels| pixels.div_ceil(TILE))
    }

    /// The pixels that the tiles of a plane read.
    fn reads(&self) -> Geometry {
        let size = self.tiles().map(|tiles| tiles * TILE + 2);
        Geometry { plane: self.source, margin: self.padding, size }
    }

    /// The pixels that the tiles of a plane stand for.
    fn stands_for(&self) -> Geometry {
        Geometry { plane: self.target, margin: 0, size: self.tiles().map(|tiles| tiles * TILE) }
    }
}

/// Samples that a thread transforms at a time: about [`BLOCK`] tiles, and enough parts for all threads.
fn samples_at_once(map: &Map, samples: usize) -> usize {
    let [rows, columns] = map.tiles();
    (BLOCK / (rows * columns)).min(samples.div_ceil(rayon::current_num_threads())).max(1)
}
