//! What a step does where: which blocks are estimated, whose loss each is measured by, which heads run and learn.

use super::{EstimatorConfig, LastBlock, TrainHeads, View};
use crate::{Error, Result};

/// What a guess is told of a step before it begins: how deep the network is, and where its losses stand.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    config: &'a EstimatorConfig,
    has_loss: &'a [bool],
}

impl Course<'_> {
    /// The number of blocks.
    pub fn depth(&self) -> usize {
        self.has_loss.len()
    }

    /// The block whose loss a block's target is the gradient of.
    pub fn target_loss(&self, block: usize) -> usize {
        self.config.target.loss_of(block, self.has_loss)
    }

    /// The block whose loss stands as far on as the guess horizon says.
    pub fn guess_loss(&self, block: usize) -> usize {
        self.config.guess_horizon.loss_of(block, self.has_loss)
    }
}

/// The course of a step through a network of a given depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The number of blocks.
    pub depth: usize,
    /// Blocks below this number are estimated; `depth + 1` counts the classifier too.
    pub estimated: usize,
    /// The loss whose gradient each block's target is.
    pub target_loss: Vec<usize>,
    /// The loss whose gradient each block's guess is made of, if it is made of any.
    pub guess_loss: Vec<Option<usize>>,
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
    /// Whether each block has a head of another kind for the target; none of the last.
    pub has_target: Vec<bool>,
    /// Whether each head for the target is evaluated.
    pub target_runs: Vec<bool>,
    /// Whether each head for the target learns from its own loss.
    pub target_trains: Vec<bool>,
    /// Whether a guess is the gradient of each block's loss.
    pub guesses_from: Vec<bool>,
}

impl Plan {
    /// The plan of an estimator for a network that [`View::validate`] takes.
    ///
    /// Where a block has a head of another kind for the target, its own serves guesses alone; but a guess that is the target itself is made of the
    /// target's.
    pub fn new(config: &EstimatorConfig, view: &View<'_>) -> Self {
        let (has_loss, has_target) = (&view.has_loss()[..], view.has_target());
        let depth = has_loss.len();
        let course = Course { config, has_loss };
        let estimated = if config.last_block == LastBlock::Estimated { depth + 1 } else { depth - 1 };
        let all = 0..estimated;
        let target_loss: Vec<_> = all.clone().map(|block| course.target_loss(block)).collect();
        let has = |loss: &usize| has_loss.get(*loss).copied().unwrap_or(false);
        let nearest = |loss: usize| (loss..depth).find(has).unwrap_or(depth - 1);
        let guess_loss: Vec<_> = all.clone().map(|block| config.guess.loss(block, &course).map(nearest)).collect();
        let ready: Vec<_> = all.map(|block| config.guess.ready(block, &course)).collect();
        let lag = ready.iter().enumerate().map(|(block, ready)| ready.saturating_sub(block)).max().unwrap_or(0);
        let marked = |losses: &mut dyn Iterator<Item = usize>| {
            let mut marked = vec![false; depth];
            losses.for_each(|loss| marked[loss] = true);
            marked
        };
        let measures = marked(&mut target_loss.iter().copied().filter(|_| config.is_measured()));
        let guesses_from = marked(&mut guess_loss.iter().copied().flatten());
        let is_target = config.guess.support().is_target;
        let serves = |block: usize, target: bool| {
            let guesses = guesses_from[block] && (target == is_target || !has_target[block]);
            guesses || (measures[block] && (target || !has_target[block]))
        };
        let mut runs: Vec<_> = (0..depth).map(|block| serves(block, false)).collect();
        let target_runs: Vec<_> = (0..depth - 1).map(|block| has_target[block] && serves(block, true)).collect();
        let trains = |has: &[bool], runs: &[bool], untrained: bool| match config.train_heads {
            TrainHeads::Auto => runs[..depth - 1].iter().map(|runs| *runs && !untrained).collect::<Vec<_>>(),
            TrainHeads::Yes => has[..depth - 1].to_vec(),
            TrainHeads::No => vec![false; depth - 1],
        };
        let untrained = config.guess.heads(config.guess_directions()).untrained;
        let (trains, target_trains) = (trains(has_loss, &runs, untrained), trains(&has_target, &target_runs, false));
        runs[depth - 1] = true;
        Self {
            depth,
            estimated,
            target_loss,
            guess_loss,
            ready,
            lag,
            runs,
            measures,
            trains,
            has_target,
            target_runs,
            target_trains,
            guesses_from,
        }
    }

    /// The estimated blocks whose guess becomes known at a block.
    pub fn ready_at(&self, block: usize) -> impl Iterator<Item = usize> + '_ {
        // The classifier's own slot (number `depth`) is handled where the classifier is.
        (0..self.estimated.min(self.depth)).filter(move |guessed| self.ready[*guessed] == block)
    }

    /// Whether a block's guess is the last that is made of the gradients of its loss, in the order in which guesses become known.
    pub fn is_last_of_its_loss(&self, block: usize) -> bool {
        let order = |block: usize| (self.ready[block], block);
        let shares = |other: &usize| self.guess_loss[*other] == self.guess_loss[block];
        !(0..self.estimated).filter(shares).any(|other| order(other) > order(block))
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
        if !self.granularity().is_by_sample() || !self.is_measured() {
            return Ok(());
        }
        let plan = Plan::new(self, view);
        let has_scalars = |(block, loss): (usize, &usize)| block == *loss || view.target(*loss).is_separable();
        if plan.target_loss.iter().enumerate().all(has_scalars) {
            return Ok(());
        }
        Err(Error::meaningless(
            "a head's loss that is no sum over samples, as predsim's, gives no scalar to each of them beyond its own block",
            "`estimator.granularity = batch`, or `estimator.target = local` or global",
        ))
    }

    /// Refuses a guess of heads that say nothing before they have learnt, where they never do. A question for a run's start: it reads weights.
    ///
    /// # Errors
    /// [`Error::Meaningless`].
    pub fn validate_untrained(&self, view: &View<'_>) -> Result<()> {
        let heads = self.guess.heads(self.guess_directions());
        let learns = match self.train_heads {
            TrainHeads::Auto => !heads.untrained,
            TrainHeads::Yes => true,
            TrainHeads::No => false,
        };
        if heads.drawn.is_empty() && (learns || !heads.own) {
            return Ok(());
        }
        let inner = &view.losses[..view.losses.len() - 1];
        let silent = inner.iter().position(|head| head.is_some_and(|head| head.is_silent()));
        let Some(block) = silent else { return Ok(()) };
        let reason = format!(
            "the head of block {block} predicts by weights that start at 0, so that a guess of it is 0 before it has learnt"
        );
        Err(Error::meaningless(
            reason,
            "`estimator.guess = local`, or `model.head = predsim-vgg`, whose similarity has drawn weights",
        ))
    }
}
