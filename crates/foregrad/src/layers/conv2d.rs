//! Two-dimensional convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{
    Activation, Cotangent, Dual, Groups, Layer, LayerKind, Outputs, Pass, Planned, Scope, Wanted, assign_leaf,
    leaf_parameters,
    plan::{at_least_one, check_channels, windows},
    product, stacked,
};
use crate::ops::{self, ConvShape};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;
use crate::{Error, Result, settings};

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

/// Output channels from which a single direction of rank one is faster by its factors: fewer are not worth two passes over the tangent.
const FACTORED_OUTPUTS: usize = 32;

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

    /// Channels, height and width of the output.
    ///
    /// # Errors
    /// An input of other channels, groups that do not divide the channels, no stride or window, a window that does not fit, or one
    /// that could lie in the padding alone.
    pub fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        let ConvShape { stride, padding, groups } = self.shape;
        check_channels(input, self.channels[0])?;
        let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
        if !self.channels.into_iter().all(divides) {
            let expected = format!("a divisor of {} input and {} output channels", self.channels[0], self.channels[1]);
            return Err(Error::out_of_range("groups", groups, expected));
        }
        at_least_one("kernel", self.kernel)?;
        if padding >= self.kernel {
            return Err(Error::out_of_range("padding", padding, format!("less than the kernel, {}", self.kernel)));
        }
        let [height, width] = windows(input, self.kernel, stride, padding)?;
        Ok([self.channels[1], height, width])
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
        ops::conv2d(x_dot, &self.weight.val(), self.shape)
    }

    /// `x * w + b`.
    fn value(&self, x: Activation, pass: Pass) -> Activation {
        self.shifted(ops::conv2d_activation(x, &self.weight.val(), self.shape, self.wants_moments(pass)))
    }

    /// Whether the moments of `x * w` are those of the output, and wanted.
    fn wants_moments(&self, pass: Pass) -> bool {
        pass.wants_moments && self.bias.is_none()
    }

    /// `y + b`.
    fn shifted(&self, y: Activation) -> Activation {
        match &self.bias {
            Some(bias) => (y.into_tensor() + bias.val().reshape([1, -1, 1, 1])).into(),
            None => y,
        }
    }

    /// `y_dot + b_dot` of all directions, for so many samples of an output of a size.
    fn shifted_tangent(
        &self,
        y_dot: Option<Tensor<4>>,
        theta_dot: &[ParamVector],
        (samples, size): (usize, [usize; 2]),
    ) -> Option<Tensor<4>> {
        let Some(b_dot) = stacked::channel_directions(theta_dot, "bias") else { return y_dot };
        let [count, _, channels, _] = b_dot.dims();
        let shifted = b_dot.expand([count, samples, channels, size[0] * size[1]]);
        stacked::add(y_dot, Some(stacked::rejoin(shifted, size)))
    }

    /// `x_dot * w + x * w_dot` of all directions, if each `w_dot` is of rank one: with `w_dot = a b^T` the second part is `a (x * b)`, so that
    /// all directions together take one convolution of as many output channels.
    fn tangent_along_factors(&self, x: &Activation, x_dot: Option<Tensor<4>>, [a, b]: [Tensor<2>; 2]) -> Tensor<4> {
        let [output, input, height, width] = self.weight.val().dims();
        let s = ops::conv2d_of(x, &b.reshape([-1, input as i32, height as i32, width as i32]), self.shape);
        let [samples, directions, rows, columns] = s.dims();
        let y_dot = match x_dot {
            Some(x_dot) => self.through_input(x_dot),
            None => Placement::of(&s).zeros([directions * samples, output, rows, columns]),
        };
        ops::add_outer(y_dot, &a, &s)
    }

    /// The factors of all directions of the weight, `[k, out]` and `[k, in kh kw]`, if each has them and they are the faster way.
    fn factors(&self, theta_dot: &[ParamVector]) -> Option<[Tensor<2>; 2]> {
        let factors: Option<Vec<_>> = theta_dot.iter().map(|theta_dot| theta_dot.entry("weight")?.factors()).collect();
        let gains = theta_dot.len() > 1 || self.weight.val().dims()[0] >= FACTORED_OUTPUTS;
        let factors = factors.filter(|factors| self.shape.groups == 1 && gains && !factors.is_empty())?;
        let (a, b): (Vec<_>, Vec<_>) = factors.into_iter().map(|[a, b]| (a, b)).unzip();
        Some([a, b].map(|side| Tensor::stack(side, 0)))
    }

    /// The tangent, given the factors of all directions of the weight, if each has them.
    fn tangent_given(
        &self,
        x: &Activation,
        x_dot: Option<Tensor<4>>,
        theta_dot: &[ParamVector],
        factors: Option<[Tensor<2>; 2]>,
    ) -> Option<Tensor<4>> {
        let moves = theta_dot.iter().any(|theta_dot| theta_dot.entry("weight").is_some());
        let y_dot = if let Some(factors) = factors {
            Some(self.tangent_along_factors(x, x_dot, factors))
        } else if moves {
            let count = theta_dot.len();
            let inputs =
                x_dot.map_or(vec![None; count], |x_dot| stacked::split(x_dot, count).into_iter().map(Some).collect());
            let pairs = inputs.into_iter().zip(theta_dot);
            Some(stacked::join(pairs.map(|(x_dot, theta_dot)| self.tangent_along(x, x_dot, theta_dot)).collect()))
        } else {
            x_dot.map(|x_dot| self.through_input(x_dot))
        };
        let size = output_size(x, &self.weight.val(), self.shape);
        self.shifted_tangent(y_dot, theta_dot, (x.dims()[0], size))
    }

    /// One direction's `x_dot * w + x * w_dot`.
    fn tangent_along(&self, x: &Activation, x_dot: Option<Tensor<4>>, theta_dot: &ParamVector) -> Tensor<4> {
        let weight = self.weight.val();
        let Some(w_dot) = theta_dot.entry("weight") else {
            return x_dot.map_or_else(
                || ops::conv2d_of(x, &weight.zeros_like(), self.shape),
                |x_dot| self.through_input(x_dot),
            );
        };
        match x_dot {
            Some(x_dot) => ops::conv2d_tangent((x_dot, &weight), (x, &w_dot.tensor()), self.shape),
            None => ops::conv2d_of(x, &w_dot.tensor(), self.shape),
        }
    }
}

/// The input, for the weight's tangent and cotangent.
#[derive(Debug)]
pub struct Saved {
    x: Activation,
}

settings! {
    /// A convolution in a spec.
    pub struct Conv2dSpec {
        /// Channels of the output.
        outputs: Outputs = Outputs::Labels => file,
        /// Side of the square window.
        kernel: usize = 0 => file,
        /// Pixels from one window to the next.
        stride: usize = 1 => file,
        /// Rows and columns of zeros around the image.
        padding: usize = 0 => file,
        /// Channel groups, each with windows of its own; `inputs` is one for each input channel (depthwise).
        groups: Groups = Groups::Number(1) => file,
        /// A shift of each output channel.
        bias: bool = false => file,
    }
}

impl LayerKind for Conv2dSpec {
    const NAME: &'static str = "conv2d";
    const NEEDS: &'static [&'static str] = &["outputs", "kernel"];

    fn plan(&self, input: [usize; 3], scope: &Scope) -> Result<Planned> {
        let groups = match self.groups {
            Groups::Number(number) => number,
            Groups::Inputs => input[0],
        };
        let shape = ConvShape { stride: self.stride, padding: self.padding, groups };
        let channels = [input[0], scope.outputs(self.outputs)];
        let config = Conv2dConfig { channels, kernel: self.kernel, shape, bias: self.bias };
        let output = config.output(input)?;
        let window = product([channels[0] / groups, self.kernel, self.kernel]);
        let biases = if self.bias { channels[1] as u64 } else { 0 };
        let planned = Planned::new(output, move |making| config.init(making.stream(), making.placement).into());
        let flop = product(output).saturating_mul(window).saturating_mul(2);
        Ok(planned.weights(window.saturating_mul(channels[1] as u64).saturating_add(biases)).flop(flop))
    }
}

impl Conv2d {
    /// The sizes it was made with.
    fn config(&self) -> Conv2dConfig {
        let [output, input, kernel, _] = self.weight.val().dims();
        let channels = [input * self.shape.groups, output];
        Conv2dConfig { channels, kernel, shape: self.shape, bias: self.bias.is_some() }
    }
}

impl Layer for Conv2d {
    type Saved = Saved;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Saved) {
        let (y, saved) = self.forward_of(x.into(), pass);
        (y.into_tensor(), saved)
    }

    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, Saved) {
        (self.value(x.clone(), pass), Saved { x })
    }

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        let (weight, factors) = (self.weight.val(), self.factors(theta_dot));
        let moving = match theta_dot {
            [one] if factors.is_none() => one.entry("weight"),
            _ => None,
        };
        let (y, y_dot) = match (x_dot, moving) {
            (Some(x_dot), Some(w_dot)) => {
                let wants_moments = self.wants_moments(pass);
                let (y, y_dot) = ops::conv2d_dual((x, &weight), (x_dot, &w_dot.tensor()), self.shape, wants_moments);
                let [samples, _, height, width] = y.dims();
                let y_dot = self.shifted_tangent(Some(y_dot), theta_dot, (samples, [height, width]));
                (self.shifted(y), y_dot)
            }
            // The tangents first: then nobody else needs the input, and the output can take its memory.
            (x_dot, _) => {
                let y_dot = self.tangent_given(&x, x_dot, theta_dot, factors);
                (self.value(x, pass), y_dot)
            }
        };
        Dual { y, y_dot, statistics: ParamVector::default() }
    }

    fn tangent(&self, saved: &Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        self.tangent_given(&saved.x, x_dot, theta_dot, self.factors(theta_dot))
    }

    fn cotangent(&self, saved: &Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let mut theta_bar = ParamVector::default();
        if wanted.parameters {
            let weight = self.weight.val();
            theta_bar.insert("weight", ops::conv2d_weight_cotangent(&saved.x, &y_bar, &weight, self.shape));
            if self.bias.is_some() {
                let channels = y_bar.dims()[1];
                theta_bar.insert("bias", y_bar.clone().sum_dim(0).sum_dim(2).sum_dim(3).reshape([channels]));
            }
        }
        let [_, _, height, width] = saved.x.dims();
        let x_bar =
            wanted.input.then(|| ops::conv2d_input_cotangent(y_bar, &self.weight.val(), self.shape, [height, width]));
        Cotangent { x_bar, theta_bar }
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        self.config().output(input)
    }

    fn parameters(&self) -> ParamVector {
        leaf_parameters(self)
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        vec![("weight".into(), self.shape.groups)]
    }

    fn assign(&mut self, values: &ParamVector) {
        assign_leaf(self, values);
    }
}

/// Height and width of the output.
fn output_size(x: &Activation, weight: &Tensor<4>, shape: ConvShape) -> [usize; 2] {
    let (x, w) = (x.dims(), weight.dims());
    [2, 3].map(|axis| (x[axis] + 2 * shape.padding - w[axis]) / shape.stride + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{AnyLayer, BatchNorm, GroupNorm, Phase};
    use crate::ops::address;
    use burn::tensor::{DType, Device};

    #[test]
    fn behind_a_norm_it_keeps_no_map_of_its_own() {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        let conv = Conv2dConfig::new([3, 3], 3).padding(1).init(Stream::new(0, "conv"), &placement);
        for norm in [AnyLayer::from(BatchNorm::new(3, 0.1, &placement)), GroupNorm::new(3, 3, 0.1, &placement).into()] {
            let x: Tensor<4> = Stream::new(0, "x").normal_tensor([4, 3, 5, 7], &placement);
            let (y, _kept) = norm.forward_of(x.into(), Phase::Train.into());
            let (_, saved) = conv.forward_of(y, Phase::Train.into());
            let [first, second] = [saved.x.tensor(), saved.x.tensor()];
            assert_ne!(address(&first), address(&second), "each time it is computed");
        }
    }
}
