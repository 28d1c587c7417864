//! What forward gradients are compared with: plain passes through a network, with no estimate in them.
//!
//! Backprop itself is the estimator's exact guess in oracle mode ([`crate::estimate`]).

use burn::tensor::Tensor;

use crate::layers::{Layer, Phase, Wanted};
use crate::losses::Labels;
use crate::models::{Evaluation, LossHead, Network};
use crate::vector::ParamVector;

/// The network's loss in training phase; nothing is kept.
pub fn forward(network: &Network, images: Tensor<4>, labels: &Labels) -> Evaluation {
    let y = network.blocks.iter().fold(images, |x, block| block.forward(x, Phase::Train).0);
    network.classifier.forward(y, labels, Phase::Train).0
}

/// The gradient by backprop that keeps only each block's input and computes the rest of a block again on its way back.
///
/// Four passes' work instead of three, for the memory of one block and of all block borders.
///
/// Source: Chen et al., *Training deep nets with sublinear memory cost* (2016).
pub fn checkpointed_backprop(network: &Network, images: Tensor<4>, labels: &Labels) -> (Evaluation, ParamVector) {
    let mut inputs = vec![images];
    for block in &network.blocks {
        let x = inputs.last().expect("there is an input").clone();
        inputs.push(block.forward(x, Phase::Train).0);
    }
    let output = inputs.pop().expect("the last block's output");
    let (evaluation, saved) = network.classifier.forward(output, labels, Phase::Train);
    let part = network.classifier.cotangent(&saved, Wanted::BOTH);
    drop(saved);
    let (mut gradient, mut y_bar) = (part.theta_bar, part.x_bar);
    for (number, block) in network.blocks.iter().enumerate().rev() {
        let x = inputs.pop().expect("one input a block");
        let (_, saved) = block.forward(x, Phase::Train);
        let wanted = Wanted { input: number > 0, parameters: true };
        let part = block.cotangent(&saved, y_bar.take().expect("the cotangent of the block's output"), wanted);
        gradient.extend(part.theta_bar.prefixed(network.prefix(number)));
        y_bar = part.x_bar;
    }
    (evaluation, gradient)
}
