//! The orthogonal projection on the span of the directions.

use super::Combination;
use crate::estimate::Gram;

/// `c = (B^T B)^+ b` with `B = [G_1 .. G_k]`.
///
/// Source: Fluegel et al. (2024).
#[derive(Debug)]
pub struct Projection;

impl Combination for Projection {
    fn name(&self) -> &str {
        "projection"
    }

    fn about(&self) -> &str {
        "the orthogonal projection on their span"
    }

    fn needs_products(&self) -> bool {
        true
    }

    fn coefficients(&self, b: &[f64], products: Option<&Gram>) -> Vec<f64> {
        products.expect("the inner products that it asks for").project(b)
    }
}
