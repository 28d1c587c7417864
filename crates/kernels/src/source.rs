//! What is read of an activation: planes as they lie in memory, or through a normalisation that is applied on the way.
//!
//! The output of a normalisation in front of a convolution is `scale x + shift`, rectified: cheaper to compute again while `x` is read than
//! to write and keep.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, bytemuck};

use crate::Real;
use crate::gate::gated;

/// Planes `[samples, channels, h, w]` that are read.
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

impl<'a, T: Real> ChannelMap<'a, T> {
    /// The map of the samples from one on, of so many channels.
    #[inline(always)]
    fn beginning_at(self, sample: usize, channels: usize) -> Self {
        let rest = |values: &'a [T]| if values.len() == channels { values } else { &values[sample * channels..] };
        Self { scale: rest(self.scale), shift: rest(self.shift), ..self }
    }

    /// That of one plane.
    #[inline(always)]
    pub(crate) fn of_plane(self, plane: usize) -> PlaneMap<T> {
        let Self { scale, shift, is_rectified } = self;
        PlaneMap { scale: scale[plane % scale.len()], shift: shift[plane % shift.len()], is_rectified }
    }
}

/// Where an input of a sum is.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a, T> {
    /// In memory of its own.
    Own(Source<'a, T>),
    /// In the memory of the sum's target, each sample of which is read before it is written; as it is, or through a map.
    Target(Option<ChannelMap<'a, T>>),
}

impl<'a, T: Real> Input<'a, T> {
    /// What to read for the samples of a part of the target from a sample on, of so many channels; and the number of that sample there.
    ///
    /// # Safety
    /// If the input is in the target, all of that part must have been written.
    pub(crate) unsafe fn source<'b>(
        self,
        (part, sample): (&'b [MaybeUninit<T>], usize),
        channels: usize,
    ) -> (Source<'b, T>, usize)
    where
        'a: 'b,
    {
        match self {
            Self::Own(source) => (source, sample),
            Self::Target(map) => {
                // SAFETY: the caller's promise.
                let values = unsafe { part.assume_init_ref() };
                (Source { values, map: map.map(|map| map.beginning_at(sample, channels)) }, 0)
            }
        }
    }
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
        Self::of(values, Some(map))
    }

    /// `values`, each plane through the map of its channel if there is one.
    pub fn of(values: &'a [T], map: Option<ChannelMap<'a, T>>) -> Self {
        Self { values, map }
    }

    /// The maps of its channels.
    pub(crate) fn map(self) -> Option<ChannelMap<'a, T>> {
        self.map
    }

    /// Elements.
    pub(crate) fn len(self) -> usize {
        self.values.len()
    }

    /// Checks that its map has a value for each of so many channels, or for each channel of each sample.
    ///
    /// # Panics
    /// If it has not.
    pub(crate) fn assert_fits(self, samples: usize, channels: usize) {
        let Some(ChannelMap { scale, shift, .. }) = self.map else { return };
        let fits = |values: &[T]| values.len() == channels || values.len() == samples * channels;
        let lengths = [scale.len(), shift.len()];
        assert!(fits(scale) && fits(shift), "a map of {lengths:?} values for {samples} samples of {channels} channels");
    }

    /// Planes that lie side by side, of `size` elements each, as they are in memory.
    #[inline(always)]
    pub(crate) fn planes(self, range: Range<usize>, size: usize) -> &'a [T] {
        &self.values[range.start * size..range.end * size]
    }

    /// What a plane's elements are mapped by.
    #[inline(always)]
    pub(crate) fn map_of(self, plane: usize) -> Option<PlaneMap<T>> {
        Some(self.map?.of_plane(plane))
    }

    /// What the elements of planes side by side are mapped by, one plane a lane; all of one sample.
    #[inline(always)]
    pub(crate) fn map_of_planes<S: Simd>(self, simd: S, planes: Range<usize>) -> Option<LaneMap<T, S>> {
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
    pub(crate) fn map_of_samples<S: Simd>(
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
pub(crate) struct PlaneMap<T> {
    scale: T,
    shift: T,
    is_rectified: bool,
}

impl<T: Real> PlaneMap<T> {
    /// The same in each lane.
    #[inline(always)]
    pub(crate) fn in_lanes<S: Simd>(self, simd: S) -> LaneMap<T, S> {
        let [scale, shift] = [self.scale, self.shift].map(
            #[inline(always)]
            |value| T::splat(simd, value),
        );
        LaneMap { scale, shift, is_rectified: self.is_rectified }
    }

    /// One element, mapped.
    #[inline(always)]
    pub(crate) fn of(self, x: T) -> T {
        let y = self.scale * x + self.shift;
        if self.is_rectified { gated(y, y) } else { y }
    }

    /// Maps elements in place.
    #[inline(always)]
    pub(crate) fn apply(self, values: &mut [T]) {
        values.iter_mut().for_each(|x| *x = self.of(*x));
    }
}

/// The maps of planes side by side, one a lane.
#[derive(Clone, Copy)]
pub(crate) struct LaneMap<T: Real, S: Simd> {
    scale: T::Vector<S>,
    shift: T::Vector<S>,
    is_rectified: bool,
}

impl<T: Real, S: Simd> LaneMap<T, S> {
    /// Maps pixels, one plane a lane, in place. In registers: left to itself the compiler gathers a lane of all pixels at a time.
    #[inline(always)]
    pub(crate) fn apply(self, simd: S, pixels: &mut [T::Vector<S>]) {
        for x in pixels {
            let y = T::plus(simd, T::times(simd, self.scale, *x), self.shift);
            *x = if self.is_rectified { T::gated(simd, y, y) } else { y };
        }
    }
}
