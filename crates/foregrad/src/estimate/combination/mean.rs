//! The mean of the single estimates.

use super::Combination;
use crate::estimate::Gram;

/// `c_d = b_d / k`, for directions of unit covariance or of norm 1; else `c_d = b_d / (k |G_d|^2)`, 0 for a direction of norm 0.
///
/// Source: Fournier et al. (2023), equations 4 and 5, for one direction; Baydin et al. (2022).
#[derive(Debug)]
pub struct Mean;

impl Combination for Mean {
    fn name(&self) -> &str {
        "mean"
    }

    fn about(&self) -> &str {
        "the mean of the single estimates"
    }

    fn coefficients(&self, b: &[f64], products: Option<&Gram>) -> Vec<f64> {
        let count = b.len() as f64;
        let single = |(direction, b): (usize, &f64)| match products.map(|products| products.square_norm(direction)) {
            Some(0.0) => 0.0,
            Some(square) => b / square,
            None => *b,
        };
        b.iter().enumerate().map(|own| single(own) / count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_one_direction_is_its_product() {
        assert_eq!(Mean.coefficients(&[3.0], None), [3.0]);
        assert_eq!(Mean.coefficients(&[3.0, 1.0], None), [1.5, 0.5]);
        let products = Gram::new(2, |d, e| if d == e { [4.0, 0.0][d] } else { 0.0 });
        assert_eq!(Mean.coefficients(&[8.0, 1.0], Some(&products)), [1.0, 0.0]);
    }
}
