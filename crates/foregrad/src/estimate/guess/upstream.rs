//! Noise pulled back through the next block: `J^T xi`, with `J` that block's Jacobian and `xi` gaussian.
//!
//! For a block of convolution and ReLU this is `W^T (mask * xi)`. It is made while at the next block: a guess horizon of 1.
//!
//! With orthogonal weights every convolution and linear layer on the way back has the semi-orthogonal matrix nearest to its weight, written
//! `[outputs, inputs kh kw]`, in that weight's place: `(U_k V_k^T)^T (mask * xi)`, where `W = U S V^T`. The guess lies in the same span (of the
//! `k` largest singular vectors), but is as likely to point along each of them. Masks and norms on the way stay what they are.
//!
//! Source: Singhal et al. (2023): guesses in the span of the upstream weights, masked by the ReLU; Wang et al., *Towards scalable
//! backpropagation-free gradient estimation* (2025), arXiv 2511.03110, for orthogonal weights, of linear layers there.

use super::{Context, Directions, Gradients, Guess, Needs, Support};
use crate::estimate::plan::Course;
use crate::estimate::{EstimatorConfig, orthogonal};
use crate::{Error, Result, names, settings};

/// The guess `upstream`.
#[derive(Debug)]
pub(super) struct Upstream;

impl Guess for Upstream {
    fn name(&self) -> &str {
        "upstream"
    }

    fn about(&self) -> &str {
        "noise pulled back through the next block"
    }

    fn support(&self) -> Support {
        Support::USUAL
    }

    fn needs(&self, config: &EstimatorConfig) -> Needs {
        Needs { copies: config.guesses.upstream.weights == UpstreamWeights::Orthogonal, ..Needs::default() }
    }

    fn ready(&self, block: usize, _: &Course<'_>) -> usize {
        block + 1
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        let (next, stream) = (context.block() + 1, context.stream().named("upstream"));
        let shape = context.output_shape(next);
        let stream = |direction: usize| context.by_samples(stream.at(direction as u64), shape);
        let noise = |direction: usize| stream(direction).normal_tensor(shape, &context.placement());
        let own = &context.config().guesses.upstream;
        match own.weights {
            UpstreamWeights::Own => {
                context.in_space(context.directions().map(|direction| context.pulled_back(noise(direction), next)))
            }
            UpstreamWeights::Orthogonal => {
                let noises = context.directions().map(noise).collect();
                let weights = |weight: &_, groups| orthogonal::nearest(weight, groups, own.rank);
                context.in_space(context.pulled_back_with(noises, next, weights))
            }
        }
    }

    fn validate(&self, config: &EstimatorConfig) -> Result<()> {
        let own = &config.guesses.upstream;
        if own.rank.is_some() && own.weights == UpstreamWeights::Own {
            let reason = "the weights on the way back are the network's own, whose rank is what it is";
            let nearest =
                "`estimator.guesses.upstream.weights = orthogonal`, or `estimator.guesses.upstream.rank = off`";
            return Err(Error::meaningless(reason, nearest));
        }
        Ok(())
    }
}

names! {
    /// The weights through which the guess `upstream` goes back.
    "choice" pub enum UpstreamWeights {
        /// The network's own.
        Own = "own",
        /// The semi-orthogonal matrices nearest to them.
        Orthogonal = "orthogonal",
    }
}

settings! {
    /// Settings of the guess `upstream`.
    pub struct UpstreamConfig {
        /// The weights through which the guess `upstream` goes back.
        weights: UpstreamWeights = UpstreamWeights::Own => flag("guess-upstream-weights", "NAME"),
        /// Singular vectors of each orthogonal weight (off: all).
        rank: Option<usize> = None => flag("guess-upstream-rank", "K"),
    }
}

impl UpstreamConfig {
    /// Refuses settings outside their ranges, whichever guess is chosen.
    pub(in crate::estimate) fn validate(&self) -> Result<()> {
        if self.rank == Some(0) {
            return Err(Error::out_of_range("estimator.guesses.upstream.rank", 0, "at least 1, or `off`"));
        }
        Ok(())
    }
}
