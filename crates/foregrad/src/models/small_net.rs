//! Six blocks of convolution, norm and ReLU.
//!
//! Source: Fournier et al. (2023), Networks (the small net of the paper's code).

use super::resnet::Builder;
use crate::layers::{AvgPool, Relu, Sequential};

/// Channels of the six blocks before the width factor.
pub(super) const CHANNELS: [usize; 6] = [64, 64, 128, 128, 256, 256];

/// 3x3 convolution without bias, norm, ReLU; a 2x2 average pool before blocks 1, 3 and 5 (from 0) if `pooled`.
pub(super) fn blocks(builder: &Builder, pooled: bool) -> Vec<Sequential> {
    let mut input = builder.channels;
    let block = |(block, base): (usize, &usize)| {
        let output = builder.widened(*base);
        let mut chain = Sequential::new();
        if pooled && block % 2 == 1 {
            chain = chain.then(AvgPool::new(2, 2));
        }
        let path = format!("blocks.{block}");
        chain = chain
            .then(builder.conv(&path, [input, output], 3, 1))
            .then(builder.norm.layer(output, builder.placement))
            .then(Relu);
        input = output;
        chain
    };
    CHANNELS.iter().enumerate().map(block).collect()
}
