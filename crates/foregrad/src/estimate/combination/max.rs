//! The direction along which the loss changes most, as it was measured.

use super::{Along, Combination, select};

/// `c_d = b_d` for the direction of the largest `|b_d|`, the first of several, and 0 for all others.
///
/// Directions that are not random have norm 1 for every slot; in the network's single slot, where they have not yet been divided by their
/// norms, `|b_d| / |G_d|` is compared and `c_d = b_d / |G_d|^2`. Random ones keep their length, so that a long one is favoured
/// (`max-normalised` does not).
///
/// Each estimate would be unbiased by itself; the one that is selected is too long, since it is the largest of `k`.
///
/// Source: Fluegel et al. (2024), multi-tangent forward gradients; `max` in the aggregations of its public code.
#[derive(Debug)]
pub struct Max;

impl Combination for Max {
    fn name(&self) -> &str {
        "max"
    }

    fn about(&self) -> &str {
        "the direction of the largest inner product alone"
    }

    fn coefficients(&self, along: &Along<'_>) -> Vec<f64> {
        let is_measured_long = along.has_unit_covariance;
        select::alone(along, |direction| if is_measured_long { along.b[direction] } else { along.slope(direction) })
    }
}
