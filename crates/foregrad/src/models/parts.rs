//! Layers that the networks with a name are made of.

use crate::layers::{Conv2dSpec, LayerSpec, NormSpec, ReluSpec};

/// A 3x3 convolution without bias that keeps the image's size, but for the stride.
pub fn conv3(outputs: usize, stride: usize) -> LayerSpec {
    Conv2dSpec { outputs: outputs.into(), kernel: 3, stride, padding: 1, ..Default::default() }.into()
}

/// A 1x1 convolution without bias.
pub fn conv1(outputs: usize, stride: usize) -> LayerSpec {
    Conv2dSpec { outputs: outputs.into(), kernel: 1, stride, ..Default::default() }.into()
}

/// The normalisation that the settings name.
pub fn norm() -> LayerSpec {
    NormSpec {}.into()
}

/// A rectifier.
pub fn relu() -> LayerSpec {
    ReluSpec {}.into()
}
