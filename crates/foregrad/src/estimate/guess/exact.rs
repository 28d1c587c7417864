//! The target itself: no projection, the plain gradient of the target's loss.
//!
//! With the global target this is end-to-end training, with the local one local learning.
//!
//! Source: Fournier et al. (2023), the rows with `guess=exact`.

use std::ops::Range;

use super::{Context, Directions, Gradients, Guess, HeadUse, Support};
use crate::estimate::plan::Course;

/// The guess `exact`.
#[derive(Debug)]
pub(super) struct Exact;

impl Guess for Exact {
    fn name(&self) -> &str {
        "exact"
    }

    fn about(&self) -> &str {
        "the target itself, without projection (forward mode: local target only)"
    }

    fn support(&self) -> Support {
        Support { is_target: true, is_gradient: true, forward_any_target: false, ..Support::SINGLE }
    }

    fn heads(&self, _: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn loss(&self, block: usize, course: &Course<'_>) -> usize {
        course.target_loss(block)
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        context.in_space(gradients.own)
    }
}
