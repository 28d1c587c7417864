//! What forward gradients are compared with: plain passes through a network, with no estimate in them.
//!
//! Backprop is the estimator's exact guess in oracle mode, checkpointed backprop the same in checkpointed mode ([`crate::estimate`]).

use burn::tensor::Tensor;

use crate::layers::{Activation, Layer, Phase, Sequential};
use crate::losses::Labels;
use crate::models::{Evaluation, Network};
use crate::ops;

/// The network's loss in training phase; nothing is kept.
///
/// # Panics
/// If the images do not suit the network, or the labels the images.
pub fn forward(network: &Network, images: Tensor<4>, labels: &Labels) -> Evaluation {
    ops::on_a_worker(images, |images| {
        let through = |x: Activation, block: &Sequential| block.forward_of(x, Phase::Train.into()).0;
        let y = network.blocks.iter().fold(images.into(), through);
        network.classifier.forward(y.into_tensor(), labels, Phase::Train.into()).0
    })
}
