//! Maximum pooling.

use burn::module::Module;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, module, ops::MaxPoolOptions};

use super::{Cotangent, Layer, LayerKind, Pass, Planned, Scope, Wanted, plan::windows};
use crate::vector::ParamVector;
use crate::{Error, Result, settings};

/// The largest value of each window; of equal values the first wins.
///
/// With `i(o)` the pixel that wins window `o`:
/// ```text
/// forward    y_o     = x_{i(o)}
/// tangent    y_dot_o = x_dot_{i(o)}
/// cotangent  x_bar_p = sum of y_bar_o over the windows o that p wins
/// ```
/// Source: Scherer, Mueller & Behnke, *Evaluation of pooling operations* (2010).
#[derive(Module, Debug)]
pub struct MaxPool {
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl MaxPool {
    /// A square window of `kernel` pixels a side, every `stride` pixels, with `padding` pixels around the image.
    pub fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel, stride, padding }
    }
}

settings! {
    /// Maximum pooling in a spec.
    pub struct MaxPoolSpec {
        /// Side of the square window.
        kernel: usize = 2 => file,
        /// Pixels from one window to the next; the side of the window if it is left out.
        stride: Option<usize> = None => file,
        /// Rows and columns around the image that never win.
        padding: usize = 0 => file,
    }
}

impl LayerKind for MaxPoolSpec {
    const NAME: &'static str = "max-pool";

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> Result<Planned> {
        Planned::of(MaxPool::new(self.kernel, self.stride.unwrap_or(self.kernel), self.padding), input)
    }
}

/// The winners.
#[derive(Debug)]
pub struct Saved {
    /// Flat pixel of each window's winner, `[n, c, windows]`.
    winners: Tensor<3, Int>,
    /// Shape of the input.
    input: [usize; 4],
    /// Height and width of the output.
    output: [usize; 2],
}

impl Layer for MaxPool {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let input = x.dims();
        let options =
            MaxPoolOptions::new([self.kernel; 2]).with_stride([self.stride; 2]).with_padding([self.padding; 2]);
        let (y, winners) = module::max_pool2d_with_indices(x, options);
        let [samples, channels, height, width] = y.dims();
        let winners = winners.reshape([samples, channels, height * width]);
        (y, Saved { winners, input, output: [height, width] })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let x_dot = x_dot?;
        let [samples, channels, height, width] = saved.input;
        let stacked = x_dot.dims()[0];
        let winners = saved.winners.clone().repeat_dim(0, stacked / samples);
        let y_dot = x_dot.reshape([stacked, channels, height * width]).gather(2, winners);
        Some(y_dot.reshape([stacked, channels, saved.output[0], saved.output[1]]))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let x_bar = wanted.input.then(|| {
            let [samples, channels, height, width] = saved.input;
            let zeros = Tensor::zeros([samples, channels, height * width], (&y_bar.device(), y_bar.dtype()));
            let windows = saved.output[0] * saved.output[1];
            let y_bar = y_bar.reshape([samples, channels, windows]);
            zeros.scatter(2, saved.winners.clone(), y_bar, IndexingUpdateOp::Add).reshape(saved.input)
        });
        Cotangent { x_bar, theta_bar: ParamVector::default() }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        if self.padding > self.kernel / 2 {
            let expected = format!("at most half of the kernel, {}", self.kernel / 2);
            return Err(Error::out_of_range("padding", self.padding, expected));
        }
        let [height, width] = windows(input, self.kernel, self.stride, self.padding)?;
        Ok([input[0], height, width])
    }
}
