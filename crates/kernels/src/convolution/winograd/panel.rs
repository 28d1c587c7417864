//! The weights of sums, transformed.

use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use super::job::Job;
use super::tiling::Tiling;
use super::transform::{POINTS, apart};
use crate::convolution::outer::Weight;
use crate::memory::{self, Aligned};
use crate::{Real, instructions};

/// `G g G^T` of some vectors of input channels of every weight, as `[weight][out / N][point][in][N]` vectors, zeros beyond the last channel;
/// a channel more a point, else the points' places share a few cache sets.
pub(super) fn transform<T: Real, S: Simd, G: Tiling>(
    job: &Job<'_, T, G>,
    part: &Range<usize>,
    weights: &mut Aligned<T>,
) {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let width = job.columns::<S>() * lanes;
    let length = POINTS * (part.len() * lanes + 1) * width;
    let panels = job.output().div_ceil(width);
    memory::resize(weights, job.sums.weights.len() * panels * length);
    weights.par_chunks_mut(length).enumerate().for_each(|(index, panel)| {
        let (weight, first) = (job.sums.weights[index / panels], index % panels * width);
        let outputs = first..job.output().min(first + width);
        instructions::dispatch(Panel { job, weight, part, outputs, panel });
    });
}

/// A panel of output channels.
pub(super) struct Panel<'a, T, G> {
    pub job: &'a Job<'a, T, G>,
    pub weight: Weight<'a, T>,
    /// Vectors of input channels.
    pub part: &'a Range<usize>,
    pub outputs: Range<usize>,
    /// `[point][in][N]` vectors, and a channel more a point.
    pub panel: &'a mut [T],
}

impl<T: Real, G: Tiling> WithSimd for Panel<'_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.fill(simd);
    }
}

impl<T: Real, G: Tiling> Panel<'_, T, G> {
    /// Transforms its weights.
    #[inline(always)]
    pub(super) fn fill<S: Simd>(self, simd: S) {
        let Self { job, weight, part, outputs, panel } = self;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let columns = job.columns::<S>();
        let distance = (part.len() * lanes + 1) * columns;
        let panel: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(panel);
        for (index, vector) in part.clone().enumerate() {
            let channels = job.channels(vector, lanes);
            for (column, first) in outputs.clone().step_by(lanes).enumerate() {
                let outputs = first..outputs.end.min(first + lanes);
                for lane in 0..lanes {
                    // Zeros for a lane beyond the last channel.
                    let mut window = [[T::splat(simd, T::default()); 3]; 3];
                    if lane < channels.len() {
                        window = job.map.window(simd, weight, (job.group, channels.start + lane), outputs.clone());
                    }
                    let place = (index * lanes + lane) * columns + column;
                    let from = (window.as_flattened(), [3, 1]);
                    G::weights::<T, S>(simd, from, (&mut panel[place..], apart(distance)));
                }
            }
        }
    }
}
