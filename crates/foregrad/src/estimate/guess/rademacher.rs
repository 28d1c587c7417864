//! Independent signs.
//!
//! Source: Fournier et al. (2023), Guesses; Belouze (2022): the best isotropic guess.

use super::{Context, Directions, Gradients, Guess, Support};
use crate::rng::{Placement, Stream};
use crate::vector::ParamTensor;

/// The guess `rademacher`.
#[derive(Debug)]
pub(super) struct Rademacher;

impl Guess for Rademacher {
    fn name(&self) -> &str {
        "rademacher"
    }

    fn about(&self) -> &str {
        "independent random signs"
    }

    fn support(&self) -> Support {
        Support::RANDOM
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        context.drawn(draw)
    }
}

fn draw(stream: Stream, shape: &[usize], placement: &Placement) -> ParamTensor {
    ParamTensor::shaped(stream.sign_tensor([shape.iter().product()], placement), shape)
}
