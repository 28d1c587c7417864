//! The values that an estimator's settings can have.

use crate::names;

names! {
    /// Where target and guess live. Source: Fournier et al. (2023), Spaces.
    "space" pub enum Space {
        /// In the parameters (equation 4).
        Weight = "weight",
        /// At the block's output (equation 5).
        Activity = "activity",
    }
}

names! {
    /// What one scalar covers.
    "granularity" pub enum Granularity {
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
        /// Every tile of a sample's maps (activity space; `patches` a side).
        Patch = "patch",
        /// Every run of a sample's channels (activity space; `groups` of them).
        Group = "group",
        /// Every run of channels in every tile (activity space).
        PatchGroup = "patch-group",
    }
}

names! {
    /// How the scalars are measured.
    "mode" pub enum Mode {
        /// Directional derivatives by forward-mode differentiation.
        Forward = "forward",
        /// Inner products with the target by reverse mode: exact, for comparison.
        Oracle = "oracle",
        /// The exact target in less memory (exact guess, global target).
        ///
        /// Reverse mode that keeps each block's input only, and computes the rest of a block again on its way back: one more
        /// forward pass. Source: Chen et al., *Training deep nets with sublinear memory cost* (2016).
        Checkpointed = "checkpointed",
        /// Differences of the network's loss with all weights moved to both sides (weight space, granularity network).
        FiniteDifference = "finite-difference",
    }
}

names! {
    /// Where activity space takes a block's saved values from, once the scalars are known.
    "memory" pub enum Memory {
        /// Computed again from the block's input.
        Recompute = "recompute",
        /// Kept.
        Keep = "keep",
    }
}

names! {
    /// Whether heads learn from their own loss.
    "choice" pub enum TrainHeads {
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
    "choice" pub enum LastBlock {
        /// Their exact gradient.
        Exact = "exact",
        /// An estimate as in every other block (random guesses, weight space).
        Estimated = "estimated",
    }
}

names! {
    /// Whether tangents go through the batch statistics of batch norm.
    "batch-norm tangent" pub enum StatisticsTangent {
        /// Mean and variance change with the input, so the samples of a batch depend on each other: the derivative.
        Coupled = "coupled",
        /// Mean and variance are constants, so samples do not depend on each other (activity space).
        Detached = "detached",
    }
}

names! {
    /// Random directions along which a guess is corrected.
    "correction" pub enum Correction {
        /// Independent standard normal numbers: total variance `(D + 1) |t - s g|^2`.
        Gaussian = "gaussian",
        /// Independent signs: total variance `(D - 1) |t - s g|^2`.
        Rademacher = "rademacher",
        /// Rank-1 products of two normal vectors (weight space).
        LowRank = "low-rank",
    }
}

names! {
    /// The factor of a guess that is corrected.
    "choice" pub enum CorrectionScale {
        /// What fits the targets of earlier steps best.
        Fitted = "fitted",
        /// One.
        One = "one",
    }
}
