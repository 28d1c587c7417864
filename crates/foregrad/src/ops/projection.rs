//! Inner products and row scalings: everything a directional derivative is combined with.

use burn::tensor::Tensor;

use super::reading::Pending;
use crate::rng::Placement;

/// [`Pending::dot`], read.
///
/// # Panics
/// If the shapes differ.
pub fn dot<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    Pending::dot(a, b).alone()[0]
}

/// [`Pending::row_dots`], read.
///
/// # Panics
/// If the shapes differ.
pub fn row_dots<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Vec<f64> {
    Pending::row_dots(a, b).alone()
}

/// [`Pending::largest_magnitude`], read.
pub fn largest_magnitude<const D: usize>(a: &Tensor<D>) -> f64 {
    Pending::largest_magnitude(a).alone()[0]
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

#[cfg(test)]
mod tests {
    use super::super::host;
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
