//! What the parts of a batch add up to, and the step that it makes.

use std::collections::BTreeMap;

use super::engine::Engine;
use super::finish::Kept;
use super::merged::finish_network;
use super::micro_batch::MicroBatch;
use super::stage::Window;
use super::{EstimatorConfig, EstimatorState, Granularity, Scalars, StepInput, StepOutput, View};
use crate::Result;
use crate::models::{Evaluation, Network};
use crate::ops;
use crate::vector::ParamVector;

/// The sum of the outputs of some parts of a batch.
#[derive(Debug, Clone)]
pub struct Sum {
    /// The number of parts.
    pub parts: usize,
    /// Their outputs added up, without guesses and targets; scalars of samples one part after the other.
    pub output: StepOutput,
    /// In how many parts each number of the state was there.
    pub shares: BTreeMap<String, usize>,
    /// Whether all parts share their directions: nothing but scalars is a part's own, beside what is exact.
    pub is_shared: bool,
    /// Whether samples have scalars of their own.
    is_by_sample: bool,
}

impl Sum {
    /// Of one part. Along directions that all parts share nothing but scalars is its own: the step moves the state, and counts zero guesses.
    pub fn of(mut output: StepOutput, config: &EstimatorConfig) -> Self {
        let is_shared = config.shares_guesses() && !output.awaiting.is_empty();
        if is_shared {
            (output.state, output.zero_guesses) = Default::default();
        }
        let shares = output.state.numbers.keys().map(|path| (path.clone(), 1)).collect();
        Self { parts: 1, output, shares, is_shared, is_by_sample: config.granularity().is_by_sample() }
    }

    /// With that of later parts.
    pub fn plus(self, later: Self) -> Self {
        let Self { parts, mut output, mut shares, is_shared, is_by_sample } = self;
        later.shares.into_iter().for_each(|(path, share)| *shares.entry(path).or_default() += share);
        let (parts, later) = (parts + later.parts, later.output);
        output.update = added(output.update, later.update);
        output.statistics = added(output.statistics, later.statistics);
        output.state.tensors = added(output.state.tensors, later.state.tensors);
        later
            .state
            .numbers
            .into_iter()
            .for_each(|(path, number)| *output.state.numbers.entry(path).or_default() += number);
        for (own, later) in output.evaluations.iter_mut().zip(later.evaluations) {
            *own = together(*own, later);
        }
        add_scalars(&mut output.scalars, later.scalars, is_by_sample);
        add_scalars(&mut output.awaiting, later.awaiting, false);
        output.zero_guesses += later.zero_guesses;
        Self { parts, output, shares, is_shared, is_by_sample }
    }

    /// The step that all parts of a batch make; `input` holds any of its samples.
    ///
    /// # Errors
    /// As [`step`](super::step).
    pub fn finish(
        self,
        config: &EstimatorConfig,
        network: &Network,
        input: &StepInput<'_>,
        state: &EstimatorState,
    ) -> Result<StepOutput> {
        let input = StepInput { micro_batch: MicroBatch::WHOLE, ..input.clone() };
        ops::on_a_worker(input.images.clone(), |_| {
            let is_shared = self.is_shared;
            let mut output = self.mean();
            let (view, awaiting) = (View::new(network), std::mem::take(&mut output.awaiting));
            if is_shared {
                output.state = state.clone();
                measured_together(&Engine::new(config, &view, &input, state)?, &mut output, &awaiting);
            }
            output.learn(config, input.step);
            Ok(output)
        })
    }

    /// Means over the parts. A scalar of a sample is then the derivative of its part of the whole batch's loss.
    fn mean(self) -> StepOutput {
        let Self { parts, mut output, shares, .. } = self;
        if parts == 1 {
            return output;
        }
        let share = 1.0 / parts as f64;
        let mean = |vector: ParamVector| vector.scaled(share);
        output.update = mean(output.update);
        output.statistics = mean(output.statistics);
        output.state.tensors = mean(output.state.tensors);
        // A coefficient that a part has not kept, for its guess was zero, says nothing.
        output.state.numbers.iter_mut().for_each(|(path, number)| *number /= shares[path] as f64);
        output.evaluations.iter_mut().flatten().for_each(|evaluation| evaluation.loss *= share);
        let scalars = output.scalars.iter_mut().chain(&mut output.awaiting);
        scalars.flat_map(|scalars| scalars.values.iter_mut().flatten()).for_each(|value| *value *= share);
        output
    }
}

/// Turns the scalars that all parts have measured along the same directions into updates.
fn measured_together(engine: &Engine<'_>, output: &mut StepOutput, awaiting: &[Scalars]) {
    let prepare = |block: usize| {
        let prepared = engine.prepare(output, &mut Window::default(), block);
        (block, engine.keep(prepared, None))
    };
    let kept: BTreeMap<usize, Kept> = (0..engine.plan.estimated).map(prepare).collect();
    let is_mixed = engine.config.mix.is_some();
    let b = |slot: &str| {
        let scalars = awaiting.iter().find(|scalars| scalars.slot == slot).expect("every slot was measured");
        scalars.values.concat()
    };
    if engine.config.granularity() == Granularity::Network && !is_mixed {
        return finish_network(engine, output, kept, &b("network"));
    }
    for kept in kept.values() {
        for (slot, own) in kept.slots.iter().enumerate() {
            let b = b(&own.name);
            if is_mixed {
                output.state.observe(&own.name, &b);
            }
            engine.finish_weight(output, kept, slot, &b);
        }
    }
}

fn added(own: ParamVector, later: ParamVector) -> ParamVector {
    if own.is_empty() { later } else { own.axpy(1.0, &later) }
}

/// Losses and metrics add up; a head runs in all parts or in none.
fn together(own: Option<Evaluation>, later: Option<Evaluation>) -> Option<Evaluation> {
    let (mut own, later) = (own?, later?);
    own.loss += later.loss;
    own.metric = own.metric.zip(later.metric).map(|(mut own, later)| {
        own.sum += later.sum;
        own
    });
    Some(own)
}

/// Scalars that all samples of a part share add up; those of single samples come one after the other.
fn add_scalars(all: &mut [Scalars], later: Vec<Scalars>, is_by_sample: bool) {
    for (own, later) in all.iter_mut().zip(later) {
        debug_assert_eq!(own.slot, later.slot, "parts measure the same slots in the same order");
        for (own, later) in own.values.iter_mut().zip(later.values) {
            match is_by_sample {
                true => own.extend(later),
                false => own.iter_mut().zip(later).for_each(|(own, later)| *own += later),
            }
        }
    }
}
