//! Targets: whose loss a block's gradient is wanted of.
//!
//! Source: Fournier et al. (2023), Targets: one family, the loss `h` blocks further on.

use std::fmt;
use std::str::FromStr;

use super::EstimatorConfig;
use crate::{Error, Result, as_text};

/// How many losses further on a loss stands: `local` is 0, the next at or after the block, `intermediate` 1, `global` the end. With a head
/// behind every block these are blocks.
///
/// ```
/// use foregrad::estimate::Horizon;
/// let horizon: Horizon = "intermediate".parse()?;
/// assert_eq!(horizon.loss_of(3, &[true; 8]), 4);              // block 3 of 8: the loss of head 4
/// assert_eq!(Horizon::GLOBAL.loss_of(3, &[true; 8]), 7);      // the classifier's
/// assert_eq!(horizon.loss_of(0, &[false, true, false, true]), 3);
/// # Ok::<(), foregrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Horizon(usize);

/// The named horizons.
pub const HORIZONS: &[(&str, Horizon, &str)] = &[
    ("local", Horizon::LOCAL, "the block's own head"),
    ("intermediate", Horizon(1), "the next block's head"),
    ("global", Horizon::GLOBAL, "the network's final loss"),
];

impl Horizon {
    /// The block's own head.
    pub const LOCAL: Self = Self(0);
    /// The network's final loss.
    pub const GLOBAL: Self = Self(usize::MAX);

    /// A loss a given number of losses further on: of blocks, where every block has one.
    pub fn blocks(blocks: usize) -> Self {
        Self(blocks)
    }

    /// The block whose loss it is for a block, where `has_loss` says which blocks have one: a head's, or the last, the classifier's.
    pub fn loss_of(self, block: usize, has_loss: &[bool]) -> usize {
        let mut ahead = (block..has_loss.len()).filter(|block| has_loss[*block]);
        ahead.nth(self.0).unwrap_or(has_loss.len().saturating_sub(1))
    }

    /// Whether it reaches the end of a network of a number of losses, at least 1, from the first block.
    pub fn is_global(self, losses: usize) -> bool {
        self.0 >= losses - 1
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match HORIZONS.iter().find(|(_, horizon, _)| horizon == self) {
            Some((name, ..)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Horizon {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some((_, horizon, _)) = HORIZONS.iter().find(|(name, ..)| *name == text) {
            return Ok(*horizon);
        }
        text.parse().map(Self).map_err(|_| {
            let mut names: Vec<_> = HORIZONS.iter().map(|(name, ..)| *name).collect();
            names.push("a number of blocks");
            Error::unknown_name("horizon", text, &names)
        })
    }
}

impl EstimatorConfig {
    /// Refuses heads of another kind for the target, in a network with a number of losses, where they or the others would have nothing to do.
    ///
    /// # Errors
    /// [`Error::Meaningless`].
    pub fn validate_target_heads(&self, losses: usize) -> Result<()> {
        let off = |nearest: &str| format!("`model.target-head = off`, or {nearest}");
        if self.target.is_global(losses) {
            let reason = "the target is the network's loss, which no head measures";
            return Err(Error::meaningless(reason, off("`estimator.target = local`")));
        }
        let guess = &self.guess;
        if guess.support().is_target || !guess.heads(self.guess_directions()).is_any() {
            let reason = format!("the guess `{guess}` is made of no head of its own, so the target's is the only one");
            return Err(Error::meaningless(reason, off("`estimator.guess = local`")));
        }
        Ok(())
    }
}

as_text!(Horizon, HORIZONS.iter().map(|(name, _, about)| (*name, (*about).into())).collect());
