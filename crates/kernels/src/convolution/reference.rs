//! The specification: plain loops over everything, in `f64`.

use super::Convolution;
use crate::Real;

/// Calls `visit(index in x, index in w, index in y)` for every product of the convolution.
fn products(convolution: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let ([input, output], [height, width], [rows, columns]) =
        (convolution.group(), convolution.size, convolution.output());
    let [kernel_rows, kernel_columns] = convolution.kernel;
    for sample in 0..convolution.samples {
        for out in 0..convolution.channels[1] {
            for channel in 0..input {
                let plane = sample * convolution.channels[0] + out / output * input + channel;
                for tap in 0..convolution.taps() {
                    for pixel in 0..rows * columns {
                        let row = pixel / columns * convolution.stride + tap / kernel_columns;
                        let column = pixel % columns * convolution.stride + tap % kernel_columns;
                        debug_assert!(tap / kernel_columns < kernel_rows, "a tap lies in the window");
                        let inside =
                            |at: usize, size: usize| (convolution.padding..size + convolution.padding).contains(&at);
                        if inside(row, height) && inside(column, width) {
                            let x = (plane * height + row - convolution.padding) * width + column - convolution.padding;
                            let weight = (out * input + channel) * convolution.taps() + tap;
                            visit(x, weight, (sample * convolution.channels[1] + out) * rows * columns + pixel);
                        }
                    }
                }
            }
        }
    }
}

/// `y = x * w`.
pub fn forward<T: Real>(convolution: &Convolution, x: &[T], weight: &[T]) -> Vec<f64> {
    let [rows, columns] = convolution.output();
    let mut result = vec![0.0; convolution.samples * convolution.channels[1] * rows * columns];
    products(convolution, |i, w, o| result[o] += x[i].to_f64() * weight[w].to_f64());
    result
}

/// `x_bar = y_bar *^T w`.
pub fn input_cotangent<T: Real>(convolution: &Convolution, y_bar: &[T], weight: &[T]) -> Vec<f64> {
    let [height, width] = convolution.size;
    let mut result = vec![0.0; convolution.samples * convolution.channels[0] * height * width];
    products(convolution, |i, w, o| result[i] += y_bar[o].to_f64() * weight[w].to_f64());
    result
}

/// `w_bar = x *^T y_bar`.
pub fn weight_cotangent<T: Real>(convolution: &Convolution, x: &[T], y_bar: &[T]) -> Vec<f64> {
    let mut result = vec![0.0; convolution.channels[1] * convolution.group()[0] * convolution.taps()];
    products(convolution, |i, w, o| result[w] += x[i].to_f64() * y_bar[o].to_f64());
    result
}
