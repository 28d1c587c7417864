//! What forward gradients are compared with: plain passes through a network, with no estimate in them.
//!
//! Backprop is the estimator's exact guess in oracle mode, checkpointed backprop the same in checkpointed mode ([`crate::estimate`]).

use burn::tensor::Tensor;

use crate::layers::{Layer, Phase};
use crate::losses::Labels;
use crate::models::{Evaluation, Network};
use crate::ops;

/// The network's loss in training phase; nothing is kept.
///
/// # Panics
/// If the images do not suit the network, or the labels the images.
pub fn forward(network: &Network, images: Tensor<4>, labels: &Labels) -> Evaluation {
    ops::on_a_worker(images, |images| {
        let y = network.blocks.iter().fold(images, |x, block| block.forward(x, Phase::Train.into()).0);
        network.classifier.forward(y, labels, Phase::Train.into()).0
    })
}
