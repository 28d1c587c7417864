//! Adaptive average pooling.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activation, Cotangent, Layer, LayerKind, Pass, Planned, Scope, Wanted, plan::at_least_one};
use crate::ops::{self, Bins};
use crate::vector::ParamVector;
use crate::{Result, settings};

/// The mean of each of `bins` by `bins` bins, with PyTorch's uneven, overlapping bins: bin `i` of `m` covers
/// `floor(i s / m) .. ceil((i + 1) s / m)` of `s` pixels, also where there are more bins than pixels.
///
/// With `A` the averaging map (linear, so that its tangent is the map itself):
/// ```text
/// forward    y     = A x
/// tangent    y_dot = A x_dot
/// cotangent  x_bar = A^T y_bar
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

    /// Whether it is the mean over all pixels.
    pub(crate) fn is_mean(&self) -> bool {
        self.bins == 1
    }

    /// The bins of an image.
    fn bins(&self, size: [usize; 2]) -> Bins {
        let along = |size: usize| {
            let bin = |bin: usize| bin * size / self.bins..((bin + 1) * size).div_ceil(self.bins);
            (0..self.bins).map(bin).collect()
        };
        Bins { size, rows: along(size[0]), columns: along(size[1]) }
    }
}

settings! {
    /// Pooling to a fixed size in a spec.
    pub struct AdaptiveAvgPoolSpec {
        /// Bins a side.
        bins: usize = 1 => file,
    }
}

impl LayerKind for AdaptiveAvgPoolSpec {
    const NAME: &'static str = "adaptive-avg-pool";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        Planned::of(AdaptiveAvgPool::new(self.bins), input)
    }
}

/// The bins.
#[derive(Debug)]
pub struct Saved {
    bins: Bins,
}

impl Layer for AdaptiveAvgPool {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let (y, saved) = self.forward_of(x.into(), pass);
        (y.into_tensor(), saved)
    }

    fn forward_of(&self, x: Activation, _pass: Pass) -> (Activation, Saved) {
        let [_, _, height, width] = x.dims();
        let bins = self.bins([height, width]);
        (ops::average_pool(x, &bins).into(), Saved { bins })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot.map(|x_dot| ops::average_pool(x_dot, &saved.bins))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| ops::average_pool_cotangent(y_bar, &saved.bins));
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        at_least_one("bins", self.bins)?;
        Ok([input[0], self.bins, self.bins])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_those_of_pytorch() {
        let along = |size: usize, bins: usize| AdaptiveAvgPool::new(bins).bins([1, size]).columns;
        // torch.nn.AdaptiveAvgPool1d(2) of 0..3 is [0.5, 1.5]; with 3 bins of 2 pixels the middle bin sees both.
        assert_eq!(along(3, 2), [0..2, 1..3]);
        assert_eq!(along(2, 3), [0..1, 0..2, 1..2]);
        assert_eq!(along(1, 2), [0..1, 0..1]);
    }
}
