//! An affine map over positions: token mixing.

use burn::tensor::Tensor;

use super::{Cotangent, Layer, Linear, Pass, Wanted, linear};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// An affine map of each channel's pixels to other pixels, the same for all channels; `weight` `[h' w', h w]` and `bias` `[h' w']`.
///
/// ```text
/// forward    y = W x + b, where a channel of a sample is one vector of its pixels
/// ```
/// Tangent and cotangent are those of [`Linear`], to which a channel is a sample.
///
/// Source: Tolstikhin et al., *MLP-Mixer* (2021).
#[derive(Debug, Clone)]
pub struct PositionLinear {
    map: Linear,
    /// Height and width of the output.
    output: [usize; 2],
}

impl PositionLinear {
    /// From images of a height and width to those of another, with weights drawn from a stream.
    pub fn new(input: [usize; 2], output: [usize; 2], bias: bool, stream: Stream, placement: &Placement) -> Self {
        let pixels = [input, output].map(|[height, width]| height * width);
        Self { map: Linear::new(pixels, bias, stream, placement), output }
    }
}

/// What the map over pixels keeps, and height and width of the input.
#[derive(Debug)]
pub struct Saved {
    map: linear::Saved,
    channels: usize,
    input: [usize; 2],
}

/// `[n, c, h, w]` as `[n c, h w, 1, 1]`: stacked directions stay stacked.
fn vectors(x: Tensor<4>) -> Tensor<4> {
    let [samples, channels, height, width] = x.dims();
    x.reshape([samples * channels, height * width, 1, 1])
}

/// `[n c, h w, 1, 1]` back as `[n, c, h, w]`.
fn maps(y: Tensor<4>, channels: usize, [height, width]: [usize; 2]) -> Tensor<4> {
    let rows = y.dims()[0];
    y.reshape([rows / channels, channels, height, width])
}

impl Layer for PositionLinear {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let [_, channels, height, width] = x.dims();
        let (y, map) = self.map.forward(vectors(x), pass);
        (maps(y, channels, self.output), Saved { map, channels, input: [height, width] })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let y_dot = self.map.tangent(&saved.map, x_dot.map(vectors), theta_dot)?;
        Some(maps(y_dot, saved.channels, self.output))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let Cotangent { x_bar, theta_bar } = self.map.cotangent(&saved.map, vectors(y_bar), wanted);
        Cotangent { x_bar: x_bar.map(|x_bar| maps(x_bar, saved.channels, saved.input)), theta_bar }
    }

    fn parameters(&self) -> ParamVector {
        Layer::parameters(&self.map)
    }

    fn assign(&mut self, values: &ParamVector) {
        self.map.assign(values);
    }
}
