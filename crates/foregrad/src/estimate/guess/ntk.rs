//! As `local`, the auxiliary net drawn afresh at every step (one draw a direction for the whole mini-batch), or every so many steps: one
//! is the paper's, more of them lie between that and `fixed-ntk`.
//!
//! Source: Fournier et al. (2023), Guesses.

use std::ops::Range;

use super::{Context, Directions, DrawnHead, Gradients, Guess, HeadUse, Support};
use crate::estimate::EstimatorConfig;
use crate::rng::Stream;
use crate::{Error, Result, settings};

/// The guess `ntk`.
#[derive(Debug)]
pub(super) struct Ntk;

impl Guess for Ntk {
    fn name(&self) -> &str {
        "ntk"
    }

    fn about(&self) -> &str {
        "gradient of an auxiliary loss whose net is drawn afresh every step, or every few"
    }

    fn support(&self) -> Support {
        Support { is_gradient: true, ..Support::USUAL }
    }

    fn heads(&self, directions: Range<usize>) -> HeadUse {
        let drawn = directions.map(|direction| DrawnHead { direction, stream });
        HeadUse { own: false, drawn: drawn.collect(), untrained: true }
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        context.in_space(gradients.drawn)
    }
}

/// The stream of the heads of a step.
fn stream(config: &EstimatorConfig, seed: u64, step: u64) -> Stream {
    Stream::new(seed, "ntk").at(step / config.guesses.ntk.redraw_every)
}

settings! {
    /// Settings of the guess `ntk`.
    pub struct NtkConfig {
        /// Steps after which the guess `ntk` draws its heads afresh.
        redraw_every: u64 = 1 => flag("guess-ntk-redraw-every", "N"),
    }
}

impl NtkConfig {
    /// Refuses settings outside their ranges, whichever guess is chosen.
    pub(in crate::estimate) fn validate(&self) -> Result<()> {
        if self.redraw_every == 0 {
            return Err(Error::out_of_range("estimator.guesses.ntk.redraw-every", 0, "at least 1 step"));
        }
        Ok(())
    }
}
