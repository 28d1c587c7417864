//! Convolution, its tangent and its two transposes.

use burn::tensor::{Tensor, module, ops::ConvOptions, ops::ConvTransposeOptions};
use foregrad_kernels::convolution::{self as kernels, Convolution};
use foregrad_kernels::operations;

use super::cpu::{self, on_cpu};

/// The geometry of a two-dimensional convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Step of the window, the same in both directions.
    pub stride: usize,
    /// Zeros added on each side, the same in both directions.
    pub padding: usize,
    /// Channel groups that do not see each other.
    pub groups: usize,
}

impl ConvShape {
    fn options(self) -> ConvOptions<2> {
        let Self { stride, padding, groups } = self;
        ConvOptions::new([stride; 2], [padding; 2], [1, 1], groups)
    }

    /// The sizes, as the kernels want them.
    fn with_sizes(self, x: [usize; 4], weight: [usize; 4]) -> Convolution {
        let Self { stride, padding, groups } = self;
        let ([samples, input, height, width], [output, _, rows, columns]) = (x, weight);
        let (channels, size, kernel) = ([input, output], [height, width], [rows, columns]);
        Convolution { samples, channels, size, kernel, stride, padding, groups }
    }
}

fn output_shape(convolution: &Convolution) -> [usize; 4] {
    let [height, width] = convolution.output();
    [convolution.samples, convolution.channels[1], height, width]
}

/// `y = x * w`: `x` is `[n, in, h, w]`, `weight` `[out, in / groups, kh, kw]`, `y` `[n, out, h', w']`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, shape: ConvShape) -> Tensor<4> {
    operations::add(shape.with_sizes(x.dims(), weight.dims()).operations());
    fused_conv2d(&x, &weight, shape).unwrap_or_else(|| module::conv2d(x, weight, None, shape.options()))
}

fn fused_conv2d(x: &Tensor<4>, weight: &Tensor<4>, shape: ConvShape) -> Option<Tensor<4>> {
    let convolution = shape.with_sizes(x.dims(), weight.dims());
    let size = output_shape(&convolution);
    on_cpu!(|x, weight| cpu::tensor(kernels::sum(&convolution, &[(x, weight)]), size))
}

/// `y_dot = x_dot * w + x * w_dot`, in one pass over `y_dot`.
pub fn conv2d_tangent([x_dot, weight]: [&Tensor<4>; 2], [x, w_dot]: [&Tensor<4>; 2], shape: ConvShape) -> Tensor<4> {
    operations::add(2 * shape.with_sizes(x.dims(), weight.dims()).operations());
    fused_tangent([x_dot, weight], [x, w_dot], shape).unwrap_or_else(|| {
        let [through_input, through_weight] =
            [(x_dot, weight), (x, w_dot)].map(|(x, w)| module::conv2d(x.clone(), w.clone(), None, shape.options()));
        through_input + through_weight
    })
}

fn fused_tangent([x_dot, weight]: [&Tensor<4>; 2], [x, w_dot]: [&Tensor<4>; 2], shape: ConvShape) -> Option<Tensor<4>> {
    let convolution = shape.with_sizes(x.dims(), weight.dims());
    let size = output_shape(&convolution);
    on_cpu!(|x_dot, weight, x, w_dot| {
        let terms = [(x_dot, weight), (x, w_dot)];
        cpu::tensor(kernels::sum(&convolution, &terms), size)
    })
}

/// `x_bar`, the transpose of `x -> x * w`, for an input of `height` by `width`.
pub fn conv2d_input_cotangent(y_bar: Tensor<4>, weight: Tensor<4>, shape: ConvShape, size: [usize; 2]) -> Tensor<4> {
    let input = [y_bar.dims()[0], weight.dims()[1] * shape.groups, size[0], size[1]];
    operations::add(shape.with_sizes(input, weight.dims()).operations());
    fused_input_cotangent(&y_bar, &weight, shape, size).unwrap_or_else(|| {
        let [_, _, rows, columns] = y_bar.dims();
        let [_, _, kernel_height, kernel_width] = weight.dims();
        // Input rows that no window reaches (a stride that does not divide) come back as output padding.
        let unreached = |size: usize, windows: usize, kernel: usize| {
            size + 2 * shape.padding - ((windows - 1) * shape.stride + kernel)
        };
        let extra = [unreached(size[0], rows, kernel_height), unreached(size[1], columns, kernel_width)];
        let options = ConvTransposeOptions::new([shape.stride; 2], [shape.padding; 2], extra, [1, 1], shape.groups);
        module::conv_transpose2d(y_bar, weight, None, options)
    })
}

fn fused_input_cotangent(
    y_bar: &Tensor<4>,
    weight: &Tensor<4>,
    shape: ConvShape,
    [height, width]: [usize; 2],
) -> Option<Tensor<4>> {
    let size = [y_bar.dims()[0], weight.dims()[1] * shape.groups, height, width];
    let convolution = shape.with_sizes(size, weight.dims());
    on_cpu!(|y_bar, weight| cpu::tensor(kernels::input_cotangent(&convolution, y_bar, weight), size))
}

/// `w_bar`, the transpose of `w -> x * w`; `weight` gives the shape only.
pub fn conv2d_weight_cotangent(x: Tensor<4>, y_bar: Tensor<4>, weight: Tensor<4>, shape: ConvShape) -> Tensor<4> {
    operations::add(shape.with_sizes(x.dims(), weight.dims()).operations());
    fused_weight_cotangent(&x, &y_bar, weight.dims(), shape)
        .unwrap_or_else(|| module::conv2d_weight_backward(x, weight, y_bar, shape.options()))
}

fn fused_weight_cotangent(x: &Tensor<4>, y_bar: &Tensor<4>, weight: [usize; 4], shape: ConvShape) -> Option<Tensor<4>> {
    let convolution = shape.with_sizes(x.dims(), weight);
    on_cpu!(|x, y_bar| cpu::tensor(kernels::weight_cotangent(&convolution, x, y_bar), weight))
}
