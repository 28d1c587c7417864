//! The choice of normalisation.

use super::{AnyLayer, BatchNorm, GroupNorm, Making, Planned, kind::kind_without_settings};
use crate::names;
use crate::rng::Placement;

/// Groups of a group norm, or the largest number below that divides the channels.
const GROUPS: usize = 8;

/// Channels that a group has at least: on 1x1 maps a group of one would always be normalised to 0, one of two to +-1.
const GROUP_SIZE: usize = 4;

/// Biases of the paper's code; batch norm's shift counts as one.
pub const BIAS: f64 = 0.01;

names! {
    /// Which normalisation follows a convolution or a hidden linear layer.
    "normalisation" pub enum Norm {
        /// Batch normalisation: couples the samples of a batch.
        Batch = "batch",
        /// Group normalisation: treats samples alone.
        Group = "group",
    }
}

impl Norm {
    /// A normalisation of `channels` channels.
    pub fn layer(self, channels: usize, placement: &Placement) -> AnyLayer {
        match self {
            Norm::Batch => BatchNorm::new(channels, BIAS, placement).into(),
            Norm::Group => {
                let groups = GROUPS.min(channels / GROUP_SIZE).max(1);
                GroupNorm::new(channels, groups, BIAS, placement).into()
            }
        }
    }
}

kind_without_settings!("norm", NormSpec, &[], |input, scope| {
    let norm = scope.norm();
    let make = move |making: &Making| norm.layer(input[0], making.placement);
    Ok(Planned::new(input, make).weights(2 * input[0] as u64))
});
