//! Sums over the planes of a channel, in registers.

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use crate::gate::gated;
use crate::{Real, instructions};

/// Independent partial sums, so that additions overlap; no more than the smallest planes have pixels. The same number for all
/// instruction sets, which therefore add in the same order.
const LANES: usize = 16;

/// Rows of lanes that a partial sum adds up before it is added to the whole in `f64`: few enough to lose no more than four
/// bits, enough for the sum over lanes to cost nothing.
const DEPTH: usize = 64;

/// Channels of one pixel whose sums a thread adds up side by side.
const COLUMNS: usize = 64;

/// What is summed: `N` terms of every pair of values.
pub(super) trait Terms<T: Real, const N: usize>: Copy {
    /// The terms of two registers, lane by lane.
    fn vectors<S: Simd>(self, simd: S, a: T::Vector<S>, b: T::Vector<S>) -> [T::Vector<S>; N];
    /// The terms of one pair.
    fn scalars(self, a: T, b: T) -> [T; N];
}

/// `a`.
#[derive(Clone, Copy)]
pub(super) struct Itself;

/// `a - about` and its square.
#[derive(Clone, Copy)]
pub(super) struct Centred<T> {
    pub about: T,
}

/// `a` and `a (b - mean)`.
#[derive(Clone, Copy)]
pub(super) struct Products<T> {
    pub mean: T,
}

/// [`Products`] where `scale b + shift` is positive, else 0.
#[derive(Clone, Copy)]
pub(super) struct Rectified<T> {
    pub products: Products<T>,
    pub scale: T,
    pub shift: T,
}

impl<T: Real> Terms<T, 1> for Itself {
    #[inline(always)]
    fn vectors<S: Simd>(self, _: S, a: T::Vector<S>, _: T::Vector<S>) -> [T::Vector<S>; 1] {
        [a]
    }
    #[inline(always)]
    fn scalars(self, a: T, _: T) -> [T; 1] {
        [a]
    }
}

impl<T: Real> Terms<T, 2> for Centred<T> {
    #[inline(always)]
    fn vectors<S: Simd>(self, simd: S, a: T::Vector<S>, _: T::Vector<S>) -> [T::Vector<S>; 2] {
        let centred = T::minus(simd, a, T::splat(simd, self.about));
        [centred, T::times(simd, centred, centred)]
    }
    #[inline(always)]
    fn scalars(self, a: T, _: T) -> [T; 2] {
        let centred = a - self.about;
        [centred, centred * centred]
    }
}

impl<T: Real> Terms<T, 2> for Products<T> {
    #[inline(always)]
    fn vectors<S: Simd>(self, simd: S, a: T::Vector<S>, b: T::Vector<S>) -> [T::Vector<S>; 2] {
        [a, T::times(simd, a, T::minus(simd, b, T::splat(simd, self.mean)))]
    }
    #[inline(always)]
    fn scalars(self, a: T, b: T) -> [T; 2] {
        [a, a * (b - self.mean)]
    }
}

impl<T: Real> Terms<T, 2> for Rectified<T> {
    #[inline(always)]
    fn vectors<S: Simd>(self, simd: S, a: T::Vector<S>, b: T::Vector<S>) -> [T::Vector<S>; 2] {
        // Rounded as in the forward map, so that the same pixels pass.
        let y = T::plus(simd, T::times(simd, T::splat(simd, self.scale), b), T::splat(simd, self.shift));
        self.products.vectors(simd, T::gated(simd, a, y), b)
    }
    #[inline(always)]
    fn scalars(self, a: T, b: T) -> [T; 2] {
        self.products.scalars(gated(a, self.scale * b + self.shift), b)
    }
}

/// The sums of the terms over pairs of equally long planes.
pub(super) fn of_planes<'a, T: Real, const N: usize>(
    planes: impl Iterator<Item = (&'a [T], &'a [T])>,
    terms: impl Terms<T, N>,
) -> [f64; N] {
    instructions::dispatch(Sums::<_, _, N> { planes, terms })
}

/// [`of_planes`] for all of so many channels, whose planes are one pixel: row by row as they lie in memory, with the same bits.
pub(super) fn of_pixels<T: Real, X: Terms<T, N>, const N: usize>(
    channels: usize,
    (a, b): (&[T], &[T]),
    terms: impl Fn(usize) -> X + Sync,
) -> Vec<[f64; N]> {
    let mut totals = vec![[0.0; N]; channels];
    totals.par_chunks_mut(COLUMNS).enumerate().for_each(|(part, totals)| {
        let first = part * COLUMNS;
        instructions::vectorised(
            #[inline(always)]
            || {
                for (a, b) in a.chunks_exact(channels).zip(b.chunks_exact(channels)) {
                    let pairs = a[first..].iter().zip(&b[first..]);
                    for ((channel, total), (&a, &b)) in (first..).zip(&mut *totals).zip(pairs) {
                        for (total, term) in total.iter_mut().zip(terms(channel).scalars(a, b)) {
                            *total += term.to_f64();
                        }
                    }
                }
            },
        );
    });
    totals
}

struct Sums<I, X, const N: usize> {
    planes: I,
    terms: X,
}

impl<'a, T, I, X, const N: usize> WithSimd for Sums<I, X, N>
where
    T: Real,
    I: Iterator<Item = (&'a [T], &'a [T])>,
    X: Terms<T, N>,
{
    type Output = [f64; N];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f64; N] {
        let Self { planes, terms } = self;
        match LANES * size_of::<T>() / size_of::<T::Vector<S>>() {
            1 => summed::<T, S, 1, N>(simd, planes, terms),
            2 => summed::<T, S, 2, N>(simd, planes, terms),
            4 => summed::<T, S, 4, N>(simd, planes, terms),
            8 => summed::<T, S, 8, N>(simd, planes, terms),
            registers => {
                assert_eq!(registers, LANES, "a register of an unknown width");
                summed::<T, S, LANES, N>(simd, planes, terms)
            }
        }
    }
}

/// The sums, with the lanes in `R` registers a term.
#[inline(always)]
fn summed<'a, T: Real, S: Simd, const R: usize, const N: usize>(
    simd: S,
    planes: impl Iterator<Item = (&'a [T], &'a [T])>,
    terms: impl Terms<T, N>,
) -> [f64; N] {
    let mut totals = [0.0; N];
    let mut lanes = [[T::splat(simd, T::default()); R]; N];
    let mut depth = 0;
    for (a, b) in planes {
        let whole = a.len() - a.len() % LANES;
        let ((a, a_rest), (b, b_rest)) = (a.split_at(whole), b.split_at(whole));
        let [a, b]: [&[T::Vector<S>]; 2] = [bytemuck::cast_slice(a), bytemuck::cast_slice(b)];
        for (a, b) in a.chunks(R * DEPTH).zip(b.chunks(R * DEPTH)) {
            lanes = added(simd, lanes, a, b, terms);
            depth += a.len() / R;
            if depth >= DEPTH {
                empty::<T, S, R, N>(simd, &mut lanes, &mut totals);
                depth = 0;
            }
        }
        for (&a, &b) in a_rest.iter().zip(b_rest) {
            for (total, term) in totals.iter_mut().zip(terms.scalars(a, b)) {
                *total += term.to_f64();
            }
        }
    }
    empty::<T, S, R, N>(simd, &mut lanes, &mut totals);
    totals
}

/// The partial sums with some rows of lanes added: by value, so that they stay in registers.
#[inline(always)]
fn added<T: Real, S: Simd, const R: usize, const N: usize>(
    simd: S,
    mut lanes: [[T::Vector<S>; R]; N],
    a: &[T::Vector<S>],
    b: &[T::Vector<S>],
    terms: impl Terms<T, N>,
) -> [[T::Vector<S>; R]; N] {
    let ((a, _), (b, _)) = (a.as_chunks::<R>(), b.as_chunks::<R>());
    for (a, b) in a.iter().zip(b) {
        for register in 0..R {
            let terms = terms.vectors(simd, a[register], b[register]);
            for sum in 0..N {
                lanes[sum][register] = T::plus(simd, lanes[sum][register], terms[sum]);
            }
        }
    }
    lanes
}

/// Adds partial sums to the whole, lane by lane.
#[inline(always)]
fn empty<T: Real, S: Simd, const R: usize, const N: usize>(
    simd: S,
    lanes: &mut [[T::Vector<S>; R]; N],
    totals: &mut [f64; N],
) {
    for (total, lanes) in totals.iter_mut().zip(lanes) {
        *total = bytemuck::cast_slice::<_, T>(&lanes[..]).iter().fold(*total, |total, lane| total + lane.to_f64());
        *lanes = [T::splat(simd, T::default()); R];
    }
}
