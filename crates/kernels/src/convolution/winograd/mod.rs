//! 3x3 convolution with fewer products than 144 for every 4x4 pixels, and its transposes: 36 of stride 1, 81 of stride 2.
//!
//! With `d` the pixels that a tile of 4x4 outputs reads (6x6 of stride 1), and `g` the 3x3 weights:
//! ```text
//! y     = A^T [(G g G^T) . (B^T d B)] A              element by element, summed over input channels
//! g_bar = G^T [(A y_bar A^T) . (B^T d B)] G          summed over samples and tiles
//! ```
//! Pixels are turned round in cache, so that a vector holds channels: then each of the elements is a plain matrix product
//! `[tiles, in] x [in, out]`, or `[out, tiles] x [tiles, in]`.
//!
//! With fewer channels than a vector has lanes a weight's cotangent has tiles of one dimension, that need not be turned round. That of a window of
//! one pixel is the same product without transforms: pixels are turned round, so that no register's lanes have to be added up.
//!
//! Of stride 2 (`halving`), even pixels meet two weights of a line and odd ones the third. The first go through tiles as well, with five products
//! for four outputs instead of eight; the second are multiplied as they are: 9x9 products instead of 12x12. A tile reads 9x9 pixels, so that it
//! has no more values than pixels. The input's cotangent has the same parts, 9x9 products for 8x8 pixels.
//!
//! In `f32` a sum of stride 1 is off by 1e-6 (64 channels) or 2e-6 (512) of its root mean square, twice as much as the plain kernel's; a
//! weight's cotangent by 5e-7 instead of 1e-7; with stride 2, by three quarters of that.
//!
//! Source: Lavin & Gray, *Fast algorithms for convolutional neural networks* (2016), F(4x4, 3x3).

mod by_line;
mod by_sample;
mod few;
mod grid;
mod halving;
mod job;
mod moments;
mod panel;
mod product;
mod strip;
mod sum;
mod tiling;
mod transform;
mod weight;
mod window;

pub use sum::{Product, Sums};
pub(super) use sum::{sum, sums};

use std::ops::Range;

use pulp::Simd;

use super::outer::{Sizes, Weight};
use super::shape::Convolution;
use crate::Real;
use crate::source::Source;
use grid::Grid;
use tiling::{Doubling, Halving, Pixel, Sides, Tiling, Unit};
use transform::{POINTS, Square};

/// Tiles transformed at a time, about: with 64 channels they take 600 KB in `f32` before the product and after it.
const BLOCK: usize = 64;

/// Channels on either side from which the transforms of a sum cost less than the products they save, with stride 1 and 2.
const CHANNELS_OF_SUM: [usize; 2] = [32, 16];

/// The same for the weight's cotangent.
const CHANNELS_OF_WEIGHT: [usize; 2] = [16, 32];

/// The same for the weight's cotangent of windows of one pixel.
const CHANNELS_OF_PIXEL: usize = 16;

/// Pixels of a plane, one channel a lane, from which its moments are taken as it is written: those of less take longer to put together than to read again.
const PLANE: usize = 64;

/// Whether tiles are the faster way to a sum.
pub(super) fn is_faster_sum(convolution: &Convolution) -> bool {
    saves(convolution) && (has_channels(convolution, CHANNELS_OF_SUM) || is_by_sample(convolution))
}

/// Whether tiles are a way to several sums that share their inputs and weights.
pub(super) fn is_faster_sums(convolution: &Convolution) -> bool {
    is_faster_sum(convolution) && !is_by_sample(convolution)
}

/// Whether a sum by tiles takes the moments of what it writes.
pub(super) fn takes_moments(convolution: &Convolution) -> bool {
    let (sizes, map) = (Sizes::of(convolution), Map::forward(convolution));
    let is_worth = map.target[0] * map.target[1] >= PLANE && !few::is_faster(&sizes, &map, convolution.samples);
    is_faster_sum(convolution) && (is_by_sample(convolution) || is_worth)
}

/// Whether a sum by tiles has read a sample before it writes any of it.
pub(super) fn reads_first(convolution: &Convolution) -> bool {
    !is_by_sample(convolution) || by_sample::reads_first(&Sizes::of(convolution), &Map::forward(convolution))
}

/// Whether the tiles of the forward map hold one sample a lane.
fn is_by_sample(convolution: &Convolution) -> bool {
    by_sample::is_faster(&Sizes::of(convolution), &Map::forward(convolution), convolution.samples)
}

/// Whether tiles, of two dimensions, of one or of single pixels, are the faster way to the weight's cotangent.
pub(super) fn is_faster_weight(convolution: &Convolution) -> bool {
    let has_tiles = saves(convolution) && has_channels(convolution, CHANNELS_OF_WEIGHT);
    has_tiles || reads_pixels(convolution) || by_line::is_faster(convolution)
}

/// `w_bar` `[out, in / groups, taps]`, from `x` and `y_bar`.
pub(super) fn weight_cotangent<T: Real>(convolution: &Convolution, x: Source<'_, T>, y_bar: &[T]) -> Vec<T> {
    if by_line::is_faster(convolution) {
        return by_line::weight_cotangent(convolution, x, y_bar);
    }
    weight::weight_cotangent(convolution, x, y_bar)
}

/// Whether windows are single pixels, of as many channels as fill registers: turned round, neither side's lanes have to be added up.
fn reads_pixels(convolution: &Convolution) -> bool {
    let is_pixel = convolution.kernel == [1, 1] && convolution.padding == 0 && convolution.stride <= 2;
    is_pixel && convolution.group().into_iter().all(|channels| channels >= CHANNELS_OF_PIXEL)
}

/// Adds a task's sums to the weights' cotangents.
fn add_sums<T: Real>(w_bar: &mut [T], sums: &[T]) {
    w_bar.iter_mut().zip(sums).for_each(|(a, &b)| *a = T::of_f64(a.to_f64() + b.to_f64()));
}

/// A convolution that tiles can compute, with at most half of its products (stride 1), or three quarters (stride 2), even where they reach over
/// the border.
fn saves(convolution: &Convolution) -> bool {
    if !fits(convolution) {
        return false;
    }
    let map = Map::forward(convolution);
    let [rows, columns] = map.tiles();
    let [height, width] = convolution.output();
    let [products, plain] = [rows * columns * map.values(), height * width * convolution.taps()];
    products * 4 <= plain * [2, 3][convolution.stride - 1]
}

/// Whether tiles have the form of its window.
fn fits(convolution: &Convolution) -> bool {
    convolution.kernel == [3, 3] && (1..=2).contains(&convolution.stride) && convolution.padding <= 2
}

fn has_channels(convolution: &Convolution, least: [usize; 2]) -> bool {
    convolution.group().into_iter().all(|channels| channels >= least[convolution.stride - 1])
}

/// Which of the tilings a map is cut by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Unit,
    Halving,
    Doubling,
    Pixel,
    SecondPixel,
}

/// The map of a 3x3 or 1x1 convolution of stride 1 or 2: a window that starts at `stride i - padding`; or the transpose of such a map.
pub struct Map {
    way: Way,
    /// Height and width of a source plane and of a target plane.
    source: [usize; 2],
    target: [usize; 2],
    /// Pixels of the first tile before the first row and column of the source, and of the target.
    margins: [usize; 2],
    /// The input's cotangent: weight `[2 - i, 2 - j]` stands at `[i, j]`.
    turned: bool,
}

impl Map {
    /// `y = x * w`.
    pub(super) fn forward(convolution: &Convolution) -> Self {
        let Convolution { size, padding, .. } = *convolution;
        let way = match (convolution.kernel, convolution.stride) {
            ([1, 1], 1) => Way::Pixel,
            ([1, 1], _) => Way::SecondPixel,
            (_, 1) => Way::Unit,
            _ => Way::Halving,
        };
        Self { way, source: size, target: convolution.output(), margins: [padding, 0], turned: false }
    }

    /// `x_bar = y_bar *^T w`: of stride 1, a convolution of `y_bar` with the weights turned round.
    ///
    /// Of stride 2, a tile begins where the window of an output has its middle: at a pixel that only one output reads.
    pub(super) fn transposed(convolution: &Convolution) -> Self {
        let padding = convolution.padding;
        let (way, margins) = match convolution.stride {
            1 => (Way::Unit, [2 - padding, 0]),
            _ => (Way::Doubling, [usize::from(padding == 0), 1 - padding % 2]),
        };
        Self { way, source: convolution.output(), target: convolution.size, margins, turned: true }
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
        let first = group * strides[0] + channel * strides[2];
        let mut window = window::read::<T, S>(simd, weight, outputs.map(|out| first + out * strides[1]));
        if self.turned {
            window.as_flattened_mut().reverse();
        }
        window
    }

    /// Rows and columns of tiles of a target plane.
    fn tiles(&self) -> [usize; 2] {
        self.target.map(|pixels| (self.margins[1] + pixels).div_ceil(self.sides().written))
    }

    /// The pixels that the tiles of a plane read.
    fn reads(&self) -> Grid {
        let Sides { read, step, .. } = self.sides();
        let reached = self.tiles().map(|tiles| tiles * step + read - step);
        // A stride can leave the last row and column unread.
        let size = [0, 1].map(|axis| reached[axis].max(self.margins[0] + self.source[axis]));
        Grid { plane: self.source, first: [-(self.margins[0] as isize); 2], size }
    }

    /// The pixels that the tiles of a plane stand for.
    fn stands_for(&self) -> Grid {
        let size = self.tiles().map(|tiles| tiles * self.sides().written);
        Grid { plane: self.target, first: [-(self.margins[1] as isize); 2], size }
    }

    fn sides(&self) -> Sides {
        match self.way {
            Way::Unit => Unit::SIDES,
            Way::Halving => Halving::SIDES,
            Way::Doubling => Doubling::SIDES,
            Way::Pixel => Pixel::<1>::SIDES,
            Way::SecondPixel => Pixel::<2>::SIDES,
        }
    }

    /// Values of a tile.
    fn values(&self) -> usize {
        self.sides().values * self.sides().values
    }
}

/// Samples that a thread transforms at a time: as many values as [`BLOCK`] tiles of stride 1 have, about.
fn samples_at_once(map: &Map) -> usize {
    let [rows, columns] = map.tiles();
    (BLOCK * POINTS / (rows * columns * map.values())).max(1)
}
