//! The running mean of past updates, which in the first step is the gradient of the block's head.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use foregrad::estimate::guess::{HeadUse, Measured};
use foregrad::estimate::{Context, Directions, EstimatorState, Gradients, Guess, Space, Support};

/// The weight of the past.
const DECAY: f64 = 0.8;

/// The guess.
#[derive(Debug)]
pub struct Trend;

impl Guess for Trend {
    fn name(&self) -> &str {
        "trend"
    }

    fn about(&self) -> &str {
        "the running mean of past updates"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::SINGLE }
    }

    fn heads(&self, _directions: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        match context.of_block(&context.state().tensors) {
            Some(mean) => Directions::Weight(vec![mean]),
            None => context.in_space(gradients.own),
        }
    }

    fn learn(&self, measured: &Measured<'_>, state: &mut EstimatorState) {
        let past = std::mem::take(&mut state.tensors);
        state.tensors = past.scaled(DECAY).axpy(1.0 - DECAY, measured.update);
    }
}

/// The mistake: what it carries from step to step is in itself, and not in its state.
#[derive(Debug, Default)]
pub struct Forgetful {
    steps: AtomicUsize,
}

impl Guess for Forgetful {
    fn name(&self) -> &str {
        "forgetful"
    }

    fn about(&self) -> &str {
        "a guess that changes from call to call"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::SINGLE }
    }

    fn heads(&self, _directions: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        if step % 2 == 1 { Directions::Weight(vec![context.parameters()]) } else { context.in_space(gradients.own) }
    }
}
