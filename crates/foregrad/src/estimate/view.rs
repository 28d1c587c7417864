//! The network as the estimators see it: blocks and losses with three maps each, and nothing else.

use std::collections::BTreeSet;

use burn::tensor::Tensor;

use crate::layers::{AnySaved, Layer};
use crate::models::{LossHead, Network, head_prefix, target_prefix};
use crate::vector::ParamVector;
use crate::{Error, Result};

/// A block: a layer whose saved values are a chain's.
pub type Block<'a> = dyn Layer<Saved = Vec<AnySaved>> + 'a;

/// Blocks, heads and classifier, each behind its maps, so that any of them can be wrapped (counted, forbidden, replaced).
pub struct View<'a> {
    /// The trunk's blocks, in order.
    pub blocks: Vec<&'a Block<'a>>,
    /// The heads of the blocks that have one, then the classifier, which is always there.
    pub losses: Vec<Option<&'a dyn LossHead>>,
    /// What stands before the paths of each block's parameters.
    pub prefixes: Vec<&'a str>,
    /// The heads by which targets are measured instead of those in `losses`, of the blocks that have two; it may be shorter.
    pub targets: Vec<Option<&'a dyn LossHead>>,
}

impl<'a> View<'a> {
    /// A network as it is.
    pub fn new(network: &'a Network) -> Self {
        let heads = network.heads.iter().map(|head| head.as_deref());
        Self {
            blocks: network.blocks.iter().map(|block| block as &Block).collect(),
            losses: heads.chain([Some(&*network.classifier)]).collect(),
            prefixes: (0..network.depth()).map(|block| network.prefix(block)).collect(),
            targets: network.target_heads.iter().map(|head| head.as_deref()).collect(),
        }
    }

    /// Refuses a view whose parts do not go together: an update is kept by path, so that of two parameters with one path the
    /// later would replace the earlier.
    ///
    /// # Errors
    /// [`Error::Meaningless`].
    pub fn validate(&self) -> Result<()> {
        let depth = self.depth();
        let wanted = "one loss or none a block, of the last the classifier's, and one prefix a block";
        if depth < 1 || self.losses.len() != depth || self.prefixes.len() > depth {
            let (losses, prefixes) = (self.losses.len(), self.prefixes.len());
            let reason = format!("a view has {depth} blocks, {losses} losses and {prefixes} prefixes");
            return Err(Error::meaningless(reason, wanted));
        }
        if self.losses[depth - 1].is_none() {
            return Err(Error::meaningless("a view has no classifier, which is the loss of the last block", wanted));
        }
        if let Some(block) = self.has_target().iter().zip(&self.losses).position(|(has, loss)| *has && loss.is_none()) {
            let reason = format!("a view has a head for the target behind block {block}, which has no head");
            return Err(Error::meaningless(reason, "a head for the target beside another head only"));
        }
        if self.targets.iter().skip(depth - 1).any(Option::is_some) {
            let reason = "a view has a head for the target behind the last block, whose loss is the classifier's";
            return Err(Error::meaningless(reason, "heads for the target behind the others only"));
        }
        let blocks = (0..=depth).map(|block| self.globalised(block, self.parameters(block)));
        let head = |loss: usize| Some(self.globalised_loss(loss, self.losses[loss]?.parameters()));
        let target = |loss: usize| Some(self.globalised_target(loss, (*self.targets.get(loss)?)?.parameters()));
        let heads = (0..depth - 1).flat_map(|loss| [head(loss), target(loss)]).flatten();
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

    /// Which blocks have a loss.
    pub fn has_loss(&self) -> Vec<bool> {
        self.losses.iter().map(Option::is_some).collect()
    }

    /// Which blocks have a head of another kind for the target.
    pub fn has_target(&self) -> Vec<bool> {
        (0..self.depth()).map(|block| self.targets.get(block).copied().flatten().is_some()).collect()
    }

    /// The number of losses: heads, one a block, and classifier.
    pub fn count_losses(&self) -> usize {
        self.losses.iter().flatten().count()
    }

    /// The loss behind a block.
    ///
    /// # Panics
    /// If it has none.
    pub fn loss(&self, block: usize) -> &'a dyn LossHead {
        self.losses[block].unwrap_or_else(|| panic!("block {block} has no head"))
    }

    /// The loss behind a block by which targets are measured.
    ///
    /// # Panics
    /// If it has none.
    pub fn target(&self, block: usize) -> &'a dyn LossHead {
        self.targets.get(block).copied().flatten().unwrap_or_else(|| self.loss(block))
    }

    /// The shapes of the blocks' outputs, `[channels, height, width]`, for images of a batch.
    ///
    /// # Errors
    /// Images that the blocks do not take.
    pub fn outputs(&self, images: &Tensor<4>) -> Result<Vec<[usize; 3]>> {
        let [_, channels, height, width] = images.dims();
        let mut shape = [channels, height, width];
        let through = |block: &&Block<'_>| {
            shape = block.output(shape)?;
            Ok(shape)
        };
        self.blocks.iter().map(through).collect()
    }

    /// The parameters of a block, by its own paths; of the classifier for any number after the last block's.
    ///
    /// # Panics
    /// For the classifier's, if there are fewer losses than blocks or no blocks.
    pub fn parameters(&self, block: usize) -> ParamVector {
        match self.blocks.get(block) {
            Some(block) => block.parameters(),
            None => self.loss(self.depth() - 1).parameters(),
        }
    }

    /// A block's part of a vector that has the network's paths: by the block's own, zero where the vector has nothing; none if it holds
    /// none of them.
    pub fn of_block(&self, block: usize, vector: &ParamVector) -> Option<ParamVector> {
        let parameters = self.parameters(block);
        let prefix = self.prefixes.get(block).copied().unwrap_or_default();
        let mine = vector.scoped(prefix).filtered(|path| parameters.entry(path).is_some());
        (!mine.is_empty()).then(|| parameters.zeros_like().axpy(1.0, &mine))
    }

    /// A vector with a block's paths under the network's paths.
    pub fn globalised(&self, block: usize, vector: ParamVector) -> ParamVector {
        vector.prefixed(self.prefixes.get(block).copied().unwrap_or_default())
    }

    /// A vector with a loss's paths under the network's paths.
    pub fn globalised_loss(&self, loss: usize, vector: ParamVector) -> ParamVector {
        if loss + 1 == self.depth() { vector } else { vector.prefixed(&head_prefix(loss)) }
    }

    /// A vector with the paths of a head for the target under the network's paths.
    pub fn globalised_target(&self, loss: usize, vector: ParamVector) -> ParamVector {
        vector.prefixed(&target_prefix(loss))
    }
}
