//! What batch normalisation is made of: statistics over all samples and pixels of a channel, and sums of scaled planes.
//!
//! Values are `[samples, channels, pixels]`. Each function reads its operands once (statistics twice, the second time from
//! cache) and writes once: memory is the limit. Sums are taken in fixed order, whatever the number of threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::{Real, instructions, memory};

/// Independent partial sums, so that additions overlap and vectorise; no more than the smallest planes have pixels.
const LANES: usize = 16;

/// Values that a partial sum adds up before it is added to the whole in `f64`, about: few enough to lose no more than four
/// bits, enough for the sum over lanes to cost nothing.
const DEPTH: usize = 64;

/// Elements a thread writes at a time, about.
const CHUNK: usize = 1 << 15;

/// The sizes of `[samples, channels, pixels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Samples of the batch.
    pub samples: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a plane.
    pub pixels: usize,
}

impl Channels {
    fn assert_holds<T>(&self, what: &str, values: &[T]) {
        assert_eq!(values.len(), self.samples * self.channels * self.pixels, "{what} does not fit {self:?}");
    }

    fn assert_one_each<T>(&self, what: &str, values: &[T]) {
        assert_eq!(values.len(), self.channels, "{what} does not have a value for each channel of {self:?}");
    }

    fn plane(&self, sample: usize, channel: usize) -> Range<usize> {
        let start = (sample * self.channels + channel) * self.pixels;
        start..start + self.pixels
    }

    /// Writes every plane in parallel: `write(channel, place of the plane in all values, plane)`.
    fn for_planes<U: Send>(&self, values: &mut [U], write: impl Fn(usize, Range<usize>, &mut [U]) + Sync) {
        if values.is_empty() {
            return;
        }
        let planes = (CHUNK / self.pixels).max(1);
        values.par_chunks_mut(planes * self.pixels).enumerate().for_each(|(chunk, values)| {
            instructions::vectorised(
                #[inline(always)]
                || {
                    for (index, plane) in (chunk * planes..).zip(values.chunks_exact_mut(self.pixels)) {
                        write(index % self.channels, index * self.pixels..(index + 1) * self.pixels, plane);
                    }
                },
            );
        });
    }
}

/// Mean and mean squared deviation of every channel.
///
/// # Panics
/// If `x` does not have the given sizes.
pub fn moments<T: Real>(sizes: &Channels, x: &[T]) -> Vec<[f64; 2]> {
    sizes.assert_holds("x", x);
    let count = (sizes.samples * sizes.pixels) as f64;
    let channel = |channel| {
        let planes =
            || (0..sizes.samples).map(move |sample| &x[sizes.plane(sample, channel)]).map(|plane| (plane, plane));
        instructions::vectorised(
            #[inline(always)]
            || {
                let [mut mean] = sum_planes(planes(), |x, _| [x]);
                mean /= count;
                let rounded = T::of_f64(mean);
                let [deviation] = sum_planes(planes(), |x, _| [(x - rounded) * (x - rounded)]);
                [mean, (deviation / count - (mean - rounded.to_f64()).powi(2)).max(0.0)]
            },
        )
    };
    (0..sizes.channels).into_par_iter().map(channel).collect()
}

/// `sum v` and `sum v (x - mean)` of every channel.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn sums<T: Real>(sizes: &Channels, v: &[T], x: &[T], mean: &[T]) -> Vec<[f64; 2]> {
    sizes.assert_holds("v", v);
    sizes.assert_holds("x", x);
    sizes.assert_one_each("mean", mean);
    let channel = |channel: usize| {
        let mean = mean[channel];
        instructions::vectorised(
            #[inline(always)]
            || {
                let planes = (0..sizes.samples).map(|sample| sizes.plane(sample, channel));
                sum_planes(planes.map(|place| (&v[place.clone()], &x[place])), |v, x| [v, v * (x - mean)])
            },
        )
    };
    (0..sizes.channels).into_par_iter().map(channel).collect()
}

/// `y = a x + d`, with one `a` and `d` a channel.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn affine<T: Real>(sizes: &Channels, x: &[T], a: &[T], d: &[T]) -> Vec<T> {
    sizes.assert_holds("x", x);
    sizes.assert_one_each("a", a);
    sizes.assert_one_each("d", d);
    let write = |y: &mut [MaybeUninit<T>]| {
        sizes.for_planes(y, |channel, place, y| {
            let (a, d) = (a[channel], d[channel]);
            for (y, &x) in y.iter_mut().zip(&x[place]) {
                y.write(a * x + d);
            }
        });
    };
    // SAFETY: the planes are all of `y`, and as long as those of `x`.
    unsafe { memory::written(x.len(), write) }
}

/// `v <- a v + b x + d`, with one `a`, `b` and `d` a channel.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn combine<T: Real>(sizes: &Channels, v: &mut [T], x: &[T], [a, b, d]: [&[T]; 3]) {
    sizes.assert_holds("v", v);
    sizes.assert_holds("x", x);
    sizes.assert_one_each("a", a);
    sizes.assert_one_each("b", b);
    sizes.assert_one_each("d", d);
    sizes.for_planes(v, |channel, place, v| {
        let (a, b, d) = (a[channel], b[channel], d[channel]);
        v.iter_mut().zip(&x[place]).for_each(|(v, &x)| *v = a * *v + (b * x + d));
    });
}

/// `y <- y + a s`: the one plane that each sample has in `s`, scaled by channel; `s` is `[samples, pixels]`.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn add_outer<T: Real>(sizes: &Channels, y: &mut [T], a: &[T], s: &[T]) {
    sizes.assert_holds("y", y);
    sizes.assert_one_each("a", a);
    assert_eq!(s.len(), sizes.samples * sizes.pixels, "one plane a sample does not fit {sizes:?}");
    sizes.for_planes(y, |channel, place, y| {
        let sample = place.start / (sizes.channels * sizes.pixels);
        let (a, s) = (a[channel], &s[sample * sizes.pixels..][..sizes.pixels]);
        y.iter_mut().zip(s).for_each(|(y, &s)| *y = *y + a * s);
    });
}

/// Sums of `terms(a_i, b_i)` over pairs of planes, in [`LANES`] partial sums.
#[inline(always)]
fn sum_planes<'a, T: Real, const N: usize>(
    planes: impl Iterator<Item = (&'a [T], &'a [T])>,
    terms: impl Fn(T, T) -> [T; N],
) -> [f64; N] {
    let mut totals = [0.0; N];
    let mut lanes = [[T::default(); LANES]; N];
    let mut depth = 0;
    for (a, b) in planes {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.chunks(DEPTH).zip(b.chunks(DEPTH)) {
            for (a, b) in a.iter().zip(b) {
                for lane in 0..LANES {
                    let terms = terms(a[lane], b[lane]);
                    for sum in 0..N {
                        lanes[sum][lane] = lanes[sum][lane] + terms[sum];
                    }
                }
            }
            depth += a.len();
            if depth >= DEPTH {
                empty(&mut lanes, &mut totals);
                depth = 0;
            }
        }
        for (&a, &b) in a_rest.iter().zip(b_rest) {
            for (total, term) in totals.iter_mut().zip(terms(a, b)) {
                *total += term.to_f64();
            }
        }
    }
    empty(&mut lanes, &mut totals);
    totals
}

/// Adds partial sums to the whole.
#[inline(always)]
fn empty<T: Real, const N: usize>(lanes: &mut [[T; LANES]; N], totals: &mut [f64; N]) {
    for (total, lanes) in totals.iter_mut().zip(lanes) {
        for lane in lanes {
            *total += lane.to_f64();
            *lane = T::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One pixel, fewer than a chunk of lanes, more, and more planes than a thread's chunk.
    const SIZES: [Channels; 4] = [
        Channels { samples: 3, channels: 2, pixels: 1 },
        Channels { samples: 2, channels: 3, pixels: 7 },
        Channels { samples: 2, channels: 5, pixels: 77 },
        Channels { samples: 5, channels: 3, pixels: 9000 },
    ];

    fn values(count: usize, step: f64) -> Vec<f64> {
        (0..count).map(|i| (i as f64 * step).sin() + 3.0).collect()
    }

    fn of_channel(sizes: &Channels, values: &[f64], channel: usize) -> Vec<f64> {
        (0..sizes.samples).flat_map(|sample| values[sizes.plane(sample, channel)].to_vec()).collect()
    }

    #[test]
    fn statistics_are_those_of_the_definition() {
        for sizes in SIZES {
            let count = sizes.samples * sizes.channels * sizes.pixels;
            let (x, v) = (values(count, 0.7), values(count, 1.3));
            let mean: Vec<f64> = (0..sizes.channels).map(|channel| 0.5 + channel as f64).collect();
            let (found, pairs) = (moments(&sizes, &x), sums(&sizes, &v, &x, &mean));
            for channel in 0..sizes.channels {
                let (x, v) = (of_channel(&sizes, &x, channel), of_channel(&sizes, &v, channel));
                let average = x.iter().sum::<f64>() / x.len() as f64;
                let deviation = x.iter().map(|x| (x - average).powi(2)).sum::<f64>() / x.len() as f64;
                assert!((found[channel][0] - average).abs() < 1e-12);
                assert!((found[channel][1] - deviation).abs() < 1e-12);
                let product: f64 = v.iter().zip(&x).map(|(v, x)| v * (x - mean[channel])).sum();
                assert!((pairs[channel][0] - v.iter().sum::<f64>()).abs() < 1e-9);
                assert!((pairs[channel][1] - product).abs() < 1e-12 * product.abs().max(1.0) * x.len() as f64);
            }
        }
    }

    #[test]
    fn planes_are_scaled_by_their_own_channel() {
        for sizes in SIZES {
            let count = sizes.samples * sizes.channels * sizes.pixels;
            let (x, v) = (values(count, 0.7), values(count, 1.3));
            let [a, b, d] =
                [1.0, 10.0, 100.0].map(|s| (0..sizes.channels).map(|c| s * (c + 1) as f64).collect::<Vec<_>>());
            let (y, mut w) = (affine(&sizes, &x, &a, &d), v.clone());
            combine(&sizes, &mut w, &x, [&a, &b, &d]);
            for i in 0..count {
                let c = i / sizes.pixels % sizes.channels;
                assert!((y[i] - (a[c] * x[i] + d[c])).abs() < 1e-12);
                assert!((w[i] - (a[c] * v[i] + b[c] * x[i] + d[c])).abs() < 1e-10);
            }
        }
    }

    proptest! {
        /// Planes of any size, none too: every element is written, and by its own channel.
        #[test]
        fn scaled_planes_are_those_of_the_definition(samples in 0..5_usize, channels in 0..9_usize, pixels in 0..70_usize) {
            let sizes = Channels { samples, channels, pixels };
            let x: Vec<f32> = values(samples * channels * pixels, 0.7).into_iter().map(|x| x as f32).collect();
            let [a, d]: [Vec<f32>; 2] = [2.0, -3.0].map(|s| (0..channels).map(|c| s * (c + 1) as f32).collect());
            for (i, y) in affine(&sizes, &x, &a, &d).into_iter().enumerate() {
                let c = i / pixels % channels;
                prop_assert!((y - (a[c] * x[i] + d[c])).abs() < 1e-5 * (1.0 + d[c].abs()), "{i}: {y}");
            }
        }
    }

    #[test]
    fn every_channel_adds_its_share_of_the_one_plane() {
        for sizes in SIZES {
            let y = values(sizes.samples * sizes.channels * sizes.pixels, 0.7);
            let (a, s) = (values(sizes.channels, 0.4), values(sizes.samples * sizes.pixels, 1.3));
            let mut sum = y.clone();
            add_outer(&sizes, &mut sum, &a, &s);
            for sample in 0..sizes.samples {
                for (channel, a) in a.iter().enumerate() {
                    for (pixel, place) in sizes.plane(sample, channel).enumerate() {
                        assert!((sum[place] - y[place] - a * s[sample * sizes.pixels + pixel]).abs() < 1e-14);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(
        expected = "a does not have a value for each channel of Channels { samples: 1, channels: 2, pixels: 3 }"
    )]
    fn a_missing_channel_is_an_error() {
        affine(&Channels { samples: 1, channels: 2, pixels: 3 }, &[0.0_f32; 6], &[1.0], &[0.0; 2]);
    }

    #[test]
    fn a_large_mean_does_not_drown_the_deviation() {
        let sizes = Channels { samples: 2, channels: 1, pixels: 500 };
        let x: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 1000.5 } else { 1001.5 }).collect();
        let [[mean, deviation]] = moments(&sizes, &x)[..] else { panic!("one channel") };
        assert!((mean - 1001.0).abs() < 1e-9 && (deviation - 0.25).abs() < 1e-9, "{mean} {deviation}");
    }
}
