//! Average pooling.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activation, Cotangent, Layer, LayerKind, Pass, Planned, Scope, Wanted, plan::windows};
use crate::ops::{self, Bins};
use crate::vector::ParamVector;
use crate::{Result, settings};

/// The mean of each square window; rows and columns that fill no window are left out. Panics on an image smaller than a window.
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
    /// A square window of `kernel` pixels a side, every `stride` pixels; neither is 0.
    pub fn new(kernel: usize, stride: usize) -> Self {
        Self { kernel, stride }
    }

    /// The whole windows of an image.
    fn windows(&self, size: [usize; 2]) -> Bins {
        let along = |size: usize| {
            let last = size.checked_sub(self.kernel).unwrap_or_else(|| {
                panic!("a window of {0}x{0} does not fit into an image of {size} pixels a side", self.kernel)
            });
            (0..=last).step_by(self.stride).map(|start| start..start + self.kernel).collect()
        };
        Bins { size, rows: along(size[0]), columns: along(size[1]) }
    }
}

settings! {
    /// Average pooling in a spec.
    pub struct AvgPoolSpec {
        /// Side of the square window.
        kernel: usize = 2 => file,
        /// Pixels from one window to the next; the side of the window if it is left out.
        stride: Option<usize> = None => file,
    }
}

impl LayerKind for AvgPoolSpec {
    const NAME: &'static str = "avg-pool";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        Planned::of(AvgPool::new(self.kernel, self.stride.unwrap_or(self.kernel)), input)
    }
}

/// The windows.
#[derive(Debug)]
pub struct Saved {
    windows: Bins,
}

impl Layer for AvgPool {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let (y, saved) = self.forward_of(x.into(), pass);
        (y.into_tensor(), saved)
    }

    fn forward_of(&self, x: Activation, _pass: Pass) -> (Activation, Saved) {
        let [_, _, height, width] = x.dims();
        let windows = self.windows([height, width]);
        (ops::average_pool(x, &windows).into(), Saved { windows })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot.map(|x_dot| ops::average_pool(x_dot, &saved.windows))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| ops::average_pool_cotangent(y_bar, &saved.windows));
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let [height, width] = windows(input, self.kernel, self.stride, 0)?;
        Ok([input[0], height, width])
    }
}
