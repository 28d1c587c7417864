//! As `local`, one random auxiliary net kept for the whole run.
//!
//! Source: Fournier et al. (2023), Guesses.

use std::ops::Range;

use super::{Context, Directions, Gradients, Guess, HeadUse, Support};
use crate::estimate::{EstimatorConfig, TrainHeads};
use crate::{Error, Result};

/// The guess `fixed-ntk`.
#[derive(Debug)]
pub(super) struct FixedNtk;

impl Guess for FixedNtk {
    fn name(&self) -> &str {
        "fixed-ntk"
    }

    fn about(&self) -> &str {
        "gradient of an auxiliary loss whose net is random and never trained"
    }

    fn support(&self) -> Support {
        Support { is_gradient: true, ..Support::SINGLE }
    }

    fn heads(&self, _: Range<usize>) -> HeadUse {
        HeadUse { untrained: true, ..HeadUse::own() }
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        context.in_space(gradients.own)
    }

    fn validate(&self, config: &EstimatorConfig) -> Result<()> {
        if config.train_heads == TrainHeads::Yes {
            let reason = "the heads of `fixed-ntk` are never trained";
            return Err(Error::meaningless(reason, "`estimator.train-heads = auto`, or `estimator.guess = local`"));
        }
        Ok(())
    }
}
