//! As `local`, one random auxiliary net kept for the whole run.
//!
//! Source: Fournier et al. (2023), Guesses.

use super::{BOTH, HeadSource, Origin, Support};

pub(super) const SUPPORT: Support = Support {
    name: "fixed-ntk",
    about: "gradient of an auxiliary loss whose net is random and never trained",
    origin: Origin::Head(HeadSource::Fixed),
    spaces: BOTH,
    several: false,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};
