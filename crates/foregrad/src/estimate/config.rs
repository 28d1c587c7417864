//! What an estimator is made of, and which combinations have a meaning.

use serde::{Deserialize, Serialize};

use super::{Guess, Horizon};
use crate::layers::Phase;
use crate::{Error, Result};

/// Tangents that anyone is thought to ask for; more would only end for want of memory.
const MOST_TANGENTS: usize = 1 << 16;

/// Declares an enumeration that is written in kebab case in flags and files.
macro_rules! names {
    ($(#[$meta:meta])* $kind:literal $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            /// All names, in order.
            pub const NAMES: &[&str] = &[$($text),*];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $($name::$variant => $text),* })
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok($name::$variant),)*
                    _ => Err(Error::unknown_name($kind, text, Self::NAMES)),
                }
            }
        }
    };
}

names! {
    /// Where target and guess live. Source: Fournier et al. (2023), Spaces.
    "space" Space {
        /// In the parameters (equation 4).
        Weight = "weight",
        /// At the block's output (equation 5).
        Activity = "activity",
    }
}

names! {
    /// What one scalar covers.
    "granularity" Granularity {
        /// Every parameter tensor (weight space; the paper's).
        Tensor = "tensor",
        /// All parameters of a block (weight space).
        Block = "block",
        /// All parameters of the network (weight space, global target).
        Network = "network",
        /// Every sample (activity space; the paper's).
        Sample = "sample",
        /// The mini-batch (activity space).
        Batch = "batch",
    }
}

names! {
    /// How the scalars are measured.
    "mode" Mode {
        /// Directional derivatives by forward-mode differentiation.
        Forward = "forward",
        /// Inner products with the target by reverse mode: exact, for comparison.
        Oracle = "oracle",
        /// The exact target by reverse mode that keeps each block's input only, and computes the rest of a block again on its
        /// way back: one more forward pass, for less memory. Source: Chen et al., *Training deep nets with sublinear memory cost* (2016).
        Checkpointed = "checkpointed",
    }
}

names! {
    /// How several directions are combined.
    "combination" Combination {
        /// The mean of the single estimates.
        Mean = "mean",
        /// The orthogonal projection on their span.
        Projection = "projection",
    }
}

names! {
    /// Where activity space takes a block's saved values from, once the scalars are known.
    "memory" Memory {
        /// Computed again from the block's input.
        Recompute = "recompute",
        /// Kept.
        Keep = "keep",
    }
}

names! {
    /// Whether heads learn from their own loss.
    "choice" TrainHeads {
        /// Where a guess or a target uses them, except in ntk and fixed-ntk.
        Auto = "auto",
        /// Always.
        Yes = "yes",
        /// Never.
        No = "no",
    }
}

names! {
    /// What the last block and the classifier learn from.
    "choice" LastBlock {
        /// Their exact gradient.
        Exact = "exact",
        /// An estimate as in every other block (random guesses, weight space).
        Estimated = "estimated",
    }
}

names! {
    /// Whether tangents go through the batch statistics of batch norm.
    "batch-norm tangent" StatisticsTangent {
        /// Mean and variance move with the input, so the samples of a batch are coupled: the derivative.
        Coupled = "coupled",
        /// Mean and variance are held, so samples stay apart (activity space).
        Detached = "detached",
    }
}

/// An estimator: target x guess x space x granularity x number of directions, and how it is computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EstimatorConfig {
    /// Whose gradient is wanted.
    pub target: Horizon,
    /// The direction it is measured along.
    pub guess: Guess,
    /// Where both live.
    pub space: Space,
    /// What one scalar covers; by default as [`EstimatorConfig::granularity`] says.
    pub granularity: Option<Granularity>,
    /// How many blocks further on the guess's loss stands.
    pub guess_horizon: Horizon,
    /// Tangents that carry every slot's guess with random signs, instead of one tangent a slot.
    pub mix: Option<usize>,
    /// Whether mixing subtracts a running mean of each slot's scalar.
    pub mix_baseline: bool,
    /// Directions a slot.
    pub directions: usize,
    /// How they are combined.
    pub combination: Combination,
    /// How scalars are measured.
    pub mode: Mode,
    /// Tangents that go through a block in one call; 0 is all.
    pub tangents_at_once: usize,
    /// Where activity space takes saved values from.
    pub memory: Memory,
    /// Whether heads learn.
    pub train_heads: TrainHeads,
    /// What the last block learns from.
    pub last_block: LastBlock,
    /// Whether tangents go through the statistics of batch norm.
    pub batch_norm_tangent: StatisticsTangent,
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        Self {
            target: Horizon::GLOBAL,
            guess: "local".parse().expect("local is a guess"),
            space: Space::Weight,
            granularity: None,
            guess_horizon: Horizon::LOCAL,
            mix: None,
            mix_baseline: true,
            directions: 1,
            combination: Combination::Mean,
            mode: Mode::Forward,
            tangents_at_once: 0,
            memory: Memory::Recompute,
            train_heads: TrainHeads::Auto,
            last_block: LastBlock::Exact,
            batch_norm_tangent: StatisticsTangent::Coupled,
        }
    }
}

impl EstimatorConfig {
    /// The granularity in force: as chosen, else `sample` in activity space; in weight space `tensor` in reverse mode, and in
    /// forward mode `network` with the global target, `block` with others and with mixing.
    pub fn granularity(&self) -> Granularity {
        self.granularity.unwrap_or(match (self.space, self.mode) {
            (Space::Activity, _) => Granularity::Sample,
            (Space::Weight, Mode::Oracle | Mode::Checkpointed) => Granularity::Tensor,
            (Space::Weight, Mode::Forward) if self.target == Horizon::GLOBAL && self.mix.is_none() => {
                Granularity::Network
            }
            (Space::Weight, Mode::Forward) => Granularity::Block,
        })
    }

    /// How directions are combined: as chosen, but always projected where the guess knows nothing else.
    pub fn combination(&self) -> Combination {
        if self.guess.support().projection_only { Combination::Projection } else { self.combination }
    }

    /// The phase in which blocks and heads run.
    pub fn phase(&self) -> Phase {
        match self.batch_norm_tangent {
            StatisticsTangent::Coupled => Phase::Train,
            StatisticsTangent::Detached => Phase::Detached,
        }
    }

    /// Refuses a combination that has no meaning, with the reason and the nearest one that has.
    ///
    /// # Errors
    /// [`Error::Meaningless`], [`Error::OutOfRange`].
    pub fn validate(&self, depth: usize) -> Result<()> {
        self.validate_horizons(depth)?;
        self.validate_guess()?;
        self.validate_granularity(depth)?;
        self.validate_mix(depth)?;
        let is_backprop = matches!(self.guess.origin(), super::guess::Origin::Target) && self.target.is_global(depth);
        if self.mode == Mode::Checkpointed && !is_backprop {
            let reason = "checkpoints are for plain backprop: the exact guess with the global target";
            let nearest = "--mode checkpointed --guess exact --target global, or --mode oracle";
            return Err(Error::meaningless(reason, nearest));
        }
        if self.batch_norm_tangent == StatisticsTangent::Detached && self.space == Space::Weight {
            let reason = "in weight space a scalar is a derivative along all samples at once, which detached statistics make wrong";
            return Err(Error::meaningless(reason, "--batch-norm-tangent coupled, or --space activity"));
        }
        if self.last_block == LastBlock::Estimated && !(self.guess.is_random() && self.space == Space::Weight) {
            return Err(Error::meaningless(
                "the last block can be estimated from random guesses in weight space only: other guesses need a loss \
                 before the classifier's",
                "--last-block exact, or --guess gaussian --space weight",
            ));
        }
        Ok(())
    }

    /// Refuses a target that cannot be split into samples where every sample has a scalar of its own.
    ///
    /// # Errors
    /// [`Error::Meaningless`].
    pub fn validate_losses(&self, view: &super::View<'_>) -> Result<()> {
        let exact = matches!(self.guess.origin(), super::guess::Origin::Target);
        if self.granularity() != Granularity::Sample || exact {
            return Ok(());
        }
        let plan = super::Plan::new(self, view.depth());
        let apart = |(block, loss): (usize, &usize)| block == *loss || view.losses[*loss].is_separable();
        if plan.target_loss.iter().enumerate().all(apart) {
            return Ok(());
        }
        Err(Error::meaningless(
            "a predsim head's loss is no sum over samples, so beyond its own block it gives no scalar to each of them",
            "--granularity batch, or --target local or global",
        ))
    }

    /// A loss further on than the last is a slip.
    fn validate_horizons(&self, depth: usize) -> Result<()> {
        let last = depth.saturating_sub(1);
        for (flag, horizon) in [("--target", self.target), ("--guess-horizon", self.guess_horizon)] {
            if horizon != Horizon::GLOBAL && horizon > Horizon::blocks(last) {
                let expected = format!("at most {last} in a network of {depth} blocks, or `global`");
                return Err(Error::out_of_range(flag, horizon, expected));
            }
        }
        Ok(())
    }

    fn validate_guess(&self) -> Result<()> {
        let support = self.guess.support();
        let name = support.name;
        if !support.spaces.contains(&self.space) {
            let other = support.spaces[0];
            let reason = format!("the guess `{name}` does not exist in {} space", self.space);
            return Err(Error::meaningless(reason, format!("--guess {name} --space {other}")));
        }
        if !(1..=MOST_TANGENTS).contains(&self.directions) {
            return Err(Error::out_of_range("--directions", self.directions, format!("from 1 to {MOST_TANGENTS}")));
        }
        if self.directions > 1 && !support.several {
            let reason = format!("the guess `{name}` has one direction a slot, not {}", self.directions);
            return Err(Error::meaningless(reason, format!("--guess {name} --directions 1, or --guess ntk")));
        }
        if self.directions < support.least_directions {
            let reason = format!("the guess `{name}` needs at least {} directions", support.least_directions);
            let nearest = format!("--guess {name} --directions {}", support.least_directions);
            return Err(Error::meaningless(reason, nearest));
        }
        if self.mode == Mode::Forward && !support.forward_any_target && self.target != Horizon::LOCAL {
            let reason =
                format!("forward mode does not know the {} target itself, only its inner products", self.target);
            return Err(Error::meaningless(reason, format!("--guess {name} --target {} --mode oracle", self.target)));
        }
        if name == "fixed-ntk" && self.train_heads == TrainHeads::Yes {
            let reason = "the heads of `fixed-ntk` are never trained";
            return Err(Error::meaningless(reason, "--train-heads auto, or --guess local"));
        }
        if self.guess_horizon != Horizon::LOCAL && self.guess.head_source().is_none() {
            let reason = format!("the guess `{name}` is no gradient of a head, so it has no guess horizon");
            return Err(Error::meaningless(reason, "--guess local, or --guess-horizon 0"));
        }
        Ok(())
    }

    fn validate_granularity(&self, depth: usize) -> Result<()> {
        let granularity = self.granularity();
        let fits = match self.space {
            Space::Weight => !matches!(granularity, Granularity::Sample | Granularity::Batch),
            Space::Activity => matches!(granularity, Granularity::Sample | Granularity::Batch),
        };
        if !fits {
            let nearest = match self.space {
                Space::Weight => "--granularity tensor, block or network",
                Space::Activity => "--granularity sample or batch",
            };
            let reason = format!("the granularity `{granularity}` does not exist in {} space", self.space);
            return Err(Error::meaningless(reason, nearest));
        }
        if granularity == Granularity::Network && !self.target.is_global(depth) {
            let reason = "one scalar for the network is the derivative of one loss, so the target must be global";
            return Err(Error::meaningless(reason, "--granularity block, or --target global"));
        }
        if matches!(self.guess.origin(), super::guess::Origin::BatchSpan) && granularity == Granularity::Batch {
            let reason = "the span's coefficients are per sample";
            return Err(Error::meaningless(reason, "--guess span --granularity sample"));
        }
        Ok(())
    }

    fn validate_mix(&self, depth: usize) -> Result<()> {
        let Some(mix) = self.mix else { return Ok(()) };
        let refuse = |reason: &str, nearest: &str| Err(Error::meaningless(reason, nearest));
        if !(1..=MOST_TANGENTS).contains(&mix) {
            let expected = format!("from 1 to {MOST_TANGENTS} tangents, or `off`");
            return Err(Error::out_of_range("--mix", mix, expected));
        }
        if self.granularity() == Granularity::Network {
            return refuse("the network is one slot, so there is nothing to mix", "--granularity block or tensor");
        }
        if !self.target.is_global(depth) {
            return refuse("mixed tangents all end at the network's loss", "--target global, or --mix off");
        }
        if self.directions > 1 || self.guess.support().projection_only {
            return refuse("mixing carries one guess a slot", "--directions 1, or --mix off");
        }
        if matches!(self.guess.origin(), super::guess::Origin::Target) {
            return refuse("the exact target needs no tangent, so there is nothing to mix", "--mix off");
        }
        if self.last_block == LastBlock::Estimated {
            return refuse("mixing and an estimated last block do not go together", "--last-block exact");
        }
        Ok(())
    }
}
