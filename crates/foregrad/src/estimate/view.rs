//! The network as the estimators see it: blocks and losses with three maps each, and nothing else.

use crate::layers::{AnySaved, Layer};
use crate::models::{LossHead, Network, head_prefix};
use crate::vector::ParamVector;

/// A block: a layer whose saved values are a chain's.
pub type Block<'a> = dyn Layer<Saved = Vec<AnySaved>> + 'a;

/// Blocks, heads and classifier, each behind its maps, so that any of them can be wrapped (counted, forbidden, replaced).
pub struct View<'a> {
    /// The trunk's blocks, in order.
    pub blocks: Vec<&'a Block<'a>>,
    /// The heads of all blocks but the last, then the classifier.
    pub losses: Vec<&'a dyn LossHead>,
    /// What stands before the paths of each block's parameters.
    pub prefixes: Vec<&'a str>,
}

impl<'a> View<'a> {
    /// A network as it is.
    pub fn new(network: &'a Network) -> Self {
        let heads = network.heads.iter().map(|head| head as &dyn LossHead);
        Self {
            blocks: network.blocks.iter().map(|block| block as &Block).collect(),
            losses: heads.chain([&network.classifier as &dyn LossHead]).collect(),
            prefixes: (0..network.depth()).map(|block| network.prefix(block)).collect(),
        }
    }

    /// The number of blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// The parameters of a block, by its own paths; of the classifier for the number after the last block's.
    pub fn parameters(&self, block: usize) -> ParamVector {
        match self.blocks.get(block) {
            Some(block) => block.parameters(),
            None => self.losses[self.depth() - 1].parameters(),
        }
    }

    /// A vector with a block's paths under the network's paths.
    pub fn globalised(&self, block: usize, vector: ParamVector) -> ParamVector {
        vector.prefixed(self.prefixes.get(block).copied().unwrap_or_default())
    }

    /// A vector with a loss's paths under the network's paths.
    pub fn globalised_loss(&self, loss: usize, vector: ParamVector) -> ParamVector {
        if loss + 1 == self.depth() { vector } else { vector.prefixed(&head_prefix(loss)) }
    }
}
