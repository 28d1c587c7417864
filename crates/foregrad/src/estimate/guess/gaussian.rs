//! Independent standard normal numbers.
//!
//! Source: Fournier et al. (2023), Guesses; Baydin et al. (2022).

use super::{Context, Directions, Gradients, Guess, Support};
use crate::rng::{Placement, Stream};
use crate::vector::ParamTensor;

/// The guess `gaussian`.
#[derive(Debug)]
pub(super) struct Gaussian;

impl Guess for Gaussian {
    fn name(&self) -> &str {
        "gaussian"
    }

    fn about(&self) -> &str {
        "independent standard normal numbers"
    }

    fn support(&self) -> Support {
        Support::RANDOM
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        context.drawn(draw)
    }
}

pub(super) fn draw(stream: Stream, shape: &[usize], placement: &Placement) -> ParamTensor {
    ParamTensor::shaped(stream.normal_tensor([shape.iter().product()], placement), shape)
}
