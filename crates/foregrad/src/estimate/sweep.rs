//! Forward mode: one pass through the network that carries tangents along and pushes new ones as guesses become known.
//!
//! No activation outlives its block in weight space (or the guess horizon's blocks), and nothing travels backward between
//! blocks. Source: Fournier et al. (2023), Table 1; Baydin et al. (2022) for the merged tangent.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::engine::Engine;
use super::finish::{Kept, totals};
use super::guess::Directions;
use super::merged::Merged;
use super::prepared::Prepared;
use super::stage::{Stage, Window, through};
use super::{Space, StepOutput};
use crate::Result;
use crate::layers::Activation;
use crate::ops::Parts;
use crate::vector::ParamVector;

/// The tangents of one slot on their way to the loss that measures them.
struct Flight {
    block: usize,
    slot: usize,
    closes: usize,
    /// Stacked by direction; `None` is zero.
    y_dot: Option<Tensor<4>>,
}

/// A forward sweep.
pub struct Sweep<'a> {
    engine: Engine<'a>,
    output: StepOutput,
    window: Window<'a>,
    flights: Vec<Flight>,
    merged: Option<Merged>,
    kept: BTreeMap<usize, Kept>,
}

impl<'a> Sweep<'a> {
    /// One whole step.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped).
    pub fn run(engine: Engine<'a>) -> Result<StepOutput> {
        let merged = Merged::new(engine.config).filter(|_| engine.measured);
        let (output, window) = (engine.output(), Window::default());
        let mut sweep = Self { engine, output, window, flights: Vec::new(), merged, kept: BTreeMap::new() };
        let mut x = Activation::from(sweep.engine.input.images.clone());
        for block in 0..sweep.engine.plan.depth {
            sweep.engine.input.check_stop()?;
            x = match sweep.merged.take_if(|_| Merged::carries(&sweep.engine, block)) {
                Some(merged) => sweep.carry(merged, block, x),
                None => sweep.visit(block, x),
            }?;
            sweep.window.keep_last(sweep.engine.plan.lag);
        }
        Ok(sweep.output)
    }

    /// A block's forward map, its losses, and everything that becomes known there.
    fn visit(&mut self, block: usize, x: Activation) -> Result<Activation> {
        let (stage, y) = self.engine.stage(&mut self.output, block, x, false)?;
        self.window.push(stage);
        self.advance(block);
        Ok(y)
    }

    /// Value and merged tangents through a block at once.
    fn carry(&mut self, mut merged: Merged, block: usize, x: Activation) -> Result<Activation> {
        let (stage, y, prepared) = merged.carry(&self.engine, &mut self.output, block, x)?;
        self.merged = Some(merged);
        self.window.push(stage);
        self.enter(block, prepared);
        if block + 1 == self.engine.plan.depth {
            self.end(block);
        }
        Ok(y)
    }

    /// Everything that happens at a block once its forward map has run.
    fn advance(&mut self, block: usize) {
        let ready: Vec<usize> = self.engine.plan.ready_at(block).collect();
        if !self.engine.measured {
            return ready.into_iter().for_each(|guessed| self.take_unmeasured(guessed));
        }
        let prepared: Vec<Prepared> =
            ready.into_iter().map(|guessed| self.engine.prepare(&mut self.output, &mut self.window, guessed)).collect();
        self.pass_flights(block);
        if let Some(merged) = &mut self.merged {
            merged.pass(&self.engine, &self.window, block, &prepared);
        }
        for prepared in prepared {
            self.enter(block, prepared);
        }
        self.close(block);
        if block + 1 == self.engine.plan.depth {
            self.end(block);
        }
    }

    /// A guess that no tangent measures: with the coefficient that it has kept, or as it is.
    fn take_unmeasured(&mut self, block: usize) {
        let prepared = self.engine.prepare(&mut self.output, &mut self.window, block);
        self.engine.finish_unmeasured(&mut self.output, prepared, &self.window);
    }

    /// All tangents in flight through a block, stacked as far as `tangents_at_once` allows.
    fn pass_flights(&mut self, block: usize) {
        let (engine, stage) = (&self.engine, self.window.stage(block));
        let samples = stage.shape[0];
        let at_once = engine.config.tangents_at_once;
        for batch in batches(&mut self.flights, samples, at_once) {
            // Taken, not shared: a tangent must not outlive the block that it enters.
            let mut live: Vec<_> = batch.iter_mut().filter(|flight| flight.y_dot.is_some()).collect();
            let mut tangents: Vec<_> = live.iter_mut().filter_map(|flight| flight.y_dot.take()).collect();
            let counts: Vec<_> = tangents.iter().map(|tangent| tangent.dims()[0]).collect();
            if tangents.is_empty() {
                continue;
            }
            let stacked = if counts.len() == 1 { tangents.remove(0) } else { Tensor::cat(tangents, 0) };
            let y_dots = through(engine.view, stage, block, Some(stacked), &[], at_once);
            let mut start = 0;
            for (flight, count) in live.into_iter().zip(counts) {
                flight.y_dot = y_dots.as_ref().map(|y_dots| y_dots.clone().narrow(0, start, count));
                start += count;
            }
        }
    }

    /// Puts a block's guesses on their way, as far as the current block, or measures them at once if their loss is nearer.
    fn enter(&mut self, block: usize, prepared: Prepared) {
        let guessed = prepared.block;
        if self.merged.is_none() {
            let closes = self.engine.plan.target_loss[guessed];
            let to = closes.min(block);
            for slot in 0..prepared.slots.len() {
                let y_dot = self.push(&prepared, slot, to);
                self.flights.push(Flight { block: guessed, slot, closes, y_dot });
            }
        }
        let kept = self.engine.keep(prepared, self.window.get(guessed));
        self.kept.insert(guessed, kept);
        self.close_up_to(block);
    }

    /// The stacked tangents of one slot at the output of block `to`.
    fn push(&self, prepared: &Prepared, slot: usize, to: usize) -> Option<Tensor<4>> {
        let (engine, from) = (&self.engine, prepared.block);
        let at_once = engine.config.tangents_at_once;
        let start = match &prepared.directions {
            Directions::Activity(tensors) => Some(self.at_output(tensors, from)),
            Directions::Weight(vectors) => {
                let parts: Vec<_> = vectors.iter().map(|vector| prepared.slots[slot].part(vector)).collect();
                through(engine.view, self.window.stage(from), from, None, &parts, at_once)
            }
        };
        self.window.push_forward(engine.view, start, from, to, at_once)
    }

    /// A block's guesses at its output, stacked; each part of a sample by itself, unless the block's own loss will take them apart.
    fn at_output(&self, tensors: &[Tensor<4>], block: usize) -> Tensor<4> {
        let parts = self.engine.config.parts();
        if parts == Parts::WHOLE || self.engine.plan.target_loss[block] == block {
            return Tensor::cat(tensors.to_vec(), 0);
        }
        Tensor::cat(tensors.iter().map(|tensor| parts.apart(tensor, 0..parts.count())).collect(), 0)
    }

    /// Measures the flights whose loss lies before the current block (a guess that looks further than its target).
    fn close_up_to(&mut self, block: usize) {
        let near: Vec<usize> = (0..block).filter(|loss| self.flights.iter().any(|f| f.closes == *loss)).collect();
        near.into_iter().for_each(|loss| self.close(loss));
    }

    /// Measures the flights that end at a block's loss, and turns their scalars into updates.
    fn close(&mut self, block: usize) {
        let (arrived, flying) = std::mem::take(&mut self.flights).into_iter().partition(|f| f.closes == block);
        self.flights = flying;
        let arrived: Vec<Flight> = arrived;
        for flight in arrived {
            let derivatives = self.measure(self.window.stage(block), &flight);
            let kept = &self.kept[&flight.block];
            match self.engine.config.space {
                Space::Weight => self.engine.finish_weight(&mut self.output, kept, flight.slot, &totals(&derivatives)),
                Space::Activity => {
                    let per_unit = self.units(derivatives);
                    self.engine.finish_activity(&mut self.output, kept, &self.window, per_unit);
                }
            }
        }
        // Merged tangents are measured at the end only; of all others, nothing is kept that no flight waits for.
        if self.merged.is_none() {
            self.kept.retain(|block, _| self.flights.iter().any(|flight| flight.block == *block));
        }
    }

    /// The derivatives of a flight's loss along its tangents: per direction, and per sample or part of one.
    fn measure(&self, stage: &Stage, flight: &Flight) -> Vec<Vec<f64>> {
        let (config, parts) = (self.engine.config, self.engine.config.parts());
        let Some(y_dot) = &flight.y_dot else {
            return vec![vec![0.0; stage.shape[0] * parts.count()]; config.directions()];
        };
        if !config.granularity().is_by_sample() {
            return stage.derivatives(Some(y_dot.clone()), &[]);
        }
        if flight.closes == flight.block {
            return stage.part_derivatives(y_dot, parts, config.tangents_at_once);
        }
        parts.by_sample(&stage.derivatives(Some(y_dot.clone()), &[]))
    }

    /// Derivatives per unit of the granularity: samples or their parts, or the sum of all.
    fn units(&self, derivatives: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        match self.engine.config.granularity() {
            granularity if granularity.is_by_sample() => derivatives,
            _ => totals(&derivatives).into_iter().map(|total| vec![total]).collect(),
        }
    }

    /// The classifier's own slots, and everything that was merged.
    fn end(&mut self, last: usize) {
        let classifier = self.engine.plan.estimates_classifier().then(|| {
            let depth = self.engine.plan.depth;
            self.engine.prepare(&mut self.output, &mut self.window, depth)
        });
        if let Some(merged) = self.merged.take() {
            return self.end_merged(merged, last, classifier);
        }
        let Some(prepared) = classifier else { return };
        let Directions::Weight(vectors) = &prepared.directions else { return };
        let parts = |slot: usize| vectors.iter().map(|vector| prepared.slots[slot].part(vector)).collect();
        let measured: Vec<_> = (0..prepared.slots.len())
            .map(|slot| {
                let parts: Vec<ParamVector> = parts(slot);
                totals(&self.window.stage(last).derivatives(None, &parts))
            })
            .collect();
        let kept = self.engine.keep(prepared, None);
        for (slot, b) in measured.iter().enumerate() {
            self.engine.finish_weight(&mut self.output, &kept, slot, b);
        }
    }

    fn end_merged(&mut self, merged: Merged, last: usize, classifier: Option<Prepared>) {
        let theta = match &classifier {
            Some(Prepared { directions: Directions::Weight(vectors), .. }) => vectors.clone(),
            _ => Vec::new(),
        };
        let derivatives = merged.measure(&self.engine, self.window.stage(last), &theta);
        if let Some(prepared) = classifier {
            let kept = self.engine.keep(prepared, None);
            self.kept.insert(self.engine.plan.depth, kept);
        }
        let kept = std::mem::take(&mut self.kept);
        merged.finish(&self.engine, &mut self.output, &self.window, kept, derivatives);
    }
}

/// Consecutive flights whose tangents together are no more than `at_once` (0: all of them).
fn batches(flights: &mut [Flight], samples: usize, at_once: usize) -> Vec<&mut [Flight]> {
    let mut batches = Vec::new();
    let mut rest = flights;
    while !rest.is_empty() {
        let mut total = 0;
        let mut length = 0;
        for flight in rest.iter() {
            let count = flight.y_dot.as_ref().map_or(0, |y_dot| y_dot.dims()[0] / samples);
            if length > 0 && at_once > 0 && total + count > at_once {
                break;
            }
            total += count;
            length += 1;
        }
        let (batch, after) = rest.split_at_mut(length);
        batches.push(batch);
        rest = after;
    }
    batches
}
