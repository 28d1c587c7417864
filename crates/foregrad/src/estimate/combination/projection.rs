//! The orthogonal projection on the span of the directions.

use super::{Along, Combination};

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

    fn coefficients(&self, along: &Along<'_>) -> Vec<f64> {
        along.products.expect("the inner products that it asks for").project(along.b)
    }
}
