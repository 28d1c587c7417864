//! The direction of the largest inner product alone.

use foregrad::estimate::{Combination, Gram};

/// The combination.
#[derive(Debug)]
pub struct Steepest;

impl Combination for Steepest {
    fn name(&self) -> &str {
        "steepest"
    }

    fn about(&self) -> &str {
        "the direction of the largest inner product alone"
    }

    fn coefficients(&self, b: &[f64], products: Option<&Gram>) -> Vec<f64> {
        let square = |direction| products.map_or(1.0, |products: &Gram| products.square_norm(direction));
        let steepest = (0..b.len()).max_by(|d, e| b[*d].abs().total_cmp(&b[*e].abs()));
        (0..b.len())
            .map(|direction| {
                if Some(direction) == steepest && square(direction) > 0.0 {
                    b[direction] / square(direction)
                } else {
                    0.0
                }
            })
            .collect()
    }
}
