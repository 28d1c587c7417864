//! Adaptive average pooling.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Phase, Wanted};
use crate::rng::Placement;
use crate::vector::ParamVector;

/// The mean of each of `bins` by `bins` bins, with PyTorch's uneven, overlapping bins: bin `i` of `m` covers
/// `floor(i s / m) .. ceil((i + 1) s / m)` of `s` pixels, also where there are more bins than pixels.
///
/// The map is a product with one small averaging matrix on each side:
/// ```text
/// forward    y     = R x C^T
/// tangent    y_dot = R x_dot C^T
/// cotangent  x_bar = R^T y_bar C
/// ```
/// Source: `torch.nn.AdaptiveAvgPool2d`, for the bins.
#[derive(Module, Debug)]
pub struct AdaptiveAvgPool {
    bins: usize,
}

impl AdaptiveAvgPool {
    /// Pooling to `bins` by `bins`.
    pub fn new(bins: usize) -> Self {
        Self { bins }
    }

    fn average(&self, x: Tensor<4>, saved: &Saved) -> Tensor<4> {
        sides(x, saved.rows.clone(), saved.columns.clone())
    }
}

/// The two averaging matrices, `[bins, height]` and `[bins, width]`.
#[derive(Debug)]
pub struct Saved {
    rows: Tensor<2>,
    columns: Tensor<2>,
}

impl Layer for AdaptiveAvgPool {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _phase: Phase) -> (Tensor<4>, Saved) {
        let [_, _, height, width] = x.dims();
        let placement = Placement::of(&x);
        let saved =
            Saved { rows: averaging(height, self.bins, &placement), columns: averaging(width, self.bins, &placement) };
        (self.average(x, &saved), saved)
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot.map(|x_dot| self.average(x_dot, saved))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted
            .input
            .then(|| sides(y_bar, saved.rows.clone().transpose(), saved.columns.clone().transpose()));
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn parameters(&self) -> ParamVector {
        ParamVector::default()
    }

    fn assign(&mut self, _values: &ParamVector) {}
}

/// `R x C^T` for every map of `x`.
fn sides(x: Tensor<4>, rows: Tensor<2>, columns: Tensor<2>) -> Tensor<4> {
    let [samples, channels, height, width] = x.dims();
    let [out_height, out_width] = [rows.dims()[0], columns.dims()[0]];
    let along = x.reshape([samples * channels * height, width]).matmul(columns.transpose());
    let turned = along.reshape([samples * channels, height, out_width]).swap_dims(1, 2);
    let down = turned.reshape([samples * channels * out_width, height]).matmul(rows.transpose());
    let turned = down.reshape([samples * channels, out_width, out_height]).swap_dims(1, 2);
    turned.reshape([samples, channels, out_height, out_width])
}

/// The matrix `[bins, size]` whose row `i` averages bin `i`.
fn averaging(size: usize, bins: usize, placement: &Placement) -> Tensor<2> {
    let mut weights = vec![0.0; bins * size];
    for bin in 0..bins {
        let (start, end) = (bin * size / bins, ((bin + 1) * size).div_ceil(bins));
        weights[bin * size + start..bin * size + end].fill(1.0 / (end - start) as f64);
    }
    placement.tensor(weights, [bins, size])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::host;
    use burn::tensor::{DType, Device};

    #[test]
    fn bins_are_those_of_pytorch() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        // torch.nn.AdaptiveAvgPool1d(2) of 0..3 is [0.5, 1.5]; with 3 bins of 2 pixels the middle bin sees both.
        assert_eq!(host(averaging(3, 2, &placement)), [0.5, 0.5, 0.0, 0.0, 0.5, 0.5]);
        assert_eq!(host(averaging(2, 3, &placement)), [1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
        assert_eq!(host(averaging(1, 2, &placement)), [1.0, 1.0]);
    }
}
