//! The mean of the single estimates.

use super::{Along, Combination};

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

    fn coefficients(&self, along: &Along<'_>) -> Vec<f64> {
        let count = along.b.len();
        (0..count).map(|direction| along.alone(direction) / count as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::Gram;

    #[test]
    fn the_mean_of_one_direction_is_its_product() {
        let mean = |b: &[f64], products: Option<&Gram>, has_unit_covariance| {
            Mean.coefficients(&Along { b, products, has_unit_covariance, dimension: 9 })
        };
        for random in [false, true] {
            assert_eq!(mean(&[3.0], None, random), [3.0]);
            assert_eq!(mean(&[3.0, 1.0], None, random), [1.5, 0.5]);
        }
        let products = Gram::new(2, |d, e| if d == e { [4.0, 0.0][d] } else { 0.0 });
        assert_eq!(mean(&[8.0, 1.0], Some(&products), false), [1.0, 0.0]);
    }
}
