//! As `local`, the auxiliary net drawn afresh at every step (one draw a direction for the whole mini-batch).
//!
//! Source: Fournier et al. (2023), Guesses.

use super::{BOTH, HeadSource, Origin, Support};

pub(super) const SUPPORT: Support = Support {
    name: "ntk",
    about: "gradient of an auxiliary loss whose net is drawn afresh every step",
    origin: Origin::Head(HeadSource::Redrawn),
    spaces: BOTH,
    several: true,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};
