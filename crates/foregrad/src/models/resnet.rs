//! ResNet-18 with a CIFAR stem, in 2 or 8 residual blocks, and the same depth in 16 blocks without skips.
//!
//! Source: Fournier et al. (2023), Networks; He et al. (2015). Paths are torchvision's (`layer1.0.conv1.weight`) in the residual nets.

use super::Norm;
use crate::layers::{AdaptiveAvgPool, Conv2d, Conv2dConfig, Linear, Relu, Residual, Sequential};
use crate::rng::{Placement, Stream};

/// What every builder of a trunk needs.
pub(super) struct Builder<'a> {
    pub channels: usize,
    pub width: f64,
    pub norm: Norm,
    pub stream: Stream,
    pub placement: &'a Placement,
}

impl Builder<'_> {
    /// `base` channels times the width factor, at least one.
    pub fn widened(&self, base: usize) -> usize {
        ((base as f64 * self.width).round() as usize).max(1)
    }

    /// A convolution without bias whose weights are drawn from the stream of its path.
    pub fn conv(&self, path: &str, channels: [usize; 2], kernel: usize, stride: usize) -> Conv2d {
        let config = Conv2dConfig::new(channels, kernel).stride(stride).padding(kernel / 2);
        config.init(self.stream.named(path), self.placement)
    }

    /// Two 3x3 convolutions around a skip; a 1x1 convolution on the skip where the shape changes.
    fn residual(&self, path: &str, channels: [usize; 2], stride: usize) -> Residual {
        let [input, output] = channels;
        let body = Sequential::new()
            .with("conv1", self.conv(&format!("{path}.conv1"), channels, 3, stride))
            .with("bn1", self.norm.layer(output, self.placement))
            .with("relu", Relu)
            .with("conv2", self.conv(&format!("{path}.conv2"), [output, output], 3, 1))
            .with("bn2", self.norm.layer(output, self.placement));
        let mut shortcut = Sequential::new();
        if stride != 1 || input != output {
            shortcut = shortcut
                .with("downsample.0", self.conv(&format!("{path}.downsample.0"), channels, 1, stride))
                .with("downsample.1", self.norm.layer(output, self.placement));
        }
        Residual::new(body, shortcut)
    }

    /// The classifier: an optional norm (the paper's code has one), global average pool, linear.
    pub fn classifier(&self, features: usize, classes: usize, extra_norm: bool) -> Sequential {
        let mut net = Sequential::new();
        if extra_norm {
            net = net.with("bn", self.norm.layer(features, self.placement));
        }
        let linear = Linear::new([features, classes], true, self.stream.named("fc"), self.placement);
        net.with("pool", AdaptiveAvgPool::new(1)).with("fc", linear)
    }
}

/// The stem and `per_stage` residual blocks in each of four stages, one residual block a block.
pub(super) fn residual_blocks(builder: &Builder, per_stage: usize) -> Vec<Sequential> {
    let stem_channels = builder.widened(64);
    let stem = Sequential::new()
        .with("conv1", builder.conv("conv1", [builder.channels, stem_channels], 3, 1))
        .with("bn1", builder.norm.layer(stem_channels, builder.placement))
        .with("relu", Relu);
    let mut blocks = Vec::new();
    let mut pending = Some(stem);
    let mut input = stem_channels;
    for stage in 1..=4 {
        let output = builder.widened(64 << (stage - 1));
        for position in 0..per_stage {
            let path = format!("layer{stage}.{position}");
            let stride = if stage > 1 && position == 0 { 2 } else { 1 };
            let residual = builder.residual(&path, [input, output], stride);
            let block = pending.take().unwrap_or_default();
            blocks.push(block.with(&path, residual).with(format!("{path}.relu"), Relu));
            input = output;
        }
    }
    blocks
}

/// The eight residual blocks joined four by four.
pub(super) fn two_halves(builder: &Builder) -> Vec<Sequential> {
    let mut blocks = residual_blocks(builder, 2).into_iter();
    let mut half = || blocks.by_ref().take(4).fold(Sequential::new(), Sequential::append);
    vec![half(), half()]
}

/// Sixteen blocks of one 3x3 convolution, batch norm and ReLU (the first holds two), without skips.
pub(super) fn plain_blocks(builder: &Builder) -> Vec<Sequential> {
    let mut blocks = Vec::new();
    let mut input = builder.channels;
    for block in 0..16usize {
        let output = builder.widened(64 << (block / 4));
        let stride = if block > 0 && block % 4 == 0 { 2 } else { 1 };
        let mut chain = Sequential::new();
        for unit in 0..if block == 0 { 2 } else { 1 } {
            let path = format!("blocks.{block}.{}", 3 * unit);
            chain = chain
                .then(builder.conv(&path, [input, output], 3, stride))
                .then(builder.norm.layer(output, builder.placement))
                .then(Relu);
            input = output;
        }
        blocks.push(chain);
    }
    blocks
}
