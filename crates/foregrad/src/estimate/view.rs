//! The network as the estimators see it: blocks and losses with three maps each, and nothing else.

use std::collections::BTreeSet;

use crate::layers::{AnySaved, Layer};
use crate::models::{LossHead, Network, head_prefix};
use crate::vector::ParamVector;
use crate::{Error, Result};

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
        let heads = network.heads.iter().map(|head| &**head);
        Self {
            blocks: network.blocks.iter().map(|block| block as &Block).collect(),
            losses: heads.chain([&*network.classifier]).collect(),
            prefixes: (0..network.depth()).map(|block| network.prefix(block)).collect(),
        }
    }

    /// Refuses a view whose parts do not go together: an update is kept by path, so that of two parameters with one path the
    /// later would replace the earlier.
    ///
    /// # Errors
    /// [`Error::Meaningless`].
    pub fn validate(&self) -> Result<()> {
        let depth = self.depth();
        if depth < 1 || self.losses.len() != depth || self.prefixes.len() > depth {
            let (losses, prefixes) = (self.losses.len(), self.prefixes.len());
            let reason = format!("a view has {depth} blocks, {losses} losses and {prefixes} prefixes");
            return Err(Error::meaningless(
                reason,
                "one loss a block, the last the classifier's, and one prefix a block",
            ));
        }
        let blocks = (0..=depth).map(|block| self.globalised(block, self.parameters(block)));
        let heads = (0..depth - 1).map(|loss| self.globalised_loss(loss, self.losses[loss].parameters()));
        let mut taken = BTreeSet::new();
        for path in blocks.chain(heads).flat_map(|vector| vector.paths().map(str::to_string).collect::<Vec<_>>()) {
            if let Some(twice) = taken.replace(path) {
                let reason = format!("two parameters have the path `{twice}`");
                return Err(Error::meaningless(reason, "a prefix of its own for each block in `View::prefixes`"));
            }
        }
        Ok(())
    }

    /// The number of blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// The parameters of a block, by its own paths; of the classifier for any number after the last block's.
    ///
    /// # Panics
    /// For the classifier's, if there are fewer losses than blocks or no blocks.
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
