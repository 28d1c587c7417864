//! The direction nearest to the target.

use super::{Along, Combination, select};

/// `c_d = b_d` for the direction of the largest `|b_d| / |G_d|`, the first of several, and 0 for all others.
///
/// `|b_d| / |G_d| = |target| |cos(target, G_d)|`, so that the one nearest to the target, or to its opposite, is taken, whatever its length.
/// Directions that are not random have norm 1 already: for them it is `max`.
///
/// Source: Fluegel et al. (2024), multi-tangent forward gradients; `max_normalized` in the aggregations of its public code.
#[derive(Debug)]
pub struct MaxNormalised;

impl Combination for MaxNormalised {
    fn name(&self) -> &str {
        "max-normalised"
    }

    fn about(&self) -> &str {
        "the direction of the largest cosine with the target alone"
    }

    fn needs_products(&self) -> bool {
        true
    }

    fn coefficients(&self, along: &Along<'_>) -> Vec<f64> {
        select::alone(along, |direction| along.slope(direction))
    }
}
