//! `grad a / |grad a|`, the gradient of the block's own auxiliary loss, its net trained along with it.
//!
//! Source: Fournier et al. (2023), Guesses; equations 4 and 5.

use std::ops::Range;

use super::{Context, Directions, Gradients, Guess, HeadUse, Support};

/// The guess `local`.
#[derive(Debug)]
pub(super) struct Local;

impl Guess for Local {
    fn name(&self) -> &str {
        "local"
    }

    fn about(&self) -> &str {
        "gradient of the block's auxiliary loss"
    }

    fn support(&self) -> Support {
        Support { is_gradient: true, ..Support::SINGLE }
    }

    fn heads(&self, _: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        context.in_space(gradients.own)
    }
}
