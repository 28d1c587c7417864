//! Average pooling and its transpose: one read of the larger side, one write of the smaller, or the other way round.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::source::PlaneMap;
use crate::{Real, Source, instructions, memory};

/// Elements a thread takes at a time, about.
const CHUNK: usize = 1 << 15;

/// The bins that planes of `height` by `width` pixels are averaged over: every range of rows with every range of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bins {
    /// Height and width of a plane.
    pub size: [usize; 2],
    /// The rows of each bin, in order; they may overlap and leave rows out.
    pub rows: Vec<Range<usize>>,
    /// The columns of each bin, in order; they may overlap and leave columns out.
    pub columns: Vec<Range<usize>>,
}

impl Bins {
    fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn count(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Whether each bin is two by two pixels, one beside the other, and all pixels are in one.
    fn halves(&self) -> bool {
        let in_pairs = |ranges: &[Range<usize>], size: usize| {
            let pairs = (0..ranges.len()).map(|index| 2 * index..2 * index + 2);
            2 * ranges.len() == size && pairs.eq(ranges.iter().cloned())
        };
        in_pairs(&self.rows, self.size[0]) && in_pairs(&self.columns, self.size[1])
    }

    /// The number of planes of `from` values each.
    fn planes(&self, length: usize, from: usize) -> usize {
        let [height, width] = self.size;
        let holds = |ranges: &[Range<usize>], size: usize| {
            ranges.iter().all(|range| range.start < range.end && range.end <= size)
        };
        assert!(
            holds(&self.rows, height) && holds(&self.columns, width),
            "a bin is empty or passes the edge: {self:?}"
        );
        assert!(from > 0 && length.is_multiple_of(from), "{length} values are no planes of {from}: {self:?}");
        length / from
    }

    /// Writes every plane of `into` values in parallel: `write(plane, values, space for so many elements)`.
    fn for_planes<T: Real, U: Send>(
        &self,
        (values, into): (&mut [U], usize),
        space: usize,
        write: impl Fn(usize, &mut [U], &mut [T]) + Sync,
    ) {
        if values.is_empty() {
            return;
        }
        let planes = (CHUNK / self.pixels()).max(1);
        values.par_chunks_mut(planes * into).enumerate().for_each(|(chunk, values)| {
            let mut space = vec![T::default(); space];
            instructions::vectorised(
                #[inline(always)]
                || {
                    for (plane, values) in (chunk * planes..).zip(values.chunks_exact_mut(into)) {
                        write(plane, values, &mut space);
                    }
                },
            );
        });
    }

    /// One over the pixels of a bin.
    fn share<T: Real>(rows: &Range<usize>, columns: &Range<usize>) -> T {
        T::of_f64(1.0 / (rows.len() * columns.len()) as f64)
    }
}

/// Calls a closure with a width: the usual ones known to the compiler, so that it unrolls the rows of small planes.
macro_rules! of_width {
    ($width:expr, $work:expr) => {
        match $width {
            4 => $work(4),
            8 => $work(8),
            width => $work(width),
        }
    };
}

/// The mean of every bin of every plane; each plane goes through its map on the way, if it has one.
///
/// # Panics
/// If `x` is no number of whole planes, its map has no value for each channel, or a bin is empty or passes the edge.
pub fn average<T: Real>(bins: &Bins, x: Source<'_, T>) -> Vec<T> {
    let (pixels, width, halves) = (bins.pixels(), bins.size[1], bins.halves());
    let (planes, maps) = (bins.planes(x.len(), pixels), x.map());
    maps.iter().for_each(|maps| {
        let fits = |values: &[T]| planes.is_multiple_of(values.len());
        assert!(fits(maps.scale) && fits(maps.shift), "a map of {} values for {planes} planes", maps.scale.len());
    });
    let space = width + if maps.is_some() && !halves { pixels } else { 0 };
    let write = |y: &mut [MaybeUninit<T>]| {
        bins.for_planes(
            (y, bins.count()),
            space,
            #[inline(always)]
            |plane, y, space: &mut [T]| {
                let (sums, mapped) = space.split_at_mut(width);
                let map = x.map_of(plane);
                let mut x = x.planes(plane..plane + 1, pixels);
                if halves {
                    return of_width!(width, |width| average_pairs(x, map, (sums, y), width));
                }
                if let Some(map) = map {
                    mapped.copy_from_slice(x);
                    map.apply(mapped);
                    x = mapped;
                }
                for (rows, y) in bins.rows.iter().zip(y.chunks_exact_mut(bins.columns.len())) {
                    // The rows of a bin are added pixel by pixel first: whole vectors.
                    sums.fill(T::default());
                    for x in x[rows.start * width..rows.end * width].chunks_exact(width) {
                        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = *sum + x);
                    }
                    for (columns, y) in bins.columns.iter().zip(y) {
                        let sum = sums[columns.clone()].iter().fold(T::default(), |sum, &x| sum + x);
                        y.write(sum * Bins::share(rows, columns));
                    }
                }
            },
        );
    };
    // SAFETY: every plane's bins are all of its chunk of `y`: one row of bins a chunk, one column an element.
    unsafe { memory::written(planes * bins.count(), write) }
}

/// [`average`] of a plane in squares of four pixels, with memory for the sums of two rows; mapped while they are added up.
#[inline(always)]
fn average_pairs<T: Real>(
    x: &[T],
    map: Option<PlaneMap<T>>,
    (sums, y): (&mut [T], &mut [MaybeUninit<T>]),
    width: usize,
) {
    let quarter = T::of_f64(0.25);
    let sums = &mut sums[..width];
    for (rows, y) in x.chunks_exact(2 * width).zip(y.chunks_exact_mut(width / 2)) {
        // All at once the compiler would gather each of the four pixels of many squares.
        let (first, second) = rows.split_at(width);
        let pairs = sums.iter_mut().zip(first.iter().zip(second));
        match map {
            None => pairs.for_each(|(sum, (&a, &b))| *sum = a + b),
            Some(map) => pairs.for_each(|(sum, (&a, &b))| *sum = map.of(a) + map.of(b)),
        }
        y.iter_mut().zip(sums.as_chunks::<2>().0).for_each(|(y, [a, b])| _ = y.write((*a + *b) * quarter));
    }
}

/// [`spread`] to a plane in squares of four pixels.
#[inline(always)]
fn spread_pairs<T: Real>(x_bar: &mut [MaybeUninit<T>], y_bar: &[T], width: usize) {
    let quarter = T::of_f64(0.25);
    for (rows, y_bar) in x_bar.chunks_exact_mut(2 * width).zip(y_bar.chunks_exact(width / 2)) {
        let (first, second) = rows.split_at_mut(width);
        for (pair, &y_bar) in first.as_chunks_mut::<2>().0.iter_mut().zip(y_bar) {
            *pair = [MaybeUninit::new(y_bar * quarter); 2];
        }
        second.copy_from_slice(first);
    }
}

/// The transpose of [`average`]: every bin's value, divided by its pixels, goes to each of them.
///
/// # Panics
/// If `y_bar` is no number of whole planes of bins, or a bin is empty or passes the edge.
pub fn spread<T: Real>(bins: &Bins, y_bar: &[T]) -> Vec<T> {
    let (pixels, width, halves) = (bins.pixels(), bins.size[1], bins.halves());
    let planes = bins.planes(y_bar.len(), bins.count());
    if halves {
        let write = |x_bar: &mut [MaybeUninit<T>]| {
            bins.for_planes(
                (x_bar, pixels),
                0,
                #[inline(always)]
                |plane, x_bar, _: &mut [T]| {
                    let y_bar = &y_bar[plane * bins.count()..][..bins.count()];
                    of_width!(width, |width| spread_pairs(x_bar, y_bar, width));
                },
            );
        };
        // SAFETY: all pixels of every plane are in a square.
        return unsafe { memory::written(planes * pixels, write) };
    }
    let mut x_bar = vec![T::default(); planes * pixels];
    bins.for_planes(
        (&mut x_bar, pixels),
        width,
        #[inline(always)]
        |plane, x_bar, row: &mut [T]| {
            let y_bar = &y_bar[plane * bins.count()..][..bins.count()];
            for (rows, y_bar) in bins.rows.iter().zip(y_bar.chunks_exact(bins.columns.len())) {
                row.fill(T::default());
                for (columns, &y_bar) in bins.columns.iter().zip(y_bar) {
                    let value = y_bar * Bins::share(rows, columns);
                    row[columns.clone()].iter_mut().for_each(|pixel| *pixel = *pixel + value);
                }
                for x_bar in x_bar[rows.start * width..rows.end * width].chunks_exact_mut(width) {
                    x_bar.iter_mut().zip(&*row).for_each(|(x_bar, &value)| *x_bar = *x_bar + value);
                }
            }
        },
    );
    x_bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelMap;
    use proptest::prelude::*;

    /// Ranges of at least one of `size` places.
    fn ranges(size: usize) -> impl Strategy<Value = Vec<Range<usize>>> {
        let range = (0..size).prop_flat_map(move |start| (Just(start), start + 1..=size));
        prop::collection::vec(range.prop_map(|(start, end)| start..end), 1..5)
    }

    fn bins() -> impl Strategy<Value = Bins> {
        let axes = |[height, width]: [usize; 2]| (Just([height, width]), ranges(height), ranges(width));
        let any = [1..40_usize, 1..40_usize].prop_flat_map(axes);
        let pairs = |count: usize| (0..count).map(|index| 2 * index..2 * index + 2).collect();
        let squares = [1..20_usize, 1..20_usize].prop_map(move |[rows, columns]| Bins {
            size: [2 * rows, 2 * columns],
            rows: pairs(rows),
            columns: pairs(columns),
        });
        prop_oneof![3 => any.prop_map(|(size, rows, columns)| Bins { size, rows, columns }), 1 => squares]
    }

    fn values(count: usize, step: f64) -> Vec<f64> {
        (0..count).map(|i| (i as f64 * step).sin()).collect()
    }

    /// The mean over one bin of one plane.
    fn mean(bins: &Bins, x: &[f64], rows: &Range<usize>, columns: &Range<usize>) -> f64 {
        let pixels = rows.clone().flat_map(|row| columns.clone().map(move |column| row * bins.size[1] + column));
        pixels.map(|pixel| x[pixel]).sum::<f64>() / (rows.len() * columns.len()) as f64
    }

    proptest! {
        #[test]
        fn every_bin_is_averaged_and_spread(bins in bins(), planes in 0..60_usize) {
            let x = values(planes * bins.pixels(), 0.7);
            let y = average(&bins, (&x).into());
            let mut found = y.iter();
            for x in x.chunks_exact(bins.pixels()) {
                for rows in &bins.rows {
                    for columns in &bins.columns {
                        let found = found.next().expect("a value a bin");
                        prop_assert!((found - mean(&bins, x, rows, columns)).abs() < 1e-12);
                    }
                }
            }
            // A normalisation on reading is one before reading.
            let channels = (1..=planes).rev().find(|channels| *channels <= 3 && planes.is_multiple_of(*channels));
            let (scale, shift) = (values(channels.unwrap_or(1), 2.1), values(channels.unwrap_or(1), 0.9));
            for is_rectified in [false, true] {
                let map = ChannelMap { scale: &scale, shift: &shift, is_rectified };
                let mut written = x.clone();
                for (plane, x) in written.chunks_exact_mut(bins.pixels()).enumerate() {
                    map.of_plane(plane).apply(x);
                }
                prop_assert_eq!(average(&bins, Source::mapped(&x, map)), average(&bins, (&written).into()));
            }
            // <A x, y_bar> = <x, A^T y_bar>
            let y_bar = values(y.len(), 1.3);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (left, right) = (dot(&y, &y_bar), dot(&x, &spread(&bins, &y_bar)));
            prop_assert!((left - right).abs() < 1e-10 * (1.0 + x.len() as f64), "{left} {right}");
        }
    }

    /// Planes of 2 by 2 pixels, with two bins that lie one over the other.
    fn halves(columns: Range<usize>) -> Bins {
        Bins { size: [2, 2], rows: vec![0..1, 1..2], columns: [columns].to_vec() }
    }

    #[test]
    #[should_panic(expected = "a bin is empty or passes the edge")]
    fn a_bin_past_the_edge_is_an_error() {
        average(&halves(1..3), (&vec![0.0; 4]).into());
    }

    #[test]
    #[should_panic(expected = "5 values are no planes of 4")]
    fn half_a_plane_is_an_error() {
        average(&halves(0..1), (&vec![0.0; 5]).into());
    }
}
