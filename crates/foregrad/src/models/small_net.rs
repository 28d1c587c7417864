//! Six blocks of convolution, norm and ReLU.
//!
//! Source: Fournier et al. (2023), Networks (the small net of the paper's code).

use super::parts::{conv3, norm, relu};
use super::{BlockSpec, ModelConfig, NetworkSpec};
use crate::layers::{AvgPoolSpec, LayerSpec};

/// Channels of the six blocks before the width factor.
const CHANNELS: [usize; 6] = [64, 64, 128, 128, 256, 256];

/// 3x3 convolution without bias, norm, ReLU; a 2x2 average pool before blocks 1, 3 and 5 (from 0) unless pools are off.
pub(super) fn spec(config: &ModelConfig) -> NetworkSpec {
    let block = |(block, channels): (usize, &usize)| {
        let pool = (config.pool && block % 2 == 1).then(|| LayerSpec::from(AvgPoolSpec::default()));
        // The stream has had the block's name since the first runs were recorded.
        let conv = conv3(*channels, 1).drawn_from(format!("blocks.{block}"));
        BlockSpec::of(pool.into_iter().chain([conv, norm(), relu()]).collect())
    };
    NetworkSpec::new("small-net", CHANNELS.iter().enumerate().map(block).collect())
}
