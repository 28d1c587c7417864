//! What a convolution reads: planes as they lie in memory, or through a normalisation that is applied on the way.
//!
//! The output of a normalisation in front of a convolution is `scale x + shift`, rectified: cheaper to compute again while `x` is read than
//! to write and keep.

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
    pub(super) fn planes(self, range: std::ops::Range<usize>, size: usize) -> &'a [T] {
        &self.values[range.start * size..range.end * size]
    }

    /// What a plane's elements are mapped by.
    #[inline(always)]
    pub(super) fn map_of(self, plane: usize) -> Option<PlaneMap<T>> {
        let ChannelMap { scale, shift, is_rectified } = self.map?;
        Some(PlaneMap { scale: scale[plane % scale.len()], shift: shift[plane % shift.len()], is_rectified })
    }

    /// What the elements of some planes are mapped by, one plane a lane; 0 beyond the last.
    #[inline(always)]
    pub(super) fn maps_of<const LANES: usize>(self, planes: impl Iterator<Item = usize>) -> Option<LaneMap<T, LANES>> {
        self.map?;
        let mut lanes = LaneMap { scale: [T::default(); LANES], shift: [T::default(); LANES], is_rectified: false };
        for ((plane, scale), shift) in planes.zip(&mut lanes.scale).zip(&mut lanes.shift) {
            let Some(map) = self.map_of(plane) else { break };
            (*scale, *shift, lanes.is_rectified) = (map.scale, map.shift, map.is_rectified);
        }
        Some(lanes)
    }
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
pub(super) struct LaneMap<T, const LANES: usize> {
    scale: [T; LANES],
    shift: [T; LANES],
    is_rectified: bool,
}

impl<T: Real, const LANES: usize> LaneMap<T, LANES> {
    /// Maps pixels, one plane a lane, in place.
    #[inline(always)]
    pub(super) fn apply(&self, pixels: &mut [[T; LANES]]) {
        for pixel in pixels.iter_mut() {
            for ((x, &scale), &shift) in pixel.iter_mut().zip(&self.scale).zip(&self.shift) {
                *x = scale * *x + shift;
            }
        }
        if self.is_rectified {
            pixels.as_flattened_mut().iter_mut().for_each(|x| *x = gated(*x, *x));
        }
    }
}
