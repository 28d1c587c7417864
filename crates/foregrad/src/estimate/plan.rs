//! What a step does where: which blocks are estimated, whose loss each is measured by, which heads run and learn.

use super::guess::{HeadSource, Origin};
use super::{EstimatorConfig, Granularity, LastBlock, TrainHeads, View};
use crate::{Error, Result};

/// The course of a step through a network of a given depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The number of blocks.
    pub depth: usize,
    /// Blocks below this number are estimated; `depth + 1` counts the classifier too.
    pub estimated: usize,
    /// The loss whose gradient each block's target is.
    pub target_loss: Vec<usize>,
    /// The block at which each block's guess becomes known.
    pub ready: Vec<usize>,
    /// How many blocks' saved values are alive behind the current one.
    pub lag: usize,
    /// Whether each block's loss is evaluated.
    pub runs: Vec<bool>,
    /// Whether tangents are measured by each block's loss: it is the target of a block.
    pub measures: Vec<bool>,
    /// Whether each head learns from its own loss.
    pub trains: Vec<bool>,
    /// Whether a guess is the gradient of each block's loss.
    pub guesses_from: Vec<bool>,
}

impl Plan {
    /// The plan of an estimator for a network of `depth` blocks.
    ///
    /// # Panics
    /// If `depth` is 0.
    pub fn new(config: &EstimatorConfig, depth: usize) -> Self {
        let estimated = if config.last_block == LastBlock::Estimated { depth + 1 } else { depth - 1 };
        let blocks = estimated.min(depth);
        let origin = config.guess.origin();
        let target_loss: Vec<_> = (0..estimated).map(|block| config.target.loss_of(block, depth)).collect();
        let ready: Vec<_> = (0..estimated)
            .map(|block| match origin {
                Origin::Head(_) | Origin::BatchSpan => config.guess_horizon.loss_of(block, depth),
                Origin::NextBlock => (block + 1).min(depth - 1),
                _ => block.min(depth - 1),
            })
            .collect();
        let lag = ready.iter().enumerate().map(|(block, ready)| ready.saturating_sub(block)).max().unwrap_or(0);
        let mut guesses_from = vec![false; depth];
        if config.guess.head_source().is_some() {
            ready[..blocks].iter().for_each(|loss| guesses_from[*loss] = true);
        }
        if matches!(origin, Origin::Target) {
            target_loss.iter().for_each(|loss| guesses_from[*loss] = true);
        }
        let mut measures = vec![false; depth];
        target_loss.iter().for_each(|loss| measures[*loss] = true);
        let used: Vec<_> =
            guesses_from.iter().zip(&measures).map(|(guessed, measures)| *guessed || *measures).collect();
        let fresh = matches!(origin, Origin::Head(HeadSource::Redrawn | HeadSource::Fixed));
        let trains: Vec<_> = (0..depth - 1)
            .map(|block| match config.train_heads {
                TrainHeads::Auto => used[block] && !fresh,
                TrainHeads::Yes => true,
                TrainHeads::No => false,
            })
            .collect();
        let mut runs = used;
        runs[depth - 1] = true;
        Self { depth, estimated, target_loss, ready, lag, runs, measures, trains, guesses_from }
    }

    /// The estimated blocks whose guess becomes known at a block.
    pub fn ready_at(&self, block: usize) -> impl Iterator<Item = usize> + '_ {
        // The classifier's own slot (number `depth`) is handled where the classifier is.
        (0..self.estimated.min(self.depth)).filter(move |guessed| self.ready[*guessed] == block)
    }

    /// Whether the classifier is estimated too.
    pub fn estimates_classifier(&self) -> bool {
        self.estimated > self.depth
    }
}

impl EstimatorConfig {
    /// Refuses a target that cannot be split into samples where every sample has a scalar of its own; the view is one that
    /// [`View::validate`] takes.
    ///
    /// # Errors
    /// [`Error::Meaningless`].
    pub fn validate_losses(&self, view: &View<'_>) -> Result<()> {
        let exact = matches!(self.guess.origin(), Origin::Target);
        if self.granularity() != Granularity::Sample || exact {
            return Ok(());
        }
        let plan = Plan::new(self, view.depth());
        let has_scalars = |(block, loss): (usize, &usize)| block == *loss || view.losses[*loss].is_separable();
        if plan.target_loss.iter().enumerate().all(has_scalars) {
            return Ok(());
        }
        Err(Error::meaningless(
            "a predsim head's loss is no sum over samples, so beyond its own block it gives no scalar to each of them",
            "`estimator.granularity = batch`, or `estimator.target = local` or global",
        ))
    }
}
