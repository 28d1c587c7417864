//! Independent signs.
//!
//! Source: Fournier et al. (2023), Guesses; Belouze (2022): the best isotropic guess.

use super::{BOTH, Origin, Support};
use crate::rng::{Placement, Stream};
use crate::vector::ParamTensor;

pub(super) const SUPPORT: Support = Support {
    name: "rademacher",
    about: "independent random signs",
    origin: Origin::Random(draw),
    spaces: BOTH,
    several: true,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};

fn draw(stream: Stream, shape: &[usize], placement: &Placement) -> ParamTensor {
    ParamTensor::shaped(stream.sign_tensor([shape.iter().product()], placement), shape)
}
