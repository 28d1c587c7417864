//! The weights of sums, transformed.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::job::Job;
use super::tiling::SumTiling;
use super::transform::{POINTS, apart};
use crate::convolution::outer::Weight;
use crate::memory::{self, Places, Scratch};
use crate::{Real, instructions};

/// `G g G^T` of some vectors of input channels of every weight: `[weight, out / N]`, each [`Panel::panel`].
pub(super) fn transform<T: Real, S: Simd, G: SumTiling>(
    job: &Job<'_, T, G>,
    part: &Range<usize>,
    weights: &mut Vec<Scratch<T>>,
) {
    let width = job.columns::<S>() * size_of::<T::Vector<S>>() / size_of::<T>();
    let panels = job.output().div_ceil(width);
    weights.resize_with(job.sums.weights.len() * panels, memory::scratch);
    weights.par_iter_mut().enumerate().for_each(|(index, panel)| {
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
    /// `[point][in][N]` vectors, zeros beyond the last channel; and a channel more a point, else the points' places share a few cache sets.
    pub panel: &'a mut Scratch<T>,
}

impl<T: Real, G: SumTiling> WithSimd for Panel<'_, T, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.fill(simd);
    }
}

impl<T: Real, G: SumTiling> Panel<'_, T, G> {
    /// Transforms its weights.
    #[inline(always)]
    pub(super) fn fill<S: Simd>(self, simd: S) {
        let Self { job, weight, part, outputs, panel } = self;
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let columns = job.columns::<S>();
        let distance = (part.len() * lanes + 1) * columns;
        let has_gaps = outputs.len().div_ceil(lanes) < columns;
        memory::lay_out(panel, POINTS * distance * lanes, has_gaps);
        let mut panel = Places::new(memory::registers_mut::<T, S>(panel));
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
                    G::weights::<T, S>(simd, from, (panel.from(place), apart(distance)));
                }
            }
        }
    }
}
