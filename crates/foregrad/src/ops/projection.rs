//! Inner products and row scalings: everything a directional derivative is combined with.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use foregrad_kernels::projection as kernels;

use crate::rng::Placement;

/// `<a, b>` over all elements, in `f64` and in a fixed order of addition on the CPU.
pub fn dot<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    assert_eq!(a.dims(), b.dims(), "dot: shapes differ");
    on_slices(a, b, kernels::dot, kernels::dot).unwrap_or_else(|| host(a.clone().mul(b.clone()).sum())[0])
}

/// `<a_i, b_i>` for every index `i` of the first axis.
pub fn row_dots<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Vec<f64> {
    assert_eq!(a.dims(), b.dims(), "row_dots: shapes differ");
    let rows = a.dims()[0];
    on_slices(a, b, |a, b| kernels::row_dots(a, b, rows), |a, b| kernels::row_dots(a, b, rows)).unwrap_or_else(|| {
        let width = a.dims().iter().skip(1).product();
        host(a.clone().mul(b.clone()).reshape([rows, width]).sum_dim(1))
    })
}

/// `max |a_i|` over all elements; not a number if any element is not.
pub fn largest_magnitude<const D: usize>(a: &Tensor<D>) -> f64 {
    on_slices(a, a, |a, _| kernels::largest_magnitude(a), |a, _| kernels::largest_magnitude(a))
        .unwrap_or_else(|| host(a.clone().abs().max())[0])
}

/// `factors_i x_i` for every index `i` of the first axis.
pub fn scale_rows(x: Tensor<4>, factors: &[f64]) -> Tensor<4> {
    let rows = x.dims()[0];
    assert_eq!(rows, factors.len(), "scale_rows: {rows} rows against {} factors", factors.len());
    let placement = Placement::of(&x);
    x.mul(placement.tensor(factors.to_vec(), [rows, 1, 1, 1]))
}

/// A tensor's elements as `f64`, row by row.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Runs the kernel of the tensors' type if both lie on the CPU backend.
fn on_slices<const D: usize, R>(
    a: &Tensor<D>,
    b: &Tensor<D>,
    single: impl FnOnce(&[f32], &[f32]) -> R,
    double: impl FnOnce(&[f64], &[f64]) -> R,
) -> Option<R> {
    let a = a.clone().try_into_primitive::<Flex>().ok()?.to_contiguous();
    let b = b.clone().try_into_primitive::<Flex>().ok()?.to_contiguous();
    match (a.dtype(), b.dtype()) {
        (DType::F32, DType::F32) => Some(single(a.as_slice()?, b.as_slice()?)),
        (DType::F64, DType::F64) => Some(double(a.as_slice()?, b.as_slice()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

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
