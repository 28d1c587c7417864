//! Two-dimensional convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Cotangent, Layer, Pass, Wanted, assign_leaf, leaf_parameters, stacked};
use crate::ops::{self, ConvShape};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// Two-dimensional convolution, `weight` `[out, in / groups, kh, kw]`, `bias` `[out]`.
///
/// ```text
/// forward    y     = x * w + b
/// tangent    y_dot = x_dot * w + x * w_dot + b_dot
/// cotangent  x_bar = y_bar *^T w    w_bar = x *^T y_bar    b_bar = sum over samples and pixels of y_bar
/// ```
/// Source: Dumoulin & Visin, *A guide to convolution arithmetic for deep learning* (2016), for the transposes.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    shape: ConvShape,
}

/// The sizes of a [`Conv2d`].
#[derive(Debug, Clone, Copy)]
pub struct Conv2dConfig {
    /// Channels of the input and of the output.
    pub channels: [usize; 2],
    /// Side of the square window.
    pub kernel: usize,
    /// Stride, padding and groups.
    pub shape: ConvShape,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Conv2dConfig {
    /// A square window with stride 1, no padding, one group and no bias.
    pub fn new(channels: [usize; 2], kernel: usize) -> Self {
        Self { channels, kernel, shape: ConvShape { stride: 1, padding: 0, groups: 1 }, bias: false }
    }

    /// With another stride.
    pub fn stride(mut self, stride: usize) -> Self {
        self.shape.stride = stride;
        self
    }

    /// With zeros around the input.
    pub fn padding(mut self, padding: usize) -> Self {
        self.shape.padding = padding;
        self
    }

    /// With channel groups; both channel counts must be multiples.
    pub fn groups(mut self, groups: usize) -> Self {
        self.shape.groups = groups;
        self
    }

    /// With a bias.
    pub fn bias(mut self) -> Self {
        self.bias = true;
        self
    }

    /// Kaiming-uniform weights, `U(-b, b)` with `b = sqrt(6 / fan_in)`; biases 0.01 (the paper's code).
    ///
    /// # Panics
    /// If there are 0 groups.
    pub fn init(&self, stream: Stream, placement: &Placement) -> Conv2d {
        let [input, output] = self.channels;
        let fan_in = input / self.shape.groups * self.kernel * self.kernel;
        let bound = (6.0 / fan_in as f64).sqrt();
        let weight = stream.named("weight").uniform(output * fan_in, -bound, bound);
        let size = [output, input / self.shape.groups, self.kernel, self.kernel];
        Conv2d {
            weight: Param::from_tensor(placement.tensor(weight, size)),
            bias: self.bias.then(|| Param::from_tensor(placement.tensor(vec![0.01; output], [output]))),
            shape: self.shape,
        }
    }
}

impl Conv2d {
    fn through_input(&self, x_dot: Tensor<4>) -> Tensor<4> {
        ops::conv2d(x_dot, self.weight.val(), self.shape)
    }

    /// One direction's `x_dot * w + x * w_dot`. With `w_dot = a b^T` the second part is `a (x * b)`: one output channel.
    fn tangent_along(&self, x: &Tensor<4>, x_dot: Option<Tensor<4>>, theta_dot: &ParamVector) -> Tensor<4> {
        let weight = self.weight.val();
        let Some(w_dot) = theta_dot.entry("weight") else {
            return x_dot.map_or_else(|| ops::conv2d(x.clone(), weight.zeros_like(), self.shape), |x_dot| self.through_input(x_dot));
        };
        if let Some([a, b]) = w_dot.factors().filter(|_| self.shape.groups == 1) {
            let [_, input, height, width] = weight.dims();
            let s = ops::conv2d(x.clone(), b.reshape([1, input, height, width]), self.shape);
            let y_dot = x_dot.map(|x_dot| self.through_input(x_dot));
            return match y_dot {
                Some(y_dot) => ops::add_outer(y_dot, &a, &s),
                None => s * a.reshape([1, -1, 1, 1]),
            };
        }
        match x_dot {
            Some(x_dot) => ops::conv2d_tangent([&x_dot, &weight], [x, &w_dot.tensor()], self.shape),
            None => ops::conv2d(x.clone(), w_dot.tensor(), self.shape),
        }
    }
}

/// The input, for the weight's tangent and cotangent.
#[derive(Debug)]
pub struct Saved {
    x: Tensor<4>,
}

impl Layer for Conv2d {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Saved) {
        let y = ops::conv2d(x.clone(), self.weight.val(), self.shape);
        let y = match &self.bias {
            Some(bias) => y + bias.val().reshape([1, -1, 1, 1]),
            None => y,
        };
        (y, Saved { x })
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let moves = theta_dot.iter().any(|theta_dot| theta_dot.entry("weight").is_some());
        let y_dot = if moves {
            let count = theta_dot.len();
            let inputs = x_dot.map_or(vec![None; count], |x_dot| stacked::split(x_dot, count).into_iter().map(Some).collect());
            let pairs = inputs.into_iter().zip(theta_dot);
            Some(stacked::join(pairs.map(|(x_dot, theta_dot)| self.tangent_along(&saved.x, x_dot, theta_dot)).collect()))
        } else {
            x_dot.map(|x_dot| self.through_input(x_dot))
        };
        let Some(b_dot) = stacked::channel_directions(theta_dot, "bias") else { return y_dot };
        let samples = saved.x.dims()[0];
        let size = output_size(&saved.x, &self.weight.val(), self.shape);
        let [count, _, channels, _] = b_dot.dims();
        let shifted = b_dot.expand([count, samples, channels, size[0] * size[1]]);
        stacked::add(y_dot, Some(stacked::rejoin(shifted, size)))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let mut theta_bar = ParamVector::default();
        if wanted.parameters {
            let weight = self.weight.val();
            theta_bar
                .insert("weight", ops::conv2d_weight_cotangent(saved.x.clone(), y_bar.clone(), weight, self.shape));
            if self.bias.is_some() {
                let channels = y_bar.dims()[1];
                theta_bar.insert("bias", y_bar.clone().sum_dim(0).sum_dim(2).sum_dim(3).reshape([channels]));
            }
        }
        let [_, _, height, width] = saved.x.dims();
        let x_bar = wanted
            .input
            .then(|| ops::conv2d_input_cotangent(y_bar, self.weight.val(), self.shape, [height, width]));
        Cotangent { x_bar, theta_bar }
    }

    fn parameters(&self) -> ParamVector {
        leaf_parameters(self)
    }

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}

/// Height and width of the output.
fn output_size(x: &Tensor<4>, weight: &Tensor<4>, shape: ConvShape) -> [usize; 2] {
    let (x, w) = (x.dims(), weight.dims());
    [2, 3].map(|axis| (x[axis] + 2 * shape.padding - w[axis]) / shape.stride + 1)
}
