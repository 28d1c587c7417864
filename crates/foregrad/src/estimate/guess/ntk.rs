//! As `local`, the auxiliary net drawn afresh at every step (one draw a direction for the whole mini-batch), or every so many steps: one
//! is the paper's, more of them lie between that and `fixed-ntk`.
//!
//! Source: Fournier et al. (2023), Guesses.

use super::{BOTH, HeadSource, Origin, Support};
use crate::rng::Stream;
use crate::{Error, Result, settings};

pub(super) const SUPPORT: Support = Support {
    name: "ntk",
    about: "gradient of an auxiliary loss whose net is drawn afresh every step, or every few",
    origin: Origin::Head(HeadSource::Redrawn),
    spaces: BOTH,
    several: true,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};

settings! {
    /// Settings of the guess `ntk`.
    pub struct NtkConfig {
        /// Steps after which the guess `ntk` draws its heads afresh.
        redraw_every: u64 = 1 => flag("guess-ntk-redraw-every", "N"),
    }
}

impl NtkConfig {
    /// The stream of a block's heads at a step.
    pub(in crate::estimate) fn stream(&self, seed: u64, step: u64, block: usize) -> Stream {
        Stream::new(seed, "ntk").at(step / self.redraw_every).at(block as u64)
    }

    /// Refuses settings outside their ranges.
    pub(in crate::estimate) fn validate(&self) -> Result<()> {
        if self.redraw_every == 0 {
            return Err(Error::out_of_range("estimator.guesses.ntk.redraw-every", 0, "at least 1 step"));
        }
        Ok(())
    }
}
