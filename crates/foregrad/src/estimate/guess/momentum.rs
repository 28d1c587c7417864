//! The optimiser's momentum buffer, and gaussian directions beside it, by orthogonal projection.
//!
//! Alone the buffer could never learn anything new, so there are at least two directions; a zero buffer is replaced by a
//! gaussian direction.
//!
//! Source: Fournier et al. (2023), Other estimators of the field: candidate directions instead of noise (Silver et al. 2022).

use super::{Context, Directions, Gradients, Guess, Support, gaussian};
use crate::estimate::Space;

/// The guess `momentum`.
#[derive(Debug)]
pub(super) struct Momentum;

impl Guess for Momentum {
    fn name(&self) -> &str {
        "momentum"
    }

    fn about(&self) -> &str {
        "the optimiser's buffer and k - 1 gaussian directions, projected (weight space)"
    }

    fn support(&self) -> Support {
        Support {
            spaces: &[Space::Weight],
            least_directions: 2,
            projection_only: true,
            is_shared: true,
            needs_buffer: true,
            ..Support::USUAL
        }
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        let gaussian = |direction| context.drawn_weights(direction, gaussian::draw);
        let buffer = context.buffer().filter(|buffer| buffer.norm() > 0.0);
        let all = context.directions();
        let first = buffer.unwrap_or_else(|| gaussian(all.start));
        Directions::Weight(std::iter::once(first).chain(all.skip(1).map(gaussian)).collect())
    }
}
