//! Convolution and its two transposes.

use burn::tensor::{Tensor, module, ops::ConvOptions, ops::ConvTransposeOptions};

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
}

/// `y = x * w`: `x` is `[n, in, h, w]`, `weight` `[out, in / groups, kh, kw]`, `y` `[n, out, h', w']`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, shape: ConvShape) -> Tensor<4> {
    module::conv2d(x, weight, None, shape.options())
}

/// `x_bar`, the transpose of `x -> x * w`, for an input of `height` by `width`.
pub fn conv2d_input_cotangent(y_bar: Tensor<4>, weight: Tensor<4>, shape: ConvShape, size: [usize; 2]) -> Tensor<4> {
    let [_, _, rows, columns] = y_bar.dims();
    let [_, _, kernel_height, kernel_width] = weight.dims();
    // Input rows that no window reaches (a stride that does not divide) come back as output padding.
    let unreached =
        |size: usize, windows: usize, kernel: usize| size + 2 * shape.padding - ((windows - 1) * shape.stride + kernel);
    let extra = [unreached(size[0], rows, kernel_height), unreached(size[1], columns, kernel_width)];
    let options = ConvTransposeOptions::new([shape.stride; 2], [shape.padding; 2], extra, [1, 1], shape.groups);
    module::conv_transpose2d(y_bar, weight, None, options)
}

/// `w_bar`, the transpose of `w -> x * w`; `weight` gives the shape only.
pub fn conv2d_weight_cotangent(x: Tensor<4>, y_bar: Tensor<4>, weight: Tensor<4>, shape: ConvShape) -> Tensor<4> {
    module::conv2d_weight_backward(x, weight, y_bar, shape.options())
}
