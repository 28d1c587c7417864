//! Noise pulled back through the next block: `J^T xi`, with `J` that block's Jacobian and `xi` gaussian.
//!
//! For a block of convolution and ReLU this is `W^T (mask * xi)`. It is made while at the next block: a guess horizon of 1.
//!
//! Source: Singhal et al. (2023): guesses in the span of the upstream weights, masked by the ReLU.

use super::{Context, Directions, Gradients, Guess, Support};
use crate::estimate::plan::Course;

/// The guess `upstream`.
#[derive(Debug)]
pub(super) struct Upstream;

impl Guess for Upstream {
    fn name(&self) -> &str {
        "upstream"
    }

    fn about(&self) -> &str {
        "noise pulled back through the next block"
    }

    fn support(&self) -> Support {
        Support::USUAL
    }

    fn ready(&self, block: usize, _: &Course<'_>) -> usize {
        block + 1
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        let (next, stream) = (context.block() + 1, context.stream().named("upstream"));
        let shape = context.output_shape(next);
        let noise = |direction: usize| stream.at(direction as u64).normal_tensor(shape, &context.placement());
        context.in_space(context.directions().map(|direction| context.pulled_back(noise(direction), next)))
    }
}
