//! A step of one batch that all ranks have parts of.

use super::{Team, Turn};
use crate::{Error, Result};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, MicroBatch, StepInput, StepOutput};
use foregrad::models::Network;

/// What a rank asks of all at the end of a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// To stop.
    pub stops: bool,
    /// To write a checkpoint.
    pub saves: bool,
}

impl Asked {
    pub(super) fn or(self, other: Self) -> Self {
        Self { stops: self.stops || other.stops, saves: self.saves || other.saves }
    }
}

impl Team {
    /// The step of a batch of which `input` has this rank's samples, in `own` parts; and what any rank asked for. None where one is to stop.
    /// A process by itself is not asked. Losses are those of all ranks, metrics this one's alone.
    ///
    /// # Errors
    /// As [`estimate::step_in_parts`]; a rank that has ended, or that sent what does not fit.
    pub fn step(
        &self,
        config: &EstimatorConfig,
        network: &Network,
        input: &StepInput<'_>,
        (own, state): (usize, &EstimatorState),
        asked: impl FnOnce() -> Asked,
    ) -> Result<(Asked, Option<StepOutput>)> {
        if self.is_alone() {
            let output = estimate::step_in_parts(config, network, input, own, state)?;
            return Ok((Asked::default(), Some(output)));
        }
        let first = MicroBatch { index: self.rank() * own, count: self.count() * own };
        let sum = match estimate::sum_of_parts(config, network, input, (first, own), state) {
            Err(Error::Stopped) => None,
            sum => Some(sum?),
        };
        let metrics: Vec<_> = sum.iter().flat_map(|sum| &sum.output.evaluations).map(|own| (*own)?.metric).collect();
        let asked = asked().or(Asked { stops: sum.is_none(), saves: false });
        let Turn { asked, sum } = Turn { asked, sum }.shared(self)?;
        let Some(mut sum) = sum.filter(|_| !asked.stops) else { return Ok((asked, None)) };
        // A rank's message does not say of how many parts it is.
        sum.parts = first.count;
        let mut output = sum.finish(config, network, input, state)?;
        let evaluations = output.evaluations.iter_mut().zip(metrics);
        evaluations.for_each(|(evaluation, own)| evaluation.iter_mut().for_each(|evaluation| evaluation.metric = own));
        Ok((asked, Some(output)))
    }
}
