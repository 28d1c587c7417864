//! Average pooling.

use burn::module::Module;
use burn::tensor::{Tensor, module, ops::AvgPoolOptions};

use super::{Cotangent, Layer, Phase, Wanted};
use crate::vector::ParamVector;

/// The mean of each square window; rows and columns that fill no window are left out.
///
/// With `A` the averaging map (linear, so that its tangent is the map itself):
/// ```text
/// forward    y     = A x
/// tangent    y_dot = A x_dot
/// cotangent  x_bar = A^T y_bar
/// ```
/// Source: LeCun et al., *Gradient-based learning applied to document recognition* (1998).
#[derive(Module, Debug)]
pub struct AvgPool {
    kernel: usize,
    stride: usize,
}

impl AvgPool {
    /// A square window.
    pub fn new(kernel: usize, stride: usize) -> Self {
        Self { kernel, stride }
    }

    fn average(&self, x: Tensor<4>) -> Tensor<4> {
        module::avg_pool2d(x, AvgPoolOptions::new([self.kernel; 2]).with_stride([self.stride; 2]))
    }
}

/// The shape of the input, for the cotangent.
#[derive(Debug)]
pub struct Saved {
    input: [usize; 4],
}

impl Layer for AvgPool {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _phase: Phase) -> (Tensor<4>, Saved) {
        let input = x.dims();
        (self.average(x), Saved { input })
    }

    fn tangent(&self, _saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot.map(|x_dot| self.average(x_dot))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| {
            let like = Tensor::zeros(saved.input, (&y_bar.device(), y_bar.dtype()));
            module::avg_pool2d_backward(like, y_bar, [self.kernel; 2], [self.stride; 2], [0, 0], true, false)
        });
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn parameters(&self) -> ParamVector {
        ParamVector::default()
    }

    fn assign(&mut self, _values: &ParamVector) {}
}
