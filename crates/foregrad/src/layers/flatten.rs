//! Maps to features.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Pass, Planned, Wanted, kind::kind_without_settings, product};
use crate::Result;
use crate::vector::ParamVector;

/// `[n, c, h, w]` as `[n, c h w, 1, 1]`, channel by channel, row by row.
///
/// ```text
/// forward, tangent   y = reshape(x)        cotangent   x_bar = reshape(y_bar)
/// ```
/// Source: `torch.nn.Flatten`, for the order.
#[derive(Module, Debug, Default)]
pub struct Flatten;

kind_without_settings!("flatten", FlattenSpec, Flatten);

/// The shape of the input.
#[derive(Debug)]
pub struct Saved {
    input: [usize; 4],
}

impl Layer for Flatten {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let input = x.dims();
        (flat(x), Saved { input })
    }

    fn tangent(&self, _saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot.map(flat)
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        Cotangent { x_bar: wanted.input.then(|| y_bar.reshape(saved.input)), theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let features = usize::try_from(product(input)).unwrap_or(usize::MAX);
        Ok([features, 1, 1])
    }
}

fn flat(x: Tensor<4>) -> Tensor<4> {
    let [samples, channels, height, width] = x.dims();
    x.reshape([samples, channels * height * width, 1, 1])
}
