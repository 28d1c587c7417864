//! The weight's cotangent of few channels, by tiles of one dimension: F(4, 3) down the columns, plain products along the rows.
//!
//! With `d` the six rows that a tile of four rows of outputs reads, and `j` running along the rows of all tiles of all samples:
//! ```text
//! m[point, tap] = sum_j (A y_bar)[point, j] (B^T d)[point, j + tap]        g_bar[., tap] = G^T m[., tap]
//! ```
//! Half of the plain products are left, not a quarter as with tiles of two dimensions. But nothing is turned round: rows stay as they lie in
//! memory, one after the other on a *line* with zeros between them, so that every lane has a pixel however few channels there are and
//! however short rows are, and the sums stay in registers all along a line.

use std::ops::Range;

use pulp::{Simd, WithSimd, bytemuck};

use super::transform::{OutputCotangents, Pixels, SIDE, TILE, Transform, WeightCotangents};
use crate::convolution::shape::Convolution;
use crate::memory::{self, Aligned, Cleared};
use crate::parallel::{self, Own};
use crate::source::{PlaneMap, Source};
use crate::{Real, instructions};

/// Columns of the window, each of which has its own products.
const TAPS: usize = 3;

/// Channels from which tiles of two dimensions fill their registers, and are faster.
const NARROW: usize = super::CHANNELS_OF_WEIGHT[0];

/// Channels of the other side, at most: sums that are used once for every line.
const WIDEST: usize = 64;

/// Output channels at least: those of a tile of the product that are not there are multiplied all the same.
const FEWEST_OUTPUTS: usize = 4;

/// Bytes of lines at a time, about; with the sums they fit a second-level cache of a megabyte.
const BLOCK: usize = 384 << 10;

/// Registers of a line at a time, at most: those of a tile of the product, eight of `y_bar` and one of `x`, are about a first-level cache.
const LONGEST: usize = 64;

/// Tasks that a group is cut into, if it has the pixels; fixed, so that sums do not depend on the threads.
const TASKS: usize = 16;

/// Pixels of a task at least, so that its sums are worth clearing and adding up.
const LEAST_PIXELS: usize = 4096;

/// Output channels of a tile of the product: 8 x 3 sums, three registers of `x` and one of `y_bar` fit 32 registers, 4 x 3 fit 16.
const fn rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
}

/// Whether tiles of one dimension leave at most three quarters of the plain products of a group with few channels.
pub(super) fn is_faster(convolution: &Convolution) -> bool {
    let [input, output] = convolution.group();
    let [height, width] = convolution.output();
    let tiled = height.div_ceil(TILE) * SIDE * TAPS * pitch(convolution);
    let is_narrow = input.min(output) < NARROW && input.max(output) <= WIDEST && output >= FEWEST_OUTPUTS;
    is_narrow
        && super::fits(convolution)
        && convolution.stride == 1
        && 4 * tiled <= 3 * height * width * convolution.taps()
}

/// Places from the first of a row to that of the next: those of its pixels and of the zeros before.
fn pitch(convolution: &Convolution) -> usize {
    convolution.size[1] + convolution.padding
}

/// `w_bar` `[out, in / groups, 3, 3]`, from `x` and `y_bar`.
pub(in crate::convolution) fn weight_cotangent<T: Real>(
    convolution: &Convolution,
    x: Source<'_, T>,
    y_bar: &[T],
) -> Vec<T> {
    let [input, output] = convolution.group();
    let [height, width] = convolution.output();
    let pieces = convolution.samples * height.div_ceil(TILE);
    let most = (convolution.samples * height * width / LEAST_PIXELS).clamp(1, pieces);
    let parts = TASKS.div_ceil(convolution.groups).min(most);
    let mut sums: Vec<Vec<T>> = vec![Vec::new(); parts * convolution.groups];
    parallel::for_each_with(sums.iter_mut(), |buffers: &mut Buffers<T>, (task, sums)| {
        let (group, part) = (task / parts, task % parts);
        let pieces = pieces * part / parts..pieces * (part + 1) / parts;
        *sums = instructions::dispatch(Task { convolution, x, y_bar, group, pieces, buffers });
    });
    let mut w_bar = vec![T::default(); output * convolution.groups * input * 9];
    for (w_bar, sums) in w_bar.chunks_exact_mut(output * input * 9).zip(sums.chunks_exact(parts)) {
        for sums in sums {
            super::add_sums(w_bar, sums);
        }
    }
    w_bar
}

/// The lines of some channels: `[point][channel][place]`, with zeros between rows.
struct Lines<T>(Cleared<T, Layout>);

/// Where rows lie on a line.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Layout {
    /// Height and width of a plane.
    plane: [usize; 2],
    /// Zeros above a plane and to the left of a row.
    margin: usize,
    /// Places from the first of a row to that of the next.
    pitch: usize,
    /// Elements of a line.
    length: usize,
    /// Lines of a point.
    lines: usize,
    /// Rows on a line, at most.
    pieces: usize,
}

impl<T: Real> Lines<T> {
    /// Makes room for lines of a layout.
    fn prepare(&mut self, layout: &Layout) {
        self.0.lay_out(*layout, SIDE * layout.lines * layout.length);
    }

    /// Puts the values at the points of some tiles of a channel to its lines, `FROM` rows of its plane a tile.
    #[inline(always)]
    fn put<S: Simd, F: Transform<FROM, SIDE>, const FROM: usize>(
        &mut self,
        simd: S,
        layout: &Layout,
        (source, channels, channel): (Source<'_, T>, usize, usize),
        (line, pieces, tiles): (usize, &Range<usize>, usize),
    ) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let Layout { plane: [height, width], margin, pitch, length, lines, pieces: longest } = *layout;
        let mut points: [&mut [T]; SIDE] = Default::default();
        for (point, values) in points.iter_mut().zip(self.0.values.chunks_exact_mut(lines * length)) {
            *point = &mut values[line * length..(line + 1) * length];
        }
        for (place, piece) in (margin..).step_by(pitch).zip(pieces.clone()) {
            let plane = piece / tiles * channels + channel;
            let first = (piece % tiles * TILE) as isize - margin as isize;
            let (pixels, map) = (source.planes(plane..plane + 1, height * width), source.map_of(plane));
            for column in (0..width).step_by(lanes) {
                let mut values = [T::splat(simd, T::default()); FROM];
                for (row, value) in (first..).zip(&mut values) {
                    if row >= 0 && row < height as isize {
                        let start = row as usize * width;
                        *value = read::<T, S>(simd, &pixels[start + column..start + width], map);
                    }
                }
                write::<T, S>(&mut points, place + column, &F::line::<T, S>(simd, values));
            }
        }
        if pieces.len() < longest {
            // What a longer block left there.
            for point in points {
                point[pieces.len() * pitch..].fill(T::default());
            }
        }
    }
}

/// Writes the values at the points; without a loop, which the compiler would leave one and keep the values in memory for.
#[inline(always)]
fn write<T: Real, S: Simd>(lines: &mut [&mut [T]; SIDE], place: usize, values: &[T::Vector<S>; SIDE]) {
    let ([a, b, c, d, e, f], values) = (lines, values);
    store::<T, S>(a, place, &values[0]);
    store::<T, S>(b, place, &values[1]);
    store::<T, S>(c, place, &values[2]);
    store::<T, S>(d, place, &values[3]);
    store::<T, S>(e, place, &values[4]);
    store::<T, S>(f, place, &values[5]);
}

/// Writes a register, wherever it lies.
#[inline(always)]
fn store<T: Real, S: Simd>(line: &mut [T], place: usize, value: &T::Vector<S>) {
    let values: &[T] = bytemuck::cast_slice(std::slice::from_ref(value));
    line[place..place + values.len()].copy_from_slice(values);
}

/// As many pixels as a register holds, or those that are left and zeros; mapped, if there is a map.
#[inline(always)]
fn read<T: Real, S: Simd>(simd: S, pixels: &[T], map: Option<PlaneMap<T>>) -> T::Vector<S> {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    if pixels.len() >= lanes {
        let mut vector = [load::<T, S>(pixels)];
        if let Some(map) = map {
            map.in_lanes(simd).apply(simd, &mut vector);
        }
        return vector[0];
    }
    let mut vector = [T::splat(simd, T::default())];
    let values: &mut [T] = bytemuck::cast_slice_mut(&mut vector);
    let values = &mut values[..pixels.len()];
    // Of lengths known to the compiler, so that they are moves.
    match pixels.len() {
        8 => values[..8].copy_from_slice(&pixels[..8]),
        4 => values[..4].copy_from_slice(&pixels[..4]),
        _ => values.copy_from_slice(pixels),
    }
    if let Some(map) = map {
        map.apply(values);
    }
    vector[0]
}

/// The first elements, wherever they lie.
#[inline(always)]
fn load<T: Real, S: Simd>(values: &[T]) -> T::Vector<S> {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&values[..lanes]))
}

/// One thread's memory.
struct Buffers<T> {
    pixels: Lines<T>,
    cotangents: Lines<T>,
    /// `[point][out / M][in][M][tap]` registers.
    sums: Aligned<T>,
}

impl<T: Real> Default for Buffers<T> {
    fn default() -> Self {
        Self { pixels: Lines(Cleared::new()), cotangents: Lines(Cleared::new()), sums: memory::aligned(0) }
    }
}

impl<T: Real> Own for Buffers<T> {
    fn bytes(&self) -> usize {
        memory::bytes([&self.pixels.0.values, &self.cotangents.0.values, &self.sums])
    }
}

/// A group's channels over some rows of tiles, counted through the samples.
struct Task<'a, T> {
    convolution: &'a Convolution,
    x: Source<'a, T>,
    y_bar: &'a [T],
    group: usize,
    pieces: Range<usize>,
    buffers: &'a mut Buffers<T>,
}

impl<T: Real> WithSimd for Task<'_, T> {
    /// `[out][in][9]`.
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<T> {
        match rows::<S>() {
            8 => self.sums::<S, 8>(simd),
            _ => self.sums::<S, 4>(simd),
        }
    }
}

impl<T: Real> Task<'_, T> {
    #[inline(always)]
    fn sums<S: Simd, const M: usize>(mut self, simd: S) -> Vec<T> {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let [input, output] = self.convolution.group();
        let panels = output.div_ceil(M);
        self.buffers.sums.clear();
        memory::resize(&mut self.buffers.sums, SIDE * panels * input * M * TAPS * lanes);
        let Convolution { size, padding, .. } = *self.convolution;
        let pitch = pitch(self.convolution);
        let bytes = SIDE * (input + panels * M) * size_of::<T::Vector<S>>();
        let longest = (BLOCK / bytes).clamp(1, LONGEST) * lanes;
        let blocks = self.pieces.len().div_ceil((longest / pitch).max(1)).max(1);
        let at_once = self.pieces.len().div_ceil(blocks).max(1);
        // Beyond the last row there is room for a register of it, and for the last taps.
        let length = (at_once * pitch + lanes + TAPS).next_multiple_of(lanes) | lanes;
        let pixels = Layout { plane: size, margin: padding, pitch, length, lines: input, pieces: at_once };
        let plane = self.convolution.output();
        let cotangents = Layout { plane, margin: 0, pitch, length, lines: panels * M, pieces: at_once };
        self.buffers.pixels.prepare(&pixels);
        self.buffers.cotangents.prepare(&cotangents);
        for first in self.pieces.clone().step_by(at_once) {
            let pieces = first..self.pieces.end.min(first + at_once);
            self.transform::<S>(simd, &pieces, [&pixels, &cotangents]);
            self.multiply::<S, M>(simd, ((pieces.len() * pitch).div_ceil(lanes), length));
        }
        self.transform_sums::<S, M>(simd)
    }

    /// `B^T d` and `A y_bar` of some rows of tiles.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, simd: S, pieces: &Range<usize>, [of_pixels, of_cotangents]: [&Layout; 2]) {
        let Buffers { pixels, cotangents, .. } = &mut *self.buffers;
        let ([input, output], channels) = (self.convolution.group(), self.convolution.channels);
        let tiles = self.convolution.output()[0].div_ceil(TILE);
        for line in 0..input {
            let from = (self.x, channels[0], self.group * input + line);
            pixels.put::<S, Pixels, SIDE>(simd, of_pixels, from, (line, pieces, tiles));
        }
        for line in 0..output {
            let from = (self.y_bar.into(), channels[1], self.group * output + line);
            cotangents.put::<S, OutputCotangents, TILE>(simd, of_cotangents, from, (line, pieces, tiles));
        }
    }

    /// Adds the products along the lines to the sums.
    #[inline(always)]
    fn multiply<S: Simd, const M: usize>(&mut self, simd: S, (steps, length): (usize, usize)) {
        let input = self.convolution.group()[0];
        let panels = self.convolution.group()[1].div_ceil(M);
        let Buffers { pixels, cotangents, sums } = &mut *self.buffers;
        let sums: &mut [T::Vector<S>] = bytemuck::cast_slice_mut(sums);
        let mut sums = sums.as_chunks_mut::<TAPS>().0.as_chunks_mut::<M>().0.iter_mut();
        let points = pixels.0.values.chunks_exact(input * length);
        for (pixels, cotangents) in points.zip(cotangents.0.values.chunks_exact(panels * M * length)) {
            for cotangents in cotangents.chunks_exact(M * length) {
                for (pixels, sums) in pixels.chunks_exact(length).zip(&mut sums) {
                    multiply_lines::<T, S, M>(simd, pixels, (cotangents, length, steps), sums);
                }
            }
        }
    }

    /// `G^T m` of every pair of channels, all lanes together.
    #[inline(always)]
    fn transform_sums<S: Simd, const M: usize>(&mut self, simd: S) -> Vec<T> {
        let [input, output] = self.convolution.group();
        let distance = output.div_ceil(M) * input * M;
        let sums: &[T::Vector<S>] = bytemuck::cast_slice(&self.buffers.sums);
        let (sums, _) = sums.as_chunks::<TAPS>();
        let mut w_bar = vec![T::default(); output * input * 9];
        for (index, w_bar) in w_bar.chunks_exact_mut(9).enumerate() {
            let (out, channel) = (index / input, index % input);
            let place = (out / M * input + channel) * M + out % M;
            for tap in 0..TAPS {
                let mut points = [T::splat(simd, T::default()); SIDE];
                for (point, value) in points.iter_mut().enumerate() {
                    *value = sums[point * distance + place][tap];
                }
                for (row, &value) in WeightCotangents::line::<T, S>(simd, points).iter().enumerate() {
                    w_bar[row * TAPS + tap] = T::sum(simd, value);
                }
            }
        }
        w_bar
    }
}

/// `sums[m][tap] += sum_j cotangents[m][j] pixels[j + tap]`, lane by lane.
#[inline(always)]
fn multiply_lines<T: Real, S: Simd, const M: usize>(
    simd: S,
    pixels: &[T],
    (cotangents, length, steps): (&[T], usize, usize),
    sums: &mut [[T::Vector<S>; TAPS]; M],
) {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let cotangents: &[T::Vector<S>] = bytemuck::cast_slice(cotangents);
    let mut lines = [cotangents; M];
    for (line, cotangents) in lines.iter_mut().zip(cotangents.chunks_exact(length / lanes)) {
        *line = &cotangents[..steps];
    }
    let pixels = &pixels[..steps * lanes + TAPS - 1];
    let mut registers = *sums;
    for step in 0..steps {
        let mut x = [T::splat(simd, T::default()); TAPS];
        for (tap, x) in x.iter_mut().enumerate() {
            *x = load::<T, S>(&pixels[step * lanes + tap..]);
        }
        for (registers, line) in registers.iter_mut().zip(&lines) {
            let y = line[step];
            for (register, &x) in registers.iter_mut().zip(&x) {
                *register = T::multiply_add(simd, y, x, *register);
            }
        }
    }
    *sums = registers;
}
