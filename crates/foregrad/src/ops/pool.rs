//! Average pooling and its transpose, over any bins.

use std::ops::Range;

use burn::tensor::{Tensor, module, ops::AvgPoolOptions};
use foregrad_kernels::pool as kernels;
pub use foregrad_kernels::pool::Bins;

use super::activation::{Activation, source};
use super::cpu::{self, on_cpu};
use crate::rng::Placement;

/// The mean of every bin: `[n, c, h, w]` to `[n, c, rows, columns]`.
///
/// Composed: Burn's pooling where the bins are windows at equal distances, else a product with one small averaging matrix on
/// each side, `y = R x C^T`.
pub fn average_pool(x: impl Into<Activation>, bins: &Bins) -> Tensor<4> {
    let x = x.into();
    if let Some(y) = fused_average(&x, bins) {
        return y;
    }
    let x = x.into_tensor();
    match windows(bins) {
        Some([size, stride]) => module::avg_pool2d(x, AvgPoolOptions::new(size).with_stride(stride)),
        None => {
            let [rows, columns] = averaging(bins, &Placement::of(&x));
            sides(x, rows, columns)
        }
    }
}

fn fused_average(x: &Activation, bins: &Bins) -> Option<Tensor<4>> {
    let [samples, channels, ..] = x.dims();
    let shape = [samples, channels, bins.rows.len(), bins.columns.len()];
    let (scale, shift, is_rectified) = x.map();
    let x = x.held();
    on_cpu!(|x; scale, shift| {
        cpu::tensor(kernels::average(bins, source(x, scale, shift, is_rectified)), shape)
    })
}

/// The transpose of [`average_pool`]: `x_bar = R^T y_bar C`.
pub fn average_pool_cotangent(y_bar: Tensor<4>, bins: &Bins) -> Tensor<4> {
    if let Some(x_bar) = fused_spread(&y_bar, bins) {
        return x_bar;
    }
    let [samples, channels, ..] = y_bar.dims();
    let [height, width] = bins.size;
    match windows(bins) {
        Some([size, stride]) => {
            let like = Tensor::zeros([samples, channels, height, width], (&y_bar.device(), y_bar.dtype()));
            module::avg_pool2d_backward(like, y_bar, size, stride, [0, 0], true, false)
        }
        None => {
            let [rows, columns] = averaging(bins, &Placement::of(&y_bar));
            sides(y_bar, rows.transpose(), columns.transpose())
        }
    }
}

fn fused_spread(y_bar: &Tensor<4>, bins: &Bins) -> Option<Tensor<4>> {
    let [samples, channels, ..] = y_bar.dims();
    let shape = [samples, channels, bins.size[0], bins.size[1]];
    on_cpu!(|y_bar| cpu::tensor(kernels::spread(bins, y_bar), shape))
}

/// Sizes and distances of the bins, if they are as many equal windows from the corner on as fit.
fn windows(bins: &Bins) -> Option<[[usize; 2]; 2]> {
    let window = |ranges: &[Range<usize>], all: usize| {
        let size = ranges.first()?.len();
        let stride = ranges.get(1).map_or(all, |second| second.start).max(1);
        let fitting = (0..=all.checked_sub(size)?).step_by(stride).map(|start| start..start + size);
        fitting.eq(ranges.iter().cloned()).then_some((size, stride))
    };
    let (rows, columns) = (window(&bins.rows, bins.size[0])?, window(&bins.columns, bins.size[1])?);
    Some([[rows.0, columns.0], [rows.1, columns.1]])
}

/// `R x C^T` for every map of `x`.
fn sides(x: Tensor<4>, rows: Tensor<2>, columns: Tensor<2>) -> Tensor<4> {
    let [samples, channels, height, width] = x.dims();
    let [out_height, out_width] = [rows.dims()[0], columns.dims()[0]];
    let along = x.reshape([samples * channels * height, width]).matmul(columns.transpose());
    let turned = along.reshape([samples * channels, height, out_width]).swap_dims(1, 2);
    let down = turned.reshape([samples * channels * out_width, height]).matmul(rows.transpose());
    let turned = down.reshape([samples * channels, out_width, out_height]).swap_dims(1, 2);
    turned.reshape([samples, channels, out_height, out_width])
}

/// The matrices `R`, `[rows, height]`, and `C`, `[columns, width]`, whose rows average a bin's rows and columns.
fn averaging(bins: &Bins, placement: &Placement) -> [Tensor<2>; 2] {
    let matrix = |ranges: &[Range<usize>], size: usize| {
        let mut weights = vec![0.0; ranges.len() * size];
        for (bin, range) in ranges.iter().enumerate() {
            weights[bin * size..][range.clone()].fill(1.0 / range.len() as f64);
        }
        placement.tensor(weights, [ranges.len(), size])
    };
    [matrix(&bins.rows, bins.size[0]), matrix(&bins.columns, bins.size[1])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::host;
    use burn::tensor::{DType, Device};

    #[test]
    fn only_equal_windows_that_all_fit_are_windows() {
        let bins = |rows: &[Range<usize>]| Bins {
            size: [5, 3],
            rows: rows.to_vec(),
            columns: std::iter::once(0..3).collect(),
        };
        assert_eq!(windows(&bins(&[0..2, 2..4])), Some([[2, 3], [2, 3]]));
        assert_eq!(windows(&bins(&[0..3, 2..5])), Some([[3, 3], [2, 3]]));
        assert_eq!(windows(&bins(&[0..5, 0..5])), None);
        assert_eq!(windows(&bins(&[0..2, 3..5])), Some([[2, 3], [3, 3]]));
        assert_eq!(windows(&bins(&[1..3, 3..5])), None, "not from the corner on");
        assert_eq!(windows(&bins(&[0..1, 2..3])), None, "a third would fit");
    }

    #[test]
    fn the_kernel_agrees_with_the_matrices() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let bins = Bins { size: [3, 4], rows: vec![0..2, 1..3], columns: vec![0..1, 1..4] };
        let x = placement.tensor((0..24).map(|i| f64::from(i).sin()).collect(), [2, 1, 3, 4]);
        let [rows, columns] = averaging(&bins, &placement);
        let y = average_pool(x.clone(), &bins);
        let close = |a: Tensor<4>, b: Tensor<4>| host(a - b).iter().all(|difference| difference.abs() < 1e-14);
        assert!(close(y.clone(), sides(x, rows.clone(), columns.clone())));
        assert!(close(average_pool_cotangent(y.clone(), &bins), sides(y, rows.transpose(), columns.transpose())));
    }
}
