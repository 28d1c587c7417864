//! `grad a / |grad a|`, the gradient of the block's own auxiliary loss, its net trained along with it.
//!
//! Source: Fournier et al. (2023), Guesses; equations 4 and 5.

use super::{BOTH, HeadSource, Origin, Support};

pub(super) const SUPPORT: Support = Support {
    name: "local",
    about: "gradient of the block's auxiliary loss",
    origin: Origin::Head(HeadSource::Trained),
    spaces: BOTH,
    several: false,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};
