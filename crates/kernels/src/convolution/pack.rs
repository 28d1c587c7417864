//! Reading pixels: a block of them, its rows with the zeros around, and the taps' values laid out for the product.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::shape::Grid;
use crate::Real;
use crate::source::Source;

/// A run of rows of one sample.
struct Piece {
    sample: usize,
    /// First source row, which may lie above the plane.
    first: isize,
    rows: usize,
}

/// Some consecutive pixels of a batch's grids, and where the taps find their values.
///
/// A *plane* holds one channel of all pieces, row by row, zeros included; then every tap of every pixel is at a fixed
/// distance from the pixel's own place, with no border to test for. Where pixels read every second (third, ...) column, a
/// row holds the even columns first and then the odd ones, so that neighbours read neighbours.
pub(crate) struct Block {
    pieces: Vec<Piece>,
    /// Columns of a padded row, a multiple of the step, and the source column of the first.
    columns: usize,
    left: isize,
    step: usize,
    /// The place of every run of `run` pixels.
    places: Vec<usize>,
    /// Pixels that lie side by side in a plane.
    run: usize,
    /// The distance of every tap.
    distances: Vec<usize>,
    /// Elements of a plane.
    plane: usize,
    /// Panels, the last one possibly beyond the pixels.
    pub panels: usize,
}

impl Block {
    /// The block of `pixels` (counted through the samples), in panels of `vectors` times `lanes`.
    pub(crate) fn new(grid: &Grid, pixels: Range<usize>, vectors: usize, lanes: usize) -> Self {
        let width = vectors * lanes;
        let panels = pixels.len().div_ceil(width);
        let [top, left] = [0, 1].map(|axis| grid.taps.iter().map(|tap| tap.offset[axis]).min().unwrap_or(0));
        let [bottom, right] = [0, 1].map(|axis| grid.taps.iter().map(|tap| tap.offset[axis]).max().unwrap_or(0));
        let step = grid.step;
        let columns = ((grid.size[1] - 1) * step + (right - left) as usize + 1).next_multiple_of(step);
        let run = common_divisor(grid.size[1], lanes);

        let per_sample = grid.pixels();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut places = Vec::with_capacity(panels * width / run);
        let mut plane = 0;
        let mut at = pixels.start;
        while at < pixels.end {
            let (sample, from) = (at / per_sample, at % per_sample);
            let to = (from + pixels.end - at).min(per_sample);
            let row_range = from / grid.size[1]..(to - 1) / grid.size[1] + 1;
            let rows = (row_range.len() - 1) * grid.step + (bottom - top) as usize + 1;
            for pixel in (from..to).step_by(run) {
                let (row, column) = (pixel / grid.size[1] - row_range.start, pixel % grid.size[1]);
                places.push(plane + row * step * columns + column);
            }
            pieces.push(Piece { sample, first: (row_range.start * grid.step) as isize + top, rows });
            plane += rows * columns;
            at += to - from;
        }
        // Pixels beyond the last are computed and thrown away; any place serves.
        places.resize(panels * width / run, 0);
        let distance = |offset: [isize; 2]| {
            let [down, across] = [(offset[0] - top) as usize, (offset[1] - left) as usize];
            down * columns + across % step * (columns / step) + across / step
        };
        let distances = grid.taps.iter().map(|tap| distance(tap.offset)).collect();
        Self { pieces, columns, left, step, places, run, distances, plane, panels }
    }

    /// Lays out the rows `(channel, tap)` of some channels of `input` as `[row / group][panel][row % group][width]`,
    /// so that whoever goes through the panels of `group` rows reads on and on. Rows beyond the last keep what they hold.
    #[inline(always)]
    pub(crate) fn pack<T: Real>(
        &self,
        grid: &Grid,
        input: &Planes<'_, T>,
        scratch: &mut Vec<T>,
        packed: &mut [T],
        group: usize,
    ) {
        // The last row's runs may read a little beyond it, for pixels that are thrown away.
        scratch.resize(self.plane + self.columns, T::default());
        let taps = self.distances.len();
        for (index, channel) in input.range.clone().enumerate() {
            self.fill_plane(grid, input, channel, scratch);
            for (tap, &distance) in self.distances.iter().enumerate() {
                let row = index * taps + tap;
                match self.run {
                    16 => self.copy_runs::<T, 16>(&scratch[distance..], packed, row, group),
                    8 => self.copy_runs::<T, 8>(&scratch[distance..], packed, row, group),
                    4 => self.copy_runs::<T, 4>(&scratch[distance..], packed, row, group),
                    2 => self.copy_runs::<T, 2>(&scratch[distance..], packed, row, group),
                    _ => self.copy_runs::<T, 1>(&scratch[distance..], packed, row, group),
                }
            }
        }
    }

    /// One channel of every piece, with zeros where the source ends.
    #[inline(always)]
    fn fill_plane<T: Real>(&self, grid: &Grid, input: &Planes<'_, T>, channel: usize, plane: &mut [T]) {
        let [height, width] = grid.source;
        let before = ((-self.left).max(0) as usize).min(self.columns);
        let from = self.left.max(0) as usize;
        let count = width.saturating_sub(from).min(self.columns - before);
        let (plane, row_buffer) = plane.split_at_mut(self.plane);
        let mut padded_rows = plane.chunks_exact_mut(self.columns);
        for piece in &self.pieces {
            let place = piece.sample * input.channels + channel;
            let (source, map) = (input.values.planes(place..place + 1, height * width), input.values.map_of(place));
            for (row, padded) in (piece.first..).zip(padded_rows.by_ref().take(piece.rows)) {
                if row < 0 || row >= height as isize {
                    padded.fill(T::default());
                    continue;
                }
                let line = if self.step == 1 { &mut *padded } else { &mut *row_buffer };
                line[..before].fill(T::default());
                let pixels = &mut line[before..before + count];
                copy_short(pixels, &source[row as usize * width + from..][..count]);
                if let Some(map) = map {
                    map.apply(pixels);
                }
                line[before + count..].fill(T::default());
                if self.step > 1 {
                    separate(padded, row_buffer, self.step);
                }
            }
        }
    }

    /// One row of every panel, in runs of a length known to the compiler.
    #[inline(always)]
    fn copy_runs<T: Real, const RUN: usize>(&self, plane: &[T], packed: &mut [T], row: usize, group: usize) {
        let width = self.places.len() / self.panels * self.run;
        let panels = &mut packed[row / group * group * self.panels * width..];
        let places = self.places.chunks_exact(width / RUN);
        for (panel, places) in panels.chunks_exact_mut(group * width).zip(places) {
            let (runs, _) = panel[row % group * width..][..width].as_chunks_mut::<RUN>();
            for (run, &place) in runs.iter_mut().zip(places) {
                run.copy_from_slice(&plane[place..][..RUN]);
            }
        }
    }
}

/// [`copy_short`] to where nothing is yet.
#[inline(always)]
pub(crate) fn write_short<T: Real>(to: &mut [MaybeUninit<T>], from: &[T]) {
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<16>(), from.as_chunks::<16>());
    for (to, from) in to.iter_mut().zip(from) {
        to.write_copy_of_slice(from);
    }
    for (to, &from) in to_rest.iter_mut().zip(from_rest) {
        to.write(from);
    }
}

/// Every `step`th element from the first, then every `step`th from the second, and so on.
#[inline(always)]
fn separate<T: Real>(to: &mut [T], from: &[T], step: usize) {
    let length = to.len() / step;
    if step == 2 {
        // Pairs, which the compiler takes apart with shuffles.
        let (even, odd) = to.split_at_mut(length);
        for ((even, odd), pair) in even.iter_mut().zip(odd).zip(from.as_chunks::<2>().0) {
            (*even, *odd) = (pair[0], pair[1]);
        }
        return;
    }
    for (first, part) in to.chunks_exact_mut(length).enumerate() {
        part.iter_mut().zip(from[first..].iter().step_by(step)).for_each(|(value, &from)| *value = from);
    }
}

/// Copies a few dozen elements without a call.
#[inline(always)]
pub(crate) fn copy_short<T: Real>(to: &mut [T], from: &[T]) {
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<16>(), from.as_chunks::<16>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}

/// Some channels of a batch of planes.
#[derive(Clone)]
pub(crate) struct Planes<'a, T> {
    /// `[samples, channels, h, w]`.
    pub values: Source<'a, T>,
    /// Channels of `values`.
    pub channels: usize,
    /// The channels meant.
    pub range: Range<usize>,
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
