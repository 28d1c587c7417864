//! Three hidden layers.

use super::resnet::Builder;
use crate::layers::{Flatten, Linear, Relu, Sequential};

/// Units of a hidden layer before the width factor.
pub(super) const WIDTH: usize = 512;

/// Three blocks of linear (no bias), norm and ReLU; the first flattens the image of `pixels` pixels a channel.
pub(super) fn blocks(builder: &Builder, pixels: usize) -> Vec<Sequential> {
    let mut input = builder.channels * pixels;
    let block = |block: usize| {
        let output = builder.widened(WIDTH);
        let stream = builder.stream.named(&format!("blocks.{block}"));
        let start = if block == 0 { Sequential::new().then(Flatten) } else { Sequential::new() };
        let chain = start
            .then(Linear::new([input, output], false, stream, builder.placement))
            .then(builder.norm.layer(output, builder.placement))
            .then(Relu);
        input = output;
        chain
    };
    (0..3).map(block).collect()
}
