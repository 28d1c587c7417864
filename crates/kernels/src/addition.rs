//! The sum of two activations, each as it lies in memory or through the map of a norm, and the rectifier behind it: one read of each, one write.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::channels::Channels;
use crate::gate::{gated, registers, registers_mut};
use crate::source::{ChannelMap, Source};
use crate::{Real, instructions, memory};

/// Elements that a thread adds at a time, about.
const CHUNK: usize = 1 << 15;

/// `y = a + b`, or `max(a + b, 0)` if it is rectified; what is not a number stays so.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn add<T: Real>(sizes: &Channels, [a, b]: [Source<'_, T>; 2], is_rectified: bool) -> Vec<T> {
    assert_fits(sizes, "a", a);
    assert_fits(sizes, "b", b);
    let write = |y: &mut [MaybeUninit<T>]| {
        let planes = planes_at_once(sizes);
        y.par_chunks_mut(planes * sizes.pixels).enumerate().for_each(|(index, y)| {
            let first = index * planes;
            let own = a.planes(first..first + y.len() / sizes.pixels, sizes.pixels);
            let y = y.write_copy_of_slice(own);
            instructions::dispatch(Sum { pixels: sizes.pixels, first, y, map: a.map(), b, is_rectified });
        });
    };
    if sizes.is_empty() {
        return Vec::new();
    }
    // SAFETY: the chunks are all of `y`, and each begins as a copy of `a`.
    unsafe { memory::written(a.len(), write) }
}

/// `a <- a + b`, with the first as it is or through a map: the same bits as [`add`] in its memory.
///
/// # Panics
/// As [`add`].
pub fn add_in_place<T: Real>(
    sizes: &Channels,
    (a, map): (&mut [T], Option<ChannelMap<'_, T>>),
    b: Source<'_, T>,
    is_rectified: bool,
) {
    assert_fits(sizes, "a", Source::of(a, map));
    assert_fits(sizes, "b", b);
    if sizes.is_empty() {
        return;
    }
    let planes = planes_at_once(sizes);
    a.par_chunks_mut(planes * sizes.pixels).enumerate().for_each(|(index, y)| {
        instructions::dispatch(Sum { pixels: sizes.pixels, first: index * planes, y, map, b, is_rectified });
    });
}

fn assert_fits<T: Real>(sizes: &Channels, what: &str, source: Source<'_, T>) {
    let Channels { samples, channels, pixels } = *sizes;
    assert_eq!(source.len(), samples * channels * pixels, "{what} does not fit {sizes:?}");
    source.assert_fits(samples, channels);
}

/// Whole planes, so that each has one map.
fn planes_at_once(sizes: &Channels) -> usize {
    (CHUNK / sizes.pixels).max(1)
}

/// Adds `b` to some planes from one on.
struct Sum<'a, T> {
    pixels: usize,
    first: usize,
    y: &'a mut [T],
    /// Of the planes that are there.
    map: Option<ChannelMap<'a, T>>,
    b: Source<'a, T>,
    is_rectified: bool,
}

impl<T: Real> WithSimd for Sum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pixels, first, y, map, b, is_rectified } = self;
        for (plane, y) in (first..).zip(y.chunks_exact_mut(pixels)) {
            let maps = [map.map(|map| map.of_plane(plane)), b.map().map(|map| map.of_plane(plane))];
            let ((y, y_rest), (b, b_rest)) =
                (registers_mut::<T, S>(y), registers::<T, S>(b.planes(plane..plane + 1, pixels)));
            let lanes = maps.map(|map| map.map(|map| map.in_lanes(simd)));
            for (y, &b) in y.iter_mut().zip(b) {
                let mut terms = [*y, b];
                for (term, map) in terms.iter_mut().zip(&lanes) {
                    if let Some(map) = map {
                        map.apply(simd, std::slice::from_mut(term));
                    }
                }
                let sum = T::plus(simd, terms[0], terms[1]);
                *y = if is_rectified { T::gated(simd, sum, sum) } else { sum };
            }
            for (y, &b) in y_rest.iter_mut().zip(b_rest) {
                let mut terms = [*y, b];
                for (term, map) in terms.iter_mut().zip(&maps) {
                    if let Some(map) = map {
                        map.apply(std::slice::from_mut(term));
                    }
                }
                let sum = terms[0] + terms[1];
                *y = if is_rectified { gated(sum, sum) } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::{self, Rectifier};

    const SIZES: Channels = Channels { samples: 3, channels: 5, pixels: 21 };

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 17) as f32 - 8.0).collect()
    }

    /// What a norm writes, with one value a channel or a channel of each sample.
    fn written(x: &[f32], [scale, shift]: [&[f32]; 2], is_rectified: bool) -> Vec<f32> {
        let rectifier = is_rectified.then_some(Rectifier { scale, shift });
        let rows = SIZES.samples * SIZES.channels;
        let by_sample = Channels { samples: 1, channels: rows, ..SIZES };
        channels::affine(if scale.len() == rows { &by_sample } else { &SIZES }, x, [scale, shift], rectifier)
    }

    #[test]
    fn a_sum_of_norms_on_reading_is_that_of_norms_before_reading() {
        let rows = SIZES.samples * SIZES.channels;
        let [a, b] = [1, 2].map(|seed| values(rows * SIZES.pixels, seed));
        for count in [SIZES.channels, rows] {
            let [scale, shift] = [3, 4].map(|seed| values(count, seed));
            for (is_rectified, behind) in [(false, false), (true, false), (false, true), (true, true)] {
                let map = Some(ChannelMap { scale: &scale, shift: &shift, is_rectified });
                let mapped = |x| written(x, [&scale, &shift], is_rectified);
                for (own, other) in [(None, None), (map, None), (None, map), (map, map)] {
                    let plain = [(own, &a), (other, &b)].map(|(map, x)| map.map_or_else(|| x.clone(), |_| mapped(x)));
                    let rectified = |y: f32| if behind { y.max(0.0) } else { y };
                    let expected: Vec<_> = plain[0].iter().zip(&plain[1]).map(|(a, b)| rectified(a + b)).collect();
                    assert_eq!(add(&SIZES, [Source::of(&a, own), Source::of(&b, other)], behind), expected);
                    let mut y = a.clone();
                    add_in_place(&SIZES, (&mut y, own), Source::of(&b, other), behind);
                    assert_eq!(y, expected);
                }
            }
        }
    }

    #[test]
    fn many_planes_are_added_in_parts_and_what_is_not_a_number_stays() {
        let sizes = Channels { samples: 7, channels: 3, pixels: CHUNK / 4 + 3 };
        let [mut a, b] = [1, 2].map(|seed| values(sizes.samples * sizes.channels * sizes.pixels, seed));
        a[CHUNK] = f32::NAN;
        let sum = add(&sizes, [(&a).into(), (&b).into()], true);
        assert!(sum.iter().zip(a.iter().zip(&b)).all(|(y, (a, b))| *y == (a + b).max(0.0) || (a + b).is_nan()));
        assert!(sum[CHUNK].is_nan());
    }

    #[test]
    fn nothing_is_added_to_nothing() {
        for sizes in
            [Channels { samples: 0, ..SIZES }, Channels { channels: 0, ..SIZES }, Channels { pixels: 0, ..SIZES }]
        {
            let none: &[f32] = &[];
            assert!(add(&sizes, [none.into(), none.into()], true).is_empty());
            add_in_place(&sizes, (&mut [], None), none.into(), true);
        }
    }

    #[test]
    #[should_panic(expected = "a map of [4, 5] values for 3 samples of 5 channels")]
    fn a_map_of_another_size_is_refused() {
        let (x, values) = ([0.0_f32; 315], [1.0; 5]);
        let map = ChannelMap { scale: &values[1..], shift: &values, is_rectified: false };
        let _ = add(&SIZES, [(&x[..]).into(), Source::mapped(&x, map)], false);
    }
}
