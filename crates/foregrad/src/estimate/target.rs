//! Targets: whose loss a block's gradient is wanted of.
//!
//! Source: Fournier et al. (2023), Targets: one family, the loss `h` blocks further on.

use std::fmt;
use std::str::FromStr;

use crate::{Error, as_text};

/// How many blocks further on a loss stands: `local` is 0, `intermediate` 1, `global` the end.
///
/// ```
/// use foregrad::estimate::Horizon;
/// let horizon: Horizon = "intermediate".parse()?;
/// assert_eq!(horizon.loss_of(3, 8), 4);                 // block 3 of 8: the loss of head 4
/// assert_eq!(Horizon::GLOBAL.loss_of(3, 8), 7);         // the classifier's
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

    /// A loss a given number of blocks further on.
    pub fn blocks(blocks: usize) -> Self {
        Self(blocks)
    }

    /// The index of the loss for a block of a network of `depth` blocks, at least 1: a head's, or `depth - 1`, the classifier's.
    pub fn loss_of(self, block: usize, depth: usize) -> usize {
        block.saturating_add(self.0).min(depth - 1)
    }

    /// Whether it reaches the end of a network of `depth` blocks, at least 1, from the first block.
    pub fn is_global(self, depth: usize) -> bool {
        self.0 >= depth - 1
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

    fn from_str(text: &str) -> Result<Self, Error> {
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

as_text!(Horizon, HORIZONS.iter().map(|(name, _, about)| (*name, (*about).into())).collect());
