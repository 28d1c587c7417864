//! What an estimator is made of, and which combinations have a meaning.

use super::choices::{
    Correction, CorrectionScale, Granularity, LastBlock, Memory, Mode, Space, StatisticsTangent, TrainHeads,
};
use super::combination::AnyCombination;
use super::guess::{AnyGuess, GuessSettings};
use super::target::Horizon;
use crate::layers::Phase;
use crate::{Error, Result, settings};

/// Tangents that anyone is thought to ask for; more would only end for want of memory.
const MOST_TANGENTS: usize = 1 << 16;

settings! {
    /// An estimator: target x guess x space x granularity x number of directions, and how it is computed.
    pub struct EstimatorConfig {
        /// Whose loss the target is the gradient of, or a number of blocks.
        target: Horizon = Horizon::GLOBAL => flag("target", "H"),
        /// Direction the target is measured along, or several in one projection (`local+gaussian:4`).
        guess: AnyGuess = AnyGuess::default() => flag("guess", "NAME"),
        /// Where target and guess live.
        space: Space = Space::Weight => flag("space", "NAME"),
        /// What one scalar covers; off, the default: sample in activity space; in weight space tensor (oracle), network (forward, global
        /// target, no mixing), else block.
        granularity: Option<Granularity> = None => flag("granularity", "NAME"),
        /// Tiles a side of a sample's maps, for patch and patch-group; off, the default: 2.
        patches: Option<usize> = None => flag("patches", "P"),
        /// Runs of a sample's channels, for group and patch-group; off, the default: 2.
        groups: Option<usize> = None => flag("groups", "G"),
        /// How many blocks further on (of those with a head) the guess's loss stands.
        guess_horizon: Horizon = Horizon::LOCAL => flag("guess-horizon", "R"),
        /// Tangents that carry every slot's guess with random signs, instead of one tangent a slot (off).
        mix: Option<usize> = None => flag("mix", "M"),
        /// Whether mixing subtracts a running mean of each slot's scalar.
        mix_baseline: bool = true => flag("mix-baseline", "on|off"),
        /// Directions a slot; a composite guess says them itself.
        directions: usize = 1 => flag("directions", "K"),
        /// How several directions are combined.
        combination: AnyCombination = AnyCombination::MEAN => flag("combination", "NAME"),
        /// Whether the target is measured along the guess; off, a guess with a scale of its own is taken for the gradient itself.
        projection: bool = true => flag("projection", "on|off"),
        /// Steps from one measurement to the next; between them a guess keeps its last coefficient.
        measure_every: u64 = 1 => flag("measure-every", "T"),
        /// Random directions that make any guess unbiased: the target is measured along them, less what the guess says (off: none).
        correct: Option<Correction> = None => flag("correct", "NAME"),
        /// The factor of a guess that is corrected.
        correct_scale: CorrectionScale = CorrectionScale::Fitted => flag("correct-scale", "NAME"),
        /// How scalars are measured.
        mode: Mode = Mode::Forward => flag("mode", "NAME"),
        /// Blocks from one checkpoint to the next: fewer inputs are kept, and as many blocks at once are computed again.
        checkpoint_spacing: usize = 1 => flag("checkpoint-spacing", "S"),
        /// How far a weight is moved to either side by finite differences, root mean square; off, the default: 1e-4, and 1e-6 in f64.
        finite_difference_step: Option<f64> = None => flag("finite-difference-step", "EPS"),
        /// Tangents that go through a block in one call (0: all).
        tangents_at_once: usize = 0 => flag("tangents-at-once", "N"),
        /// Where activity space takes a block's saved values from, once the scalars are known.
        memory: Memory = Memory::Recompute => flag("memory", "NAME"),
        /// Whether heads learn from their own loss.
        train_heads: TrainHeads = TrainHeads::Auto => flag("train-heads", "NAME"),
        /// What the last block and the classifier learn from.
        last_block: LastBlock = LastBlock::Exact => flag("last-block", "NAME"),
        /// Whether tangents go through batch norm's statistics.
        batch_norm_tangent: StatisticsTangent = StatisticsTangent::Coupled => flag("batch-norm-tangent", "NAME"),
        /// Settings of single guesses.
        guesses: GuessSettings = GuessSettings::default() => table,
    }
}

impl EstimatorConfig {
    /// Directions that anyone is thought to ask for.
    pub(super) const MOST_DIRECTIONS: usize = MOST_TANGENTS;

    /// The number of directions in force: a composite guess's own, else as chosen.
    pub fn directions(&self) -> usize {
        self.guess.directions().unwrap_or(self.directions)
    }

    /// The number of directions of the guess itself: one where it is corrected, for then the others are the correction's.
    pub(super) fn guess_directions(&self) -> usize {
        if self.correct.is_some() { 1 } else { self.directions() }
    }

    /// What the target is measured along: the guess, or the directions that correct it.
    pub(super) fn along(&self) -> AnyGuess {
        self.correct.map_or_else(|| self.guess.clone(), Correction::guess)
    }

    /// The granularity in force: as chosen, else `sample` in activity space; in weight space `tensor` in reverse mode, and in
    /// forward mode `network` with the global target, `block` with others and with mixing.
    pub fn granularity(&self) -> Granularity {
        self.granularity.unwrap_or(match (self.space, self.mode) {
            (Space::Activity, _) => Granularity::Sample,
            (Space::Weight, Mode::Oracle | Mode::Checkpointed) => Granularity::Tensor,
            (Space::Weight, Mode::Forward | Mode::FiniteDifference)
                if self.target == Horizon::GLOBAL && self.mix.is_none() =>
            {
                Granularity::Network
            }
            (Space::Weight, Mode::Forward | Mode::FiniteDifference) => Granularity::Block,
        })
    }

    /// How directions are combined: as chosen, but always projected where the guess knows nothing else.
    pub fn combination(&self) -> AnyCombination {
        if self.guess.support().projection_only { AnyCombination::PROJECTION } else { self.combination }
    }

    /// The phase in which blocks and heads run.
    pub fn phase(&self) -> Phase {
        match self.batch_norm_tangent {
            StatisticsTangent::Coupled => Phase::Train,
            StatisticsTangent::Detached => Phase::Detached,
        }
    }

    /// Refuses a combination that has no meaning in a network with a number of losses (heads and classifier), with the reason and the
    /// nearest one that has.
    ///
    /// # Errors
    /// [`Error::Meaningless`], [`Error::OutOfRange`].
    pub fn validate(&self, losses: usize) -> Result<()> {
        self.validate_horizons(losses)?;
        self.validate_guess()?;
        self.validate_granularity(losses)?;
        self.validate_differences(losses)?;
        self.validate_mix(losses)?;
        self.validate_measuring()?;
        self.validate_checkpoints(losses)?;
        if self.batch_norm_tangent == StatisticsTangent::Detached && self.space == Space::Weight {
            let reason = "in weight space a scalar is a derivative along all samples at once, which detached statistics make wrong";
            return Err(Error::meaningless(
                reason,
                "`estimator.batch-norm-tangent = coupled`, or `estimator.space = activity`",
            ));
        }
        if self.last_block == LastBlock::Estimated && !(self.guess.support().is_random && self.space == Space::Weight) {
            return Err(Error::meaningless(
                "the last block can be estimated from random guesses in weight space only: other guesses need a loss \
                 before the classifier's",
                "`estimator.last-block = exact`, or `estimator.guess = gaussian` `estimator.space = weight`",
            ));
        }
        Ok(())
    }

    /// A loss further on than the last is a slip.
    fn validate_horizons(&self, losses: usize) -> Result<()> {
        let last = losses.saturating_sub(1);
        for (setting, horizon) in [("estimator.target", self.target), ("estimator.guess-horizon", self.guess_horizon)] {
            if horizon != Horizon::GLOBAL && horizon > Horizon::blocks(last) {
                let expected = format!("at most {last} in a network of {losses} losses, or `global`");
                return Err(Error::out_of_range(setting, horizon, expected));
            }
        }
        Ok(())
    }

    fn validate_guess(&self) -> Result<()> {
        self.guesses.ntk.validate()?;
        self.guesses.upstream.validate()?;
        self.guesses.feedback.validate()?;
        for directions in [self.directions, self.directions()] {
            if !(1..=MOST_TANGENTS).contains(&directions) {
                let expected = format!("from 1 to {MOST_TANGENTS}");
                return Err(Error::out_of_range("estimator.directions", directions, expected));
            }
        }
        self.guess.validate(self)?;
        self.validate_combination()?;
        let name = &self.guess;
        if self.mode == Mode::Forward && !self.guess.support().forward_any_target && self.target != Horizon::LOCAL {
            let reason =
                format!("forward mode does not know the {} target itself, only its inner products", self.target);
            return Err(Error::meaningless(
                reason,
                format!("`estimator.guess = {name}` `estimator.target = {}` `estimator.mode = oracle`", self.target),
            ));
        }
        if self.guess_horizon != Horizon::LOCAL && !self.guess.looks_ahead() {
            let reason = format!("the guess `{name}` is no gradient of a head, so it has no guess horizon");
            return Err(Error::meaningless(reason, "`estimator.guess = local`, or `estimator.guess-horizon = 0`"));
        }
        Ok(())
    }

    fn validate_granularity(&self, losses: usize) -> Result<()> {
        let granularity = self.granularity();
        let fits = match self.space {
            Space::Weight => matches!(granularity, Granularity::Tensor | Granularity::Block | Granularity::Network),
            Space::Activity => granularity.is_by_sample() || granularity == Granularity::Batch,
        };
        if !fits {
            let nearest = match self.space {
                Space::Weight => "`estimator.granularity = tensor`, block or network",
                Space::Activity => "`estimator.granularity = sample`, batch, patch, group or patch-group",
            };
            let reason = format!("the granularity `{granularity}` does not exist in {} space", self.space);
            return Err(Error::meaningless(reason, nearest));
        }
        if granularity == Granularity::Network && !self.target.is_global(losses) {
            let reason = "one scalar for the network is the derivative of one loss, so the target must be global";
            return Err(Error::meaningless(reason, "`estimator.granularity = block`, or `estimator.target = global`"));
        }
        self.validate_parts()
    }

    fn validate_mix(&self, losses: usize) -> Result<()> {
        let Some(mix) = self.mix else { return Ok(()) };
        let refuse = |reason: &str, nearest: &str| Err(Error::meaningless(reason, nearest));
        if !(1..=MOST_TANGENTS).contains(&mix) {
            let expected = format!("from 1 to {MOST_TANGENTS} tangents, or `off`");
            return Err(Error::out_of_range("estimator.mix", mix, expected));
        }
        if self.granularity() == Granularity::Network {
            return refuse(
                "the network is one slot, so there is nothing to mix",
                "`estimator.granularity = block` or tensor",
            );
        }
        if self.granularity().has_parts() {
            return refuse(
                "mixing has one sign a block and sample, not one for each of its parts",
                "`estimator.granularity = sample`, or `estimator.mix = off`",
            );
        }
        if !self.target.is_global(losses) {
            return refuse(
                "mixed tangents all end at the network's loss",
                "`estimator.target = global`, or `estimator.mix = off`",
            );
        }
        if self.directions() > 1 || self.guess.support().projection_only {
            return refuse("mixing carries one guess a slot", "`estimator.directions = 1`, or `estimator.mix = off`");
        }
        if self.guess.support().is_target {
            return refuse("the exact target needs no tangent, so there is nothing to mix", "`estimator.mix = off`");
        }
        if self.last_block == LastBlock::Estimated {
            return refuse("mixing and an estimated last block do not go together", "`estimator.last-block = exact`");
        }
        Ok(())
    }
}
