//! An affine map over positions: token mixing.

use burn::tensor::Tensor;

use super::{
    Cotangent, Layer, LayerKind, Linear, Making, Pass, Planned, Scope, Wanted, linear, plan::at_least_one, product,
    size_text,
};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;
use crate::{Error, Result, settings};

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
    /// Height and width of the input and of the output.
    sizes: [[usize; 2]; 2],
}

impl PositionLinear {
    /// From images of a height and width to those of another, with weights drawn from a stream.
    pub fn new(input: [usize; 2], output: [usize; 2], bias: bool, stream: Stream, placement: &Placement) -> Self {
        let pixels = [input, output].map(|[height, width]| height * width);
        Self { map: Linear::new(pixels, bias, stream, placement), sizes: [input, output] }
    }
}

settings! {
    /// An affine map over positions in a spec.
    pub struct PositionLinearSpec {
        /// Height of the output; that of the input if it is left out.
        height: Option<usize> = None => file,
        /// Width of the output; that of the input if it is left out.
        width: Option<usize> = None => file,
        /// A shift of each output pixel.
        bias: bool = true => file,
    }
}

impl LayerKind for PositionLinearSpec {
    const NAME: &'static str = "position-linear";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        let [channels, height, width] = input;
        let output = [self.height.unwrap_or(height), self.width.unwrap_or(width)];
        at_least_one("height", output[0])?;
        at_least_one("width", output[1])?;
        let (products, bias) = (product([height, width, output[0], output[1]]), self.bias);
        let make = move |making: &Making| {
            PositionLinear::new([height, width], output, bias, making.stream(), making.placement).into()
        };
        let biases = if bias { product(output) } else { 0 };
        let planned = Planned::new([channels, output[0], output[1]], make).weights(products.saturating_add(biases));
        Ok(planned.flop(products.saturating_mul(2).saturating_mul(channels as u64)))
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
        (maps(y, channels, self.sizes[1]), Saved { map, channels, input: [height, width] })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let y_dot = self.map.tangent(&saved.map, x_dot.map(vectors), theta_dot)?;
        Some(maps(y_dot, saved.channels, self.sizes[1]))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let Cotangent { x_bar, theta_bar } = self.map.cotangent(&saved.map, vectors(y_bar), wanted);
        Cotangent { x_bar: x_bar.map(|x_bar| maps(x_bar, saved.channels, saved.input)), theta_bar }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let [[height, width], output] = self.sizes;
        if input[1..] != [height, width] {
            return Err(Error::out_of_range("the input", size_text(input), format!("{height}x{width} pixels")));
        }
        Ok([input[0], output[0], output[1]])
    }

    fn parameters(&self) -> ParamVector {
        Layer::parameters(&self.map)
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        self.map.matrices()
    }

    fn assign(&mut self, values: &ParamVector) {
        self.map.assign(values);
    }
}
