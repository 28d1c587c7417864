//! Convolution, its tangent and its two transposes.

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Element, Tensor, module, ops::ConvOptions, ops::ConvTransposeOptions};
use foregrad_kernels::convolution::{self as kernels, Convolution};
use foregrad_kernels::{Real, Source, operations};

use super::activation::{Activation, channel_map, source};
use super::cpu::{self, Owned, change_on_cpu, on_cpu};

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

/// `y = x * w`: `x` is `[n, in, h, w]`, `weight` `[out, in / groups, kh, kw]`, `y` `[n, out, h', w']`; in the memory of `x`, where that can be.
pub fn conv2d(x: impl Into<Activation>, weight: &Tensor<4>, shape: ConvShape) -> Tensor<4> {
    conv2d_activation(x.into(), weight, shape, false).into_tensor()
}

/// [`conv2d`] as an activation; with the moments of its channels, if they are wanted, where the kernels can take them: a norm reads them instead of
/// `y`.
pub fn conv2d_activation(x: Activation, weight: &Tensor<4>, shape: ConvShape, wants_moments: bool) -> Activation {
    let convolution = shape.with_sizes(x.dims(), weight.dims());
    let (x, is_free) = taken_activation(x, &convolution);
    if !is_free {
        return activation_of(&x, weight, shape, wants_moments);
    }
    operations::add(convolution.operations());
    let (x, [scale, shift], is_rectified) = x.into_parts();
    let moments;
    let y = change_on_cpu!(|x, weight; scale, shift| {
        let input = (x, channel_map(scale, shift, is_rectified), weight);
        moments = if wants_moments {
            Some(kernels::sum_in_place_and_moments(&convolution, input))
        } else {
            kernels::sum_in_place(&convolution, input, &[]);
            None
        };
    });
    Activation::measured(y, moments.as_deref())
}

/// `y = x * w` of an `x` that others need, or that is mapped on reading.
pub fn conv2d_of(x: &Activation, weight: &Tensor<4>, shape: ConvShape) -> Tensor<4> {
    activation_of(x, weight, shape, false).into_tensor()
}

/// [`conv2d_of`] as [`conv2d_activation`] gives it.
fn activation_of(x: &Activation, weight: &Tensor<4>, shape: ConvShape, wants_moments: bool) -> Activation {
    operations::add(shape.with_sizes(x.dims(), weight.dims()).operations());
    fused_conv2d(x, weight, shape, wants_moments)
        .unwrap_or_else(|| module::conv2d(x.tensor(), weight.clone(), None, shape.options()).into())
}

fn fused_conv2d(x: &Activation, weight: &Tensor<4>, shape: ConvShape, wants_moments: bool) -> Option<Activation> {
    let convolution = shape.with_sizes(x.dims(), weight.dims());
    let size = output_shape(&convolution);
    let (scale, shift, is_rectified) = x.map();
    let x = x.held();
    on_cpu!(|x, weight; scale, shift| {
        let term = (source(x, scale, shift, is_rectified), weight);
        let (y, moments) = if wants_moments {
            let (y, moments) = kernels::sum_and_moments(&convolution, term);
            (y, Some(moments))
        } else {
            (kernels::sum(&convolution, &[term]), None)
        };
        Activation::measured(cpu::tensor(y, size), moments.as_deref())
    })
}

/// `y_dot = x_dot * w + x * w_dot`, in one pass over `y_dot`; in the memory of `x_dot`, where that can be.
pub fn conv2d_tangent(
    (x_dot, weight): (Tensor<4>, &Tensor<4>),
    (x, w_dot): (&Activation, &Tensor<4>),
    shape: ConvShape,
) -> Tensor<4> {
    let convolution = shape.with_sizes(x.dims(), weight.dims());
    operations::add(2 * convolution.operations());
    let (x_dot, is_free) = taken(x_dot, &convolution);
    if is_free {
        let (scale, shift, is_rectified) = x.map();
        let x = x.held();
        return change_on_cpu!(|x_dot, weight, x, w_dot; scale, shift| {
            let others = [(source(x, scale, shift, is_rectified), w_dot)];
            kernels::sum_in_place(&convolution, (x_dot, None, weight), &others)
        });
    }
    fused_tangent((&x_dot, weight), (x, w_dot), shape).unwrap_or_else(|| {
        let [through_input, through_weight] =
            [(x_dot, weight), (x.tensor(), w_dot)].map(|(x, w)| module::conv2d(x, w.clone(), None, shape.options()));
        through_input + through_weight
    })
}

fn fused_tangent(
    (x_dot, weight): (&Tensor<4>, &Tensor<4>),
    (x, w_dot): (&Activation, &Tensor<4>),
    shape: ConvShape,
) -> Option<Tensor<4>> {
    let convolution = shape.with_sizes(x.dims(), weight.dims());
    let size = output_shape(&convolution);
    let (scale, shift, is_rectified) = x.map();
    let x = x.held();
    on_cpu!(|x_dot, weight, x, w_dot; scale, shift| {
        let terms = [(x_dot.into(), weight), (source(x, scale, shift, is_rectified), w_dot)];
        cpu::tensor(kernels::sum(&convolution, &terms), size)
    })
}

/// `y = x * w`, as [`conv2d_activation`] gives it, and `y_dot = x_dot * w + x * w_dot` at once, in the memory of `x` and `x_dot`, where that can be.
pub fn conv2d_dual(
    (x, weight): (Activation, &Tensor<4>),
    (x_dot, w_dot): (Tensor<4>, &Tensor<4>),
    shape: ConvShape,
    wants_moments: bool,
) -> (Activation, Tensor<4>) {
    let convolution = shape.with_sizes(x.dims(), weight.dims());
    let is_local =
        [x.held(), &x_dot, weight, w_dot].into_iter().all(|it| cpu::is_local(it) && it.dtype() == x_dot.dtype());
    if !(is_local && kernels::is_faster_dual(&convolution)) {
        // The tangent first: then nobody else needs the input, and the output can take its memory.
        let y_dot = conv2d_tangent((x_dot, weight), (&x, w_dot), shape);
        return (conv2d_activation(x, weight, shape, wants_moments), y_dot);
    }
    operations::add(3 * convolution.operations());
    match x_dot.dtype() {
        DType::F64 => fused_dual::<f64>((x, weight), (x_dot, w_dot), &convolution, wants_moments),
        _ => fused_dual::<f32>((x, weight), (x_dot, w_dot), &convolution, wants_moments),
    }
}

fn fused_dual<T: Real + Element>(
    (x, weight): (Activation, &Tensor<4>),
    (x_dot, w_dot): (Tensor<4>, &Tensor<4>),
    convolution: &Convolution,
    wants_moments: bool,
) -> (Activation, Tensor<4>) {
    let size = output_shape(convolution);
    let ((x, is_x_free), (x_dot, is_x_dot_free)) = (taken_activation(x, convolution), taken(x_dot, convolution));
    let (x, map, is_rectified) = x.into_parts();
    let [scale, shift] = map.map(|values| values.map(local));
    let map = channel_map(scale.as_ref().map(slice::<T>), shift.as_ref().map(slice), is_rectified);
    let [x, x_dot, weight, w_dot] = [x, x_dot, weight.clone(), w_dot.clone()].map(local);
    let [weight, w_dot] = [&weight, &w_dot].map(slice::<T>);
    let ([y, y_dot], moments) = if is_x_free && is_x_dot_free {
        let [mut x, mut x_dot] = [x, x_dot].map(Owned::<T>::new);
        let (value, tangent) = ((x.values(), map, weight), (x_dot.values(), w_dot));
        let moments = kernels::dual_in_place(convolution, value, tangent, wants_moments);
        ([x, x_dot].map(|owned| owned.tensor(size)), moments)
    } else {
        let value = (Source::of(slice(&x), map), weight);
        let (both, moments) = kernels::dual(convolution, value, (slice(&x_dot), w_dot), wants_moments);
        (both.map(|values| cpu::tensor(values, size)), moments)
    };
    (Activation::measured(y, moments.as_deref()), y_dot)
}

/// A tensor that is known to be local.
fn local<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    cpu::contiguous(tensor).expect("the operand is local")
}

fn slice<T: Real + Element>(tensor: &FlexTensor) -> &[T] {
    tensor.as_slice().expect("the operand is of the same type")
}

/// `x_bar`, the transpose of `x -> x * w`, for an input of `height` by `width`; in the memory of `y_bar`, where that can be.
pub fn conv2d_input_cotangent(y_bar: Tensor<4>, weight: &Tensor<4>, shape: ConvShape, size: [usize; 2]) -> Tensor<4> {
    let input = [y_bar.dims()[0], weight.dims()[1] * shape.groups, size[0], size[1]];
    let convolution = shape.with_sizes(input, weight.dims());
    operations::add(convolution.operations());
    let (y_bar, is_free) = taken(y_bar, &convolution);
    if is_free {
        return change_on_cpu!(|y_bar, weight| kernels::input_cotangent_in_place(&convolution, y_bar, weight));
    }
    fused_input_cotangent(&y_bar, weight, &convolution).unwrap_or_else(|| {
        let [_, _, rows, columns] = y_bar.dims();
        let [_, _, kernel_height, kernel_width] = weight.dims();
        // Input rows that no window reaches (a stride that does not divide) come back as output padding.
        let unreached = |size: usize, windows: usize, kernel: usize| {
            size + 2 * shape.padding - ((windows - 1) * shape.stride + kernel)
        };
        let extra = [unreached(size[0], rows, kernel_height), unreached(size[1], columns, kernel_width)];
        let options = ConvTransposeOptions::new([shape.stride; 2], [shape.padding; 2], extra, [1, 1], shape.groups);
        module::conv_transpose2d(y_bar, weight.clone(), None, options)
    })
}

fn fused_input_cotangent(y_bar: &Tensor<4>, weight: &Tensor<4>, convolution: &Convolution) -> Option<Tensor<4>> {
    let Convolution { samples, channels: [input, _], size: [height, width], .. } = *convolution;
    let size = [samples, input, height, width];
    on_cpu!(|y_bar, weight| cpu::tensor(kernels::input_cotangent(convolution, y_bar, weight), size))
}

/// `w_bar`, the transpose of `w -> x * w`; `weight` gives the shape only.
pub fn conv2d_weight_cotangent(x: &Activation, y_bar: &Tensor<4>, weight: &Tensor<4>, shape: ConvShape) -> Tensor<4> {
    operations::add(shape.with_sizes(x.dims(), weight.dims()).operations());
    fused_weight_cotangent(x, y_bar, weight.dims(), shape)
        .unwrap_or_else(|| module::conv2d_weight_backward(x.tensor(), weight.clone(), y_bar.clone(), shape.options()))
}

fn fused_weight_cotangent(
    x: &Activation,
    y_bar: &Tensor<4>,
    weight: [usize; 4],
    shape: ConvShape,
) -> Option<Tensor<4>> {
    let convolution = shape.with_sizes(x.dims(), weight);
    let (scale, shift, is_rectified) = x.map();
    let x = x.held();
    on_cpu!(|x, y_bar; scale, shift| {
        let x = source(x, scale, shift, is_rectified);
        cpu::tensor(kernels::weight_cotangent(&convolution, x, y_bar), weight)
    })
}

/// An operand, and whether a convolution's result can take its memory.
fn taken(operand: Tensor<4>, convolution: &Convolution) -> (Tensor<4>, bool) {
    let (operand, is_free) = taken_activation(operand.into(), convolution);
    (operand.into_tensor(), is_free)
}

/// [`taken`] of what may be mapped on reading.
fn taken_activation(operand: Activation, convolution: &Convolution) -> (Activation, bool) {
    if kernels::works_in_place(convolution) { operand.alone() } else { (operand, false) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::ops::{Affine, address, channel_affine, channel_moments, host};
    use crate::rng::{Placement, Stream};

    const SHAPE: ConvShape = ConvShape { stride: 1, padding: 1, groups: 1 };

    fn draw<const D: usize>(name: &str, size: [usize; D]) -> Tensor<D> {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        Stream::new(0, name).normal_tensor(size, &placement)
    }

    #[test]
    fn a_result_takes_the_memory_of_an_operand_that_nobody_else_needs() {
        let (size, w) = ([3, 32, 8, 8], draw("w", [32, 32, 3, 3]));
        let is_in_place = foregrad_kernels::instructions::path() != foregrad_kernels::instructions::Path::Composed;
        let maps: [&dyn Fn(Tensor<4>) -> Tensor<4>; 3] =
            [&|x| conv2d(x, &w, SHAPE), &|y_bar| conv2d_input_cotangent(y_bar, &w, SHAPE, [8, 8]), &|x_dot| {
                conv2d_tangent((x_dot, &w), (&draw("x", size).into(), &draw("w_dot", w.dims())), SHAPE)
            }];
        for map in maps {
            let (x, before) = (draw("operand", size), host(draw("operand", size)));
            let shared = map(x.clone());
            assert!(address(&shared) != address(&x) && host(x.clone()) == before, "others still need it");
            let place = address(&x);
            let alone = map(x);
            assert_eq!(address(&alone) == place, is_in_place);
            assert_eq!(host(alone), host(shared));
        }
    }

    #[test]
    fn moments_come_with_a_result_that_is_written_as_without_them() {
        for (samples, channels) in [(16, 6), (3, 40)] {
            let (size, w) = ([samples, channels, 8, 8], draw("w", [channels, channels, 3, 3]));
            let expected = conv2d(draw("x", size), &w, SHAPE);
            let x = draw("x", size);
            let shared = conv2d_activation(x.clone().into(), &w, SHAPE, true);
            assert_eq!(host(x.clone()), host(draw("x", size)), "others still need it");
            for y in [shared, conv2d_activation(x.into(), &w, SHAPE, true)] {
                let (y, moments) = y.into_tensor_with_moments();
                assert_eq!(host(y), host(expected.clone()));
                for (found, moments) in moments.into_iter().zip(channel_moments(&expected)) {
                    let gap = (found - moments.clone()).abs() / moments.abs().max();
                    assert!(host(gap).into_iter().all(|gap| gap < 1e-5));
                }
            }
        }
    }

    #[test]
    fn value_and_tangent_at_once_are_those_one_after_the_other() {
        let is_in_place = foregrad_kernels::instructions::path() != foregrad_kernels::instructions::Path::Composed;
        for channels in [5, 40] {
            let size = [3, channels, 8, 8];
            let [w, w_dot] = ["w", "w_dot"].map(|name| draw(name, [channels, channels, 3, 3]));
            let [x, x_dot] = ["x", "x_dot"].map(|name| draw(name, size));
            let y_dot = conv2d_tangent((x_dot.clone(), &w), (&x.clone().into(), &w_dot), SHAPE);
            let expected = [conv2d(x.clone(), &w, SHAPE), y_dot].map(host);
            let dual = |x: Tensor<4>, x_dot| {
                let (y, y_dot) = conv2d_dual((x.into(), &w), (x_dot, &w_dot), SHAPE, false);
                [y.into_tensor(), y_dot]
            };
            assert_eq!(dual(x.clone(), x_dot.clone()).map(host), expected);
            assert_eq!(
                [host(x.clone()), host(x_dot.clone())],
                [draw("x", size), draw("x_dot", size)].map(host),
                "others still need them"
            );
            let places = [address(&x), address(&x_dot)];
            let alone = dual(x, x_dot);
            assert_eq!([address(&alone[0]), address(&alone[1])] == places, is_in_place && channels == 40);
            assert_eq!(alone.map(host), expected);
        }
    }

    #[test]
    fn a_normalisation_on_reading_is_one_before_reading() {
        let (x, w) = (draw("x", [3, 5, 6, 7]), draw("w", [4, 5, 3, 3]));
        let y_bar = draw("y_bar", [3, 4, 6, 7]);
        for values in [5, 15] {
            let affine = Affine { scale: draw("scale", [values]), shift: draw("shift", [values]) };
            let rows = if values == 5 { [3, 5, 6, 7] } else { [1, 15, 42, 1] };
            let written = channel_affine(&x.clone().reshape(rows), &affine, Some(&affine)).reshape([3, 5, 6, 7]);
            let read = Activation::normalised(x.clone(), affine, true);
            assert_eq!(host(read.tensor()), host(written.clone()));
            let plain = Activation::from(written);
            let [a, b] = [&read, &plain].map(|x| host(conv2d_of(x, &w, SHAPE)));
            assert_eq!(a, b);
            let [a, b] = [&read, &plain].map(|x| host(conv2d_weight_cotangent(x, &y_bar, &w, SHAPE)));
            assert_eq!(a, b);
        }
    }
}
