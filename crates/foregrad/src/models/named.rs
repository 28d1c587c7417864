//! The networks that have a name.

use super::{ModelConfig, NetworkSpec, local_mixer, mlp, resnet, small_net, vgg};
use crate::settings::Choices;

/// A network that has a name.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// The name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The blocks that it can be joined into at most, where a setting says into how many; none where they are given.
    pub most_blocks: Option<usize>,
    /// What it is made of, under settings.
    pub spec: fn(&ModelConfig) -> NetworkSpec,
}

impl Model {
    const fn new(name: &'static str, about: &'static str, spec: fn(&ModelConfig) -> NetworkSpec) -> Self {
        Self { name, about, most_blocks: None, spec }
    }
}

/// The networks that have a name.
pub const MODELS: &[Model] = &[
    Model::new(
        "small-net",
        "six 3x3 convolution blocks: 64 64 128 128 256 256, 2x2 average pools before blocks 1, 3, 5",
        small_net::spec,
    ),
    Model::new("resnet18-8b", "ResNet-18, CIFAR stem, one residual block a block", resnet::eight_blocks),
    Model::new("resnet18-16b", "the same 3x3 convolutions without skips, one a block", resnet::sixteen_blocks),
    Model::new("resnet18-2b", "ResNet-18, CIFAR stem, two blocks of two stages", resnet::two_blocks),
    Model {
        most_blocks: Some(resnet::DEPTH_32),
        ..Model::new(
            "resnet32",
            "ResNet-32 for small images: 16 32 64 channels, stem and 15 residual blocks in 16 blocks, or --blocks K",
            resnet::thirty_two,
        )
    },
    Model {
        most_blocks: Some(resnet::DEPTH_110),
        ..Model::new(
            "resnet110",
            "ResNet-110 for small images: stem and 54 residual blocks in 55 blocks, or --blocks K",
            resnet::hundred_and_ten,
        )
    },
    Model::new(
        "vgg8b",
        "six 3x3 convolutions of 128 to 512 channels and a layer of 1024 units, one a block, with dropout (for --head predsim-vgg)",
        vgg::eight,
    ),
    Model::new("vgg11b", "the same with nine convolutions", vgg::eleven),
    Model::new("mlp", "three blocks of 512 hidden units", mlp::spec),
    Model::new(
        "local-mixer",
        "four blocks of 512 channels on 4x4 patches: tokens, channels and 16 channel groups mixed, norms of its own (for --head mean-linear)",
        local_mixer::spec,
    ),
];

/// The names of [`MODELS`] for a setting.
pub(super) fn names() -> Choices {
    MODELS.iter().map(|model| (model.name, model.about.into())).collect()
}
