//! What a convolution reads: a tensor, or a normalisation that is computed again on the way.

use burn::tensor::Tensor;

use foregrad_kernels::{ChannelMap, Real, Source};

use super::channels::{Affine, by_moment, channel_affine_in_place, channel_moments};
use super::cpu;
use crate::rng::Placement;

/// An activation `[n, c, h, w]`: a tensor, or `scale x + shift` of a tensor, rectified or not, which takes no memory of its own.
///
/// The kernels of convolutions and sums map each pixel as they read it. Everything else, and every other device, asks for the
/// [`tensor`](Activation::tensor), which costs one pass over memory.
#[derive(Debug, Clone)]
pub struct Activation {
    x: Tensor<4>,
    map: Option<Map>,
    /// Of each channel, where whoever wrote it took them; there is no map then.
    moments: Option<[Tensor<1>; 2]>,
}

/// What each channel is mapped by.
#[derive(Debug, Clone)]
struct Map {
    /// `[c]`, or `[n c]`: one value a channel, or a channel of each sample.
    affine: Affine,
    is_rectified: bool,
}

impl Map {
    /// What it makes of a tensor, in the same memory where nobody else holds that.
    fn applied(self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [samples, channels, height, width] = x.dims();
        let Self { affine, is_rectified } = self;
        let values = affine.scale.dims()[0];
        let rows = if values == channels { shape } else { [1, samples * channels, height * width, 1] };
        channel_affine_in_place(x.reshape(rows), &affine, is_rectified.then_some(&affine)).reshape(shape)
    }
}

impl From<Tensor<4>> for Activation {
    fn from(x: Tensor<4>) -> Self {
        Self { x, map: None, moments: None }
    }
}

impl Activation {
    /// `scale x + shift` with one value a channel, or a channel of each sample; 0 where that is not positive, if it is rectified.
    pub fn normalised(x: Tensor<4>, affine: Affine, is_rectified: bool) -> Self {
        Self { x, map: Some(Map { affine, is_rectified }), moments: None }
    }

    /// A tensor with mean and mean squared deviation of each of its channels, if they were taken.
    pub(super) fn measured(x: Tensor<4>, moments: Option<&[[f64; 2]]>) -> Self {
        let moments = moments.map(|moments| by_moment(&x, moments));
        Self { x, map: None, moments }
    }

    /// Its shape.
    pub fn dims(&self) -> [usize; 4] {
        self.x.dims()
    }

    /// Where it is.
    pub fn placement(&self) -> Placement {
        Placement::of(&self.x)
    }

    /// The activation itself.
    pub fn tensor(&self) -> Tensor<4> {
        self.clone().into_tensor()
    }

    /// The activation itself, in the memory that it is read from where nobody else holds that.
    pub fn into_tensor(mut self) -> Tensor<4> {
        self.written()
    }

    /// The activation itself, which whoever reads it from now on reads as it is; in the same memory where nobody else holds that.
    pub fn written(&mut self) -> Tensor<4> {
        if let Some(map) = self.map.take() {
            self.x.inplace(|x| map.applied(x));
        }
        self.x.clone()
    }

    /// The activation itself, and mean and mean squared deviation of each of its channels: those that came with it, if any did.
    pub fn into_tensor_with_moments(mut self) -> (Tensor<4>, [Tensor<1>; 2]) {
        let moments = self.moments.take();
        let x = self.into_tensor();
        let moments = moments.unwrap_or_else(|| channel_moments(&x));
        (x, moments)
    }

    /// The tensor that is in memory.
    pub(super) fn held(&self) -> &Tensor<4> {
        &self.x
    }

    /// The activation, and whether kernels can change the memory that it is read from, since nobody else holds any of it.
    pub(super) fn alone(self) -> (Self, bool) {
        let (x, is_alone) = cpu::alone(self.x);
        (Self { x, ..self }, is_alone)
    }

    /// What is in memory, scale and shift, and whether a rectifier follows.
    pub(super) fn into_parts(self) -> (Tensor<4>, [Option<Tensor<1>>; 2], bool) {
        let is_rectified = self.map.as_ref().is_some_and(|map| map.is_rectified);
        let (scale, shift) = self.map.map(|Map { affine, .. }| (affine.scale, affine.shift)).unzip();
        (self.x, [scale, shift], is_rectified)
    }

    /// Scale and shift, and whether a rectifier follows.
    pub(super) fn map(&self) -> (Option<&Tensor<1>>, Option<&Tensor<1>>, bool) {
        let affine = self.map.as_ref().map(|map| &map.affine);
        let is_rectified = self.map.as_ref().is_some_and(|map| map.is_rectified);
        (affine.map(|affine| &affine.scale), affine.map(|affine| &affine.shift), is_rectified)
    }
}

/// The map of what kernels read, if there is one.
pub(super) fn channel_map<'a, T>(
    scale: Option<&'a [T]>,
    shift: Option<&'a [T]>,
    is_rectified: bool,
) -> Option<ChannelMap<'a, T>> {
    let (scale, shift) = scale.zip(shift)?;
    Some(ChannelMap { scale, shift, is_rectified })
}

/// What kernels read.
pub(super) fn source<'a, T: Real>(
    x: &'a [T],
    scale: Option<&'a [T]>,
    shift: Option<&'a [T]>,
    is_rectified: bool,
) -> Source<'a, T> {
    Source::of(x, channel_map(scale, shift, is_rectified))
}
