//! 3x3 windows of weights, which lie one after the other, turned round: one window a lane.

use std::mem::MaybeUninit;

use pulp::{Simd, bytemuck};

use super::transform;
use crate::Real;
use crate::convolution::turn::{self, with_lanes};

/// Taps of a window.
const TAPS: usize = 9;

/// Tap by tap, one window a lane.
type Window<T, S> = transform::Square<T, S, 3>;

/// The windows that begin at some elements, at most as many as there are lanes; zeros in the other lanes.
#[inline(always)]
pub(super) fn read<T: Real, S: Simd>(
    simd: S,
    weight: &[T],
    starts: impl Iterator<Item = usize> + Clone,
) -> Window<T, S> {
    let mut window = [[T::splat(simd, T::default()); 3]; 3];
    let taps: &mut [T] = bytemuck::cast_slice_mut(window.as_flattened_mut());
    with_lanes!(T, S, LANES => read_lanes::<T, S, LANES>(simd, weight, starts, taps.as_chunks_mut().0));
    window
}

#[inline(always)]
fn read_lanes<T: Real, S: Simd, const LANES: usize>(
    simd: S,
    weight: &[T],
    starts: impl Iterator<Item = usize> + Clone,
    taps: &mut [[T; LANES]],
) {
    let turned = turned::<LANES>();
    if turned > 0 {
        let mut block = [[T::default(); LANES]; LANES];
        for (row, start) in block.iter_mut().zip(starts.clone()) {
            // What lies behind a window is read with it, in one move, and not used.
            match weight[start..].first_chunk() {
                Some(values) => *row = *values,
                None => row[..turned].copy_from_slice(&weight[start..][..turned]),
            }
        }
        let columns = turn::turned::<T, S, LANES>(simd, &block.each_ref());
        let (columns, _) = bytemuck::cast_slice(&columns).as_chunks();
        taps.iter_mut().zip(columns).for_each(|(taps, column)| *taps = *column);
    }
    for (tap, taps) in taps.iter_mut().enumerate().skip(turned) {
        taps.iter_mut().zip(starts.clone()).for_each(|(value, start)| *value = weight[start + tap]);
    }
}

/// Puts windows one after the other, as many as there is room for.
#[inline(always)]
pub(super) fn write<T: Real, S: Simd>(simd: S, window: &Window<T, S>, to: &mut [MaybeUninit<T>]) {
    let taps: &[T] = bytemuck::cast_slice(window.as_flattened());
    with_lanes!(T, S, LANES => write_lanes::<T, S, LANES>(simd, taps.as_chunks().0, to));
}

#[inline(always)]
fn write_lanes<T: Real, S: Simd, const LANES: usize>(simd: S, taps: &[[T; LANES]], to: &mut [MaybeUninit<T>]) {
    let turned = turned::<LANES>();
    if turned > 0 {
        let zeros = [T::default(); LANES];
        let mut rows = [&zeros; LANES];
        rows.iter_mut().zip(taps).for_each(|(row, taps)| *row = taps);
        let windows = turn::turned::<T, S, LANES>(simd, &rows);
        let (windows, _) = bytemuck::cast_slice::<_, T>(&windows).as_chunks::<LANES>();
        for (lane, row) in windows.iter().enumerate().take(to.len() / TAPS) {
            // What is written behind a window, in one move, the next one overwrites.
            let to = &mut to[lane * TAPS..];
            match to.first_chunk_mut::<LANES>() {
                Some(to) => to.write_copy_of_slice(row),
                None => to[..turned].write_copy_of_slice(&row[..turned]),
            };
        }
    }
    for (tap, taps) in taps.iter().enumerate().skip(turned) {
        for (to, &value) in to.chunks_exact_mut(TAPS).zip(taps) {
            to[tap].write(value);
        }
    }
}

/// The taps that a square of registers turns at once; none where that would take longer than one by one.
const fn turned<const LANES: usize>() -> usize {
    match LANES {
        16.. => TAPS,
        8.. => LANES,
        _ => 0,
    }
}
