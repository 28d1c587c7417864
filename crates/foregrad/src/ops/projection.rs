//! Inner products and row scalings: everything a directional derivative is combined with.

use burn::tensor::Tensor;
use foregrad_kernels::projection as kernels;

use super::cpu::on_cpu;
use crate::rng::Placement;

/// `<a, b>` over all elements, in `f64` and in a fixed order of addition on the CPU.
///
/// # Panics
/// If the shapes differ.
pub fn dot<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    assert_eq!(a.dims(), b.dims(), "dot: shapes differ");
    fused_dot(a, b).unwrap_or_else(|| host(a.clone().mul(b.clone()).sum())[0])
}

/// `<a_i, b_i>` for every index `i` of the first axis.
///
/// # Panics
/// If the shapes differ.
pub fn row_dots<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Vec<f64> {
    assert_eq!(a.dims(), b.dims(), "row_dots: shapes differ");
    let rows = a.dims()[0];
    fused_row_dots(a, b, rows).unwrap_or_else(|| {
        let width = a.dims().iter().skip(1).product();
        host(a.clone().mul(b.clone()).reshape([rows, width]).sum_dim(1))
    })
}

/// `max |a_i|` over all elements; not a number if any element is not.
pub fn largest_magnitude<const D: usize>(a: &Tensor<D>) -> f64 {
    fused_largest_magnitude(a).unwrap_or_else(|| host(a.clone().abs().max())[0])
}

/// `factors_i x_i` for every index `i` of the first axis.
///
/// # Panics
/// If there are not as many factors as indices.
pub fn scale_rows(x: Tensor<4>, factors: &[f64]) -> Tensor<4> {
    let rows = x.dims()[0];
    assert_eq!(rows, factors.len(), "scale_rows: {rows} rows against {} factors", factors.len());
    let placement = Placement::of(&x);
    x.mul(placement.tensor(factors.to_vec(), [rows, 1, 1, 1]))
}

/// A tensor's elements as `f64`, row by row.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn fused_dot<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Option<f64> {
    on_cpu!(|a, b| kernels::dot(a, b))
}

fn fused_row_dots<const D: usize>(a: &Tensor<D>, b: &Tensor<D>, rows: usize) -> Option<Vec<f64>> {
    on_cpu!(|a, b| kernels::row_dots(a, b, rows))
}

fn fused_largest_magnitude<const D: usize>(a: &Tensor<D>) -> Option<f64> {
    on_cpu!(|a| kernels::largest_magnitude(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn products_agree_with_burn_on_views_too() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let values: Vec<f64> = (0..24).map(|i| f64::from(i) - 7.5).collect();
        let a = placement.tensor(values, [2, 3, 2, 2]);
        let view = a.clone().swap_dims(2, 3);
        let expected = host(a.clone().mul(view.clone()).sum())[0];
        assert!((dot(&a, &view) - expected).abs() < 1e-12);
        assert!((row_dots(&a, &view).iter().sum::<f64>() - expected).abs() < 1e-12);
        assert_eq!(largest_magnitude(&a), 15.5);
        let scaled = scale_rows(a.clone(), &[2.0, 0.0]);
        assert_eq!(dot(&scaled, &a), 2.0 * row_dots(&a, &a)[0]);
    }
}
