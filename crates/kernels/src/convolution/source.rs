//! What a convolution reads: planes as they lie in memory, or through a normalisation that is applied on the way.
//!
//! The output of a normalisation in front of a convolution is `scale x + shift`, rectified: cheaper to compute again while `x` is read than
//! to write and keep.

use std::ops::Range;

use pulp::{Simd, bytemuck};

use crate::Real;
use crate::gate::gated;

/// Planes `[samples, channels, h, w]` that a convolution reads.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a, T> {
    values: &'a [T],
    map: Option<ChannelMap<'a, T>>,
}

/// `scale x + shift`, rounded after the product and after the sum; 0 where that is not positive, if it is rectified.
#[derive(Debug, Clone, Copy)]
pub struct ChannelMap<'a, T> {
    /// One factor a channel, or a channel of each sample.
    pub scale: &'a [T],
    /// As many summands.
    pub shift: &'a [T],
    /// Whether a rectifier follows.
    pub is_rectified: bool,
}

impl<'a, T> From<&'a [T]> for Source<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Self { values, map: None }
    }
}

impl<'a, T> From<&'a Vec<T>> for Source<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Self { values, map: None }
    }
}

impl<'a, T: Real> Source<'a, T> {
    /// `values`, each plane through the map of its channel.
    pub fn mapped(values: &'a [T], map: ChannelMap<'a, T>) -> Self {
        Self { values, map: Some(map) }
    }

    /// Elements.
    pub(super) fn len(self) -> usize {
        self.values.len()
    }

    /// Checks that its map has a value for each of so many channels, or for each channel of each sample.
    ///
    /// # Panics
    /// If it has not.
    pub(super) fn assert_fits(self, samples: usize, channels: usize) {
        let Some(ChannelMap { scale, shift, .. }) = self.map else { return };
        let fits = |values: &[T]| values.len() == channels || values.len() == samples * channels;
        let lengths = [scale.len(), shift.len()];
        assert!(fits(scale) && fits(shift), "a map of {lengths:?} values for {samples} samples of {channels} channels");
    }

    /// Planes that lie side by side, of `size` elements each, as they are in memory.
    #[inline(always)]
    pub(super) fn planes(self, range: Range<usize>, size: usize) -> &'a [T] {
        &self.values[range.start * size..range.end * size]
    }

    /// What a plane's elements are mapped by.
    #[inline(always)]
    pub(super) fn map_of(self, plane: usize) -> Option<PlaneMap<T>> {
        let ChannelMap { scale, shift, is_rectified } = self.map?;
        Some(PlaneMap { scale: scale[plane % scale.len()], shift: shift[plane % shift.len()], is_rectified })
    }

    /// What the elements of planes side by side are mapped by, one plane a lane; all of one sample.
    #[inline(always)]
    pub(super) fn map_of_planes<S: Simd>(self, simd: S, planes: Range<usize>) -> Option<LaneMap<T, S>> {
        let ChannelMap { scale, shift, is_rectified } = self.map?;
        let [scale, shift] = [scale, shift].map(
            #[inline(always)]
            |values| {
                let of_planes = &values[planes.start % values.len()..][..planes.len()];
                lanes::<T, S>(simd, of_planes.iter().copied())
            },
        );
        Some(LaneMap { scale, shift, is_rectified })
    }

    /// What the elements of one channel's planes are mapped by, one sample a lane, of so many channels.
    #[inline(always)]
    pub(super) fn map_of_samples<S: Simd>(
        self,
        simd: S,
        samples: Range<usize>,
        (channel, channels): (usize, usize),
    ) -> Option<LaneMap<T, S>> {
        let ChannelMap { scale, shift, is_rectified } = self.map?;
        let [scale, shift] = [scale, shift].map(
            #[inline(always)]
            |values| match values.len() == channels {
                true => T::splat(simd, values[channel]),
                false => lanes::<T, S>(simd, samples.clone().map(|sample| values[sample * channels + channel])),
            },
        );
        Some(LaneMap { scale, shift, is_rectified })
    }
}

/// Values as lanes; 0 beyond the last.
#[inline(always)]
fn lanes<T: Real, S: Simd>(simd: S, values: impl Iterator<Item = T>) -> T::Vector<S> {
    let mut vector = [T::splat(simd, T::default())];
    bytemuck::cast_slice_mut(&mut vector).iter_mut().zip(values).for_each(|(lane, value)| *lane = value);
    vector[0]
}

/// The map of one plane.
#[derive(Clone, Copy)]
pub(super) struct PlaneMap<T> {
    scale: T,
    shift: T,
    is_rectified: bool,
}

impl<T: Real> PlaneMap<T> {
    /// Maps elements in place.
    #[inline(always)]
    pub(super) fn apply(self, values: &mut [T]) {
        let Self { scale, shift, is_rectified } = self;
        let affine = |x: T| scale * x + shift;
        match is_rectified {
            false => values.iter_mut().for_each(|x| *x = affine(*x)),
            true => values.iter_mut().for_each(|x| *x = gated(affine(*x), affine(*x))),
        }
    }
}

/// The maps of planes side by side, one a lane.
#[derive(Clone, Copy)]
pub(super) struct LaneMap<T: Real, S: Simd> {
    scale: T::Vector<S>,
    shift: T::Vector<S>,
    is_rectified: bool,
}

impl<T: Real, S: Simd> LaneMap<T, S> {
    /// Maps pixels, one plane a lane, in place. In registers: left to itself the compiler gathers a lane of all pixels at a time.
    #[inline(always)]
    pub(super) fn apply(self, simd: S, pixels: &mut [T::Vector<S>]) {
        for x in pixels {
            let y = T::plus(simd, T::times(simd, self.scale, *x), self.shift);
            *x = if self.is_rectified { T::gated(simd, y, y) } else { y };
        }
    }
}
