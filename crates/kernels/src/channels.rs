//! What batch normalisation is made of: statistics over all samples and pixels of a channel, and sums of scaled planes.
//!
//! Values are `[samples, channels, pixels]`. Each function reads its operands once and writes once: memory is the limit. Sums are taken in fixed order, whatever the number of threads.
//!
//! A rectifier behind the normalisation costs no pass of its own: whether a pixel passes it is read off the input again
//! ([`Rectifier`]). Features, which are planes of one pixel, are gone through sample by sample as they lie: the loop over a plane would be longer in
//! beginning than in going on.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::gate::gated;
use crate::{Real, instructions, memory};

mod sums;

use sums::{Centred, Itself, Products, Rectified, Terms};

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

    pub(crate) fn is_empty(&self) -> bool {
        self.samples * self.channels * self.pixels == 0
    }

    fn plane(&self, sample: usize, channel: usize) -> Range<usize> {
        let start = (sample * self.channels + channel) * self.pixels;
        start..start + self.pixels
    }

    /// Writes every pixel in parallel: `pixel(channel)(value, x)`.
    fn for_pixels<U: Send, X: Copy + Sync, W: Fn(&mut U, X)>(
        &self,
        values: &mut [U],
        x: &[X],
        pixel: impl Fn(usize) -> W + Sync,
    ) {
        if self.pixels != 1 {
            return self.for_planes(
                values,
                #[inline(always)]
                |channel, place, plane| {
                    let write = pixel(channel);
                    plane.iter_mut().zip(&x[place]).for_each(|(value, &x)| write(value, x));
                },
            );
        }
        if values.is_empty() {
            return;
        }
        let rows = (CHUNK / self.channels).max(1) * self.channels;
        values.par_chunks_mut(rows).zip(x.par_chunks(rows)).for_each(|(values, x)| {
            instructions::vectorised(
                #[inline(always)]
                || {
                    for (row, x) in values.chunks_mut(self.channels).zip(x.chunks(self.channels)) {
                        for (channel, (value, &x)) in row.iter_mut().zip(x).enumerate() {
                            pixel(channel)(value, x);
                        }
                    }
                },
            );
        });
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

/// [`Channels::for_pixels`] with closures that are compiled for the instruction set: what is inside of the loop, given a channel, and what is
/// outside of it.
macro_rules! for_pixels {
    ($sizes:expr, $values:expr, $x:expr, |$channel:ident| { $(let $outside:pat = $of_channel:expr;)* |$value:ident, $read:pat_param| $write:expr }) => {
        $sizes.for_pixels(
            $values,
            $x,
            #[inline(always)]
            |$channel| {
                $(let $outside = $of_channel;)*
                #[inline(always)]
                move |$value, $read| $write
            },
        )
    };
}

/// The rectifier of `scale x + shift`, with one scale and shift a channel: where that is not positive, the result is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectifier<'a, T> {
    /// One factor a channel.
    pub scale: &'a [T],
    /// One summand a channel.
    pub shift: &'a [T],
}

/// What a rectifier holds back in [`combine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `v`, before the sum: a cotangent comes from behind the rectifier.
    Operand,
    /// The sum: a tangent goes on through the rectifier.
    Result,
}

impl<T: Real> Rectifier<'_, T> {
    fn assert_fits(self, sizes: &Channels) {
        sizes.assert_one_each("the rectifier's scale", self.scale);
        sizes.assert_one_each("the rectifier's shift", self.shift);
    }

    /// `value` where the rectifier of a channel lets `x` pass, else 0; not a number passes.
    #[inline(always)]
    fn of_channel(self, channel: usize) -> impl Fn(T, T) -> T + use<T> {
        let (scale, shift) = (self.scale[channel], self.shift[channel]);
        move |value, x| gated(value, scale * x + shift)
    }
}

/// Mean and mean squared deviation of every channel, at one reading: about `k`, the mean of its first plane,
/// ```text
/// mean = k + mean(x - k)    mean((x - mean)^2) = mean((x - k)^2) - mean(x - k)^2
/// ```
/// What is taken off is at most as many times the result as there are samples, however far the first one lies from the others.
///
/// # Panics
/// If `x` does not have the given sizes.
pub fn moments<T: Real>(sizes: &Channels, x: &[T]) -> Vec<[f64; 2]> {
    sizes.assert_holds("x", x);
    let count = (sizes.samples * sizes.pixels) as f64;
    let of_sums = |about: T, [sum, square]: [f64; 2]| {
        let beyond = sum / count;
        [about.to_f64() + beyond, (square / count - beyond * beyond).max(0.0)]
    };
    if sizes.pixels == 1 {
        let about = |channel| x.get(channel).copied().unwrap_or_default();
        let sums = sums::of_pixels(sizes.channels, (x, x), |channel| Centred { about: about(channel) });
        return sums.into_iter().enumerate().map(|(channel, sums)| of_sums(about(channel), sums)).collect();
    }
    let channel = |channel| {
        let planes = (0..sizes.samples).map(|sample| &x[sizes.plane(sample, channel)]).map(|plane| (plane, plane));
        let [sum] = sums::of_planes(planes.clone().take(1), Itself);
        let about = T::of_f64(sum / sizes.pixels as f64);
        of_sums(about, sums::of_planes(planes, Centred { about }))
    };
    (0..sizes.channels).into_par_iter().map(channel).collect()
}

/// [`moments`] of every channel, given those of its planes, `[samples, channels]`:
/// ```text
/// mean = mean(mean_s)    mean((x - mean)^2) = mean(mean((x_s - mean_s)^2)) + mean((mean_s - mean)^2)
/// ```
///
/// # Panics
/// If there are planes of a part of the channels.
pub(crate) fn moments_of_planes(channels: usize, planes: &[[f64; 2]]) -> Vec<[f64; 2]> {
    assert!(planes.len().is_multiple_of(channels), "{} planes of {channels} channels", planes.len());
    let share = channels as f64 / planes.len() as f64;
    let mut moments = vec![[0.0; 2]; channels];
    for sample in planes.chunks_exact(channels) {
        for ([total, _], [mean, _]) in moments.iter_mut().zip(sample) {
            *total += mean * share;
        }
    }
    for sample in planes.chunks_exact(channels) {
        for ([mean, total], [of_plane, square]) in moments.iter_mut().zip(sample) {
            *total += (square + (of_plane - *mean).powi(2)) * share;
        }
    }
    moments
}

/// `sum v` and `sum v (x - mean)` of every channel, over the pixels that pass the rectifier.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn sums<T: Real>(sizes: &Channels, v: &[T], x: &[T], mean: &[T], rectifier: Option<Rectifier<T>>) -> Vec<[f64; 2]> {
    sizes.assert_holds("v", v);
    sizes.assert_holds("x", x);
    sizes.assert_one_each("mean", mean);
    rectifier.inspect(|rectifier| rectifier.assert_fits(sizes));
    let products = |channel: usize| Products { mean: mean[channel] };
    match rectifier {
        None => of_channels(sizes, (v, x), products),
        Some(Rectifier { scale, shift }) => of_channels(sizes, (v, x), |channel| Rectified {
            products: products(channel),
            scale: scale[channel],
            shift: shift[channel],
        }),
    }
}

/// The sums of the terms of every channel.
fn of_channels<T: Real, X: Terms<T, N>, const N: usize>(
    sizes: &Channels,
    (a, b): (&[T], &[T]),
    terms: impl Fn(usize) -> X + Sync,
) -> Vec<[f64; N]> {
    if sizes.pixels == 1 {
        return sums::of_pixels(sizes.channels, (a, b), terms);
    }
    let channel = |channel: usize| {
        let planes = (0..sizes.samples).map(|sample| sizes.plane(sample, channel));
        sums::of_planes(planes.map(|place| (&a[place.clone()], &b[place])), terms(channel))
    };
    (0..sizes.channels).into_par_iter().map(channel).collect()
}

/// `y = a x + d`, with one `a` and `d` a channel; 0 where `x` does not pass the rectifier.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn affine<T: Real>(sizes: &Channels, x: &[T], [a, d]: [&[T]; 2], rectifier: Option<Rectifier<T>>) -> Vec<T> {
    sizes.assert_holds("x", x);
    sizes.assert_one_each("a", a);
    sizes.assert_one_each("d", d);
    rectifier.inspect(|rectifier| rectifier.assert_fits(sizes));
    let write = |y: &mut [MaybeUninit<T>]| match rectifier {
        None => for_pixels!(sizes, y, x, |channel| {
            let (a, d) = (a[channel], d[channel]);
            |y, x| _ = y.write(a * x + d)
        }),
        Some(rectifier) => for_pixels!(sizes, y, x, |channel| {
            let (a, d, pass) = (a[channel], d[channel], rectifier.of_channel(channel));
            |y, x| _ = y.write(pass(a * x + d, x))
        }),
    };
    // SAFETY: the pixels are all of `y`, which is as long as `x`.
    unsafe { memory::written(x.len(), write) }
}

/// `x <- a x + d`, the same bits as [`affine`].
///
/// # Panics
/// As [`affine`].
pub fn affine_in_place<T: Real>(sizes: &Channels, x: &mut [T], [a, d]: [&[T]; 2], rectifier: Option<Rectifier<T>>) {
    sizes.assert_holds("x", x);
    sizes.assert_one_each("a", a);
    sizes.assert_one_each("d", d);
    rectifier.inspect(|rectifier| rectifier.assert_fits(sizes));
    // Takes no memory: there is no other operand.
    let nothing = vec![(); x.len()];
    match rectifier {
        None => for_pixels!(sizes, x, &nothing, |channel| {
            let (a, d) = (a[channel], d[channel]);
            |x, ()| *x = a * *x + d
        }),
        Some(rectifier) => for_pixels!(sizes, x, &nothing, |channel| {
            let (a, d, pass) = (a[channel], d[channel], rectifier.of_channel(channel));
            |x, ()| *x = pass(a * *x + d, *x)
        }),
    }
}

/// `v <- a v + b x + d`, with one `a`, `b` and `d` a channel, where [`Side`] tells on which side the rectifier stands.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn combine<T: Real>(
    sizes: &Channels,
    v: &mut [T],
    x: &[T],
    [a, b, d]: [&[T]; 3],
    rectifier: Option<(Side, Rectifier<T>)>,
) {
    sizes.assert_holds("v", v);
    sizes.assert_holds("x", x);
    sizes.assert_one_each("a", a);
    sizes.assert_one_each("b", b);
    sizes.assert_one_each("d", d);
    rectifier.inspect(|(_, rectifier)| rectifier.assert_fits(sizes));
    match rectifier {
        None => for_pixels!(sizes, v, x, |channel| {
            let (a, b, d) = (a[channel], b[channel], d[channel]);
            |v, x| *v = a * *v + (b * x + d)
        }),
        Some((Side::Operand, rectifier)) => for_pixels!(sizes, v, x, |channel| {
            let (a, b, d, pass) = (a[channel], b[channel], d[channel], rectifier.of_channel(channel));
            |v, x| *v = a * pass(*v, x) + (b * x + d)
        }),
        Some((Side::Result, rectifier)) => for_pixels!(sizes, v, x, |channel| {
            let (a, b, d, pass) = (a[channel], b[channel], d[channel], rectifier.of_channel(channel));
            |v, x| *v = pass(a * *v + (b * x + d), x)
        }),
    }
}

/// `y <- y + a s` for `k` directions: `y` is `[k, samples, channels, pixels]`, `a` `[k, channels]`, `s` `[samples, k, pixels]`.
///
/// # Panics
/// If an operand does not have the given sizes.
pub fn add_outer<T: Real>(sizes: &Channels, y: &mut [T], a: &[T], s: &[T]) {
    let Channels { samples, channels, pixels } = *sizes;
    let directions = a.len() / channels.max(1);
    let stacked = Channels { samples: directions * samples, ..*sizes };
    stacked.assert_holds("y", y);
    assert_eq!(a.len(), directions * channels, "a does not have a value for each channel and direction of {sizes:?}");
    assert_eq!(s.len(), samples * directions * pixels, "one plane a sample and direction does not fit {sizes:?}");
    stacked.for_planes(
        y,
        #[inline(always)]
        |channel, place, y| {
            let plane = place.start / (channels * pixels);
            let (direction, sample) = (plane / samples, plane % samples);
            let s = &s[(sample * directions + direction) * pixels..][..pixels];
            let a = a[direction * channels + channel];
            y.iter_mut().zip(s).for_each(|(y, &s)| *y = *y + a * s);
        },
    );
}

#[cfg(test)]
mod tests;
