//! A block's guesses made ready to be measured: split into slots and scaled.
//!
//! Random guesses keep their unit covariance. Every other guess is divided by its slot's norm, except the network's single
//! slot, whose norm is known only at the end.

use burn::tensor::Tensor;

use super::combination::Along;
use super::correct::Base;
use super::engine::Engine;
use super::gram::{self, Gram};
use super::guess::Directions;
use super::mix::{self, MixedSlot};
use super::slot::Slot;
use super::stage::Window;
use super::{Collect, Granularity, Space, StepOutput};
use crate::account::Role;
use crate::ops::{self, Parts, Pending};
use crate::vector::{self, ParamVector};

/// A block's guesses, scaled, with their slots.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The block.
    pub block: usize,
    /// Its slots: several for granularity `tensor`, else one.
    pub slots: Vec<Slot>,
    /// The directions as they are measured.
    pub directions: Directions,
    /// What each direction was multiplied by, one a slot; empty where it was not scaled by slots.
    pub factors: Vec<Vec<f64>>,
    /// The guess itself, where the directions only correct it.
    pub base: Option<Base>,
    /// Inner products of the directions, where the combination needs them: one a slot, or one a sample or part of one, or one for all samples.
    pub grams: Vec<Gram>,
}

impl<'a> Engine<'a> {
    /// A block's guesses, made ready; notes them in the output as far as they were asked for, and counts zero ones.
    pub fn prepare(&self, output: &mut StepOutput, window: &mut Window<'a>, block: usize) -> Prepared {
        let raw = match self.config.correct {
            Some(_) => self.redraw(window.get(block).map(|stage| stage.shape), block),
            None => self.guesses(window, block),
        };
        raw.give(Role::Guesses);
        self.collect(output, block, &raw);
        let slots = self.view.slots(self.config.granularity(), block);
        let base = self.config.correct.map(|_| self.base(output, window, block, (&raw, &slots)));
        let (directions, factors) =
            if self.scales() { self.scaled(raw, &slots, &mut output.zero_guesses) } else { (raw, Vec::new()) };
        directions.give(Role::Guesses);
        self.learn_block(output, window, block);
        let grams = if self.needs_grams() { self.grams(&directions, &slots) } else { Vec::new() };
        Prepared { block, slots, directions, factors, base, grams }
    }

    /// Whether guesses are divided by their norms as they are made.
    fn scales(&self) -> bool {
        self.measured && !self.along.support().is_random && self.config.granularity() != Granularity::Network
    }

    fn needs_grams(&self) -> bool {
        let merged = self.config.granularity() == Granularity::Network && !self.along.support().is_random;
        self.measured && (self.config.combination().needs_products() || merged)
    }

    /// Notes the directions that were asked for; a guess that is the target is none.
    fn collect(&self, output: &mut StepOutput, block: usize, directions: &Directions) {
        if self.config.guess.support().is_target {
            return;
        }
        let kept = self.input.collect.directions(self.config.directions());
        // Of a guess that is corrected the first is the guess itself.
        let is_first = self.config.correct.is_some() && self.input.collect == Collect::FirstGuess;
        for direction in 0..if is_first { 0 } else { kept } {
            self.collect_as(output, block, &direction.to_string(), (directions, direction));
        }
    }

    /// Notes one direction under a name.
    pub fn collect_as(
        &self,
        output: &mut StepOutput,
        block: usize,
        name: &str,
        (all, direction): (&Directions, usize),
    ) {
        let vector = match all {
            Directions::Weight(vectors) => self.view.globalised(block, vectors[direction].clone()),
            Directions::Activity(tensors) => {
                let mut vector = ParamVector::default();
                vector.insert(format!("blocks.{block}"), tensors[direction].clone());
                vector
            }
        };
        output.guesses.extend(vector.prefixed(name));
    }

    /// Directions divided by their slots' norms, with what they were multiplied by, one a slot and direction.
    fn scaled(&self, raw: Directions, slots: &[Slot], zeros: &mut usize) -> (Directions, Vec<Vec<f64>>) {
        let granularity = self.config.granularity();
        match raw {
            Directions::Weight(vectors) => {
                let mut factors = vec![Vec::new(); slots.len()];
                let mut scaled = vec![ParamVector::default(); vectors.len()];
                let parts: Vec<_> =
                    vectors.iter().flat_map(|vector| slots.iter().map(|slot| slot.part(vector))).collect();
                let norms = vector::norms(&parts.iter().collect::<Vec<_>>());
                for (number, (part, norm)) in parts.iter().zip(norms).enumerate() {
                    let factor = inverse(norm, zeros);
                    scaled[number / slots.len()].extend(part.scaled(factor));
                    factors[number % slots.len()].push(factor);
                }
                (Directions::Weight(scaled), factors)
            }
            Directions::Activity(tensors) if granularity == Granularity::Batch => {
                let (tensors, factors) = units(tensors, zeros);
                (Directions::Activity(tensors), vec![factors])
            }
            Directions::Activity(tensors) => {
                (Directions::Activity(unit_rows(tensors, self.config.parts(), zeros)), Vec::new())
            }
        }
    }

    fn grams(&self, directions: &Directions, slots: &[Slot]) -> Vec<Gram> {
        match directions {
            Directions::Weight(vectors) => slots
                .iter()
                .map(|slot| {
                    let parts: Vec<_> = vectors.iter().map(|vector| slot.part(vector)).collect();
                    let pairs: Vec<_> = gram::pairs(parts.len()).map(|(d, e)| [&parts[d], &parts[e]]).collect();
                    Gram::of(parts.len(), &vector::dots(&pairs))
                })
                .collect(),
            Directions::Activity(tensors) if self.config.granularity() == Granularity::Batch => {
                let asked = gram::pairs(tensors.len()).map(|(d, e)| Pending::dot(&tensors[d], &tensors[e]));
                vec![Gram::of(tensors.len(), &ops::read(asked.collect()).concat())]
            }
            Directions::Activity(tensors) => {
                let parts = self.config.parts();
                let is_whole = parts == Parts::WHOLE;
                let is_shared = self.along.support().shares_products && self.input.given.is_none() && is_whole;
                let samples = if is_shared { 1 } else { tensors[0].dims()[0] };
                let rows: Vec<_> = tensors.iter().map(|tensor| tensor.clone().narrow(0, 0, samples)).collect();
                let asked = gram::pairs(rows.len()).map(|(d, e)| parts.asked_dots(&rows[d], &rows[e]));
                let products = ops::read(asked.collect());
                let of_unit = |unit: usize| products.iter().map(|pair| pair[unit]).collect::<Vec<f64>>();
                (0..samples * parts.count()).map(|unit| Gram::of(rows.len(), &of_unit(unit))).collect()
            }
        }
    }

    /// The number of coordinates that one scalar covers: one of each slot; in activity space, where the block's output has a shape, one of
    /// each part of a sample.
    pub fn dimensions(&self, block: usize, slots: &[Slot], shape: Option<[usize; 4]>) -> Vec<usize> {
        match (shape, self.config.space) {
            (Some(shape), Space::Activity) if self.config.granularity() == Granularity::Batch => {
                vec![shape.iter().product()]
            }
            (Some([_, channels, height, width]), Space::Activity) => {
                self.config.parts().sizes([channels, height, width])
            }
            _ => {
                let parameters = self.view.parameters(block);
                slots.iter().map(|slot| slot.part(&parameters).dimension()).collect()
            }
        }
    }

    /// The coefficients of a slot's directions (or of one sample's) of a dimension, from their inner products with the target.
    pub fn coefficients(&self, b: &[f64], products: Option<&Gram>, dimension: usize) -> Vec<f64> {
        let combination = self.config.combination();
        let has_unit_covariance = self.along.support().is_random;
        let coefficients = combination.coefficients(&Along { b, products, has_unit_covariance, dimension });
        let (made, wanted) = (coefficients.len(), b.len());
        assert_eq!(made, wanted, "the combination `{combination}` gave {made} coefficients for {wanted} directions");
        coefficients
    }

    /// The slots' signs in a mixture.
    pub fn mixed_slots(&self, prepared: &Prepared) -> Vec<MixedSlot> {
        let stream = mix::stream(self.input.seed, self.input.step);
        let is_by_sample = self.config.granularity() == Granularity::Sample;
        let samples = if is_by_sample { (self.input.first_sample(), self.input.labels.len()) } else { (0, 1) };
        let tangents = self.config.mix.unwrap_or(0);
        let mixed = |slot: &Slot| MixedSlot::new(slot.name.clone(), stream, tangents, samples);
        prepared.slots.iter().map(mixed).collect()
    }
}

/// `1 / norm`, or 0 - and one more zero guess - where there is nothing to divide.
fn inverse(norm: f64, zeros: &mut usize) -> f64 {
    if norm == 0.0 {
        *zeros += 1;
        return 0.0;
    }
    norm.recip()
}

/// Every tensor divided by its norm, with what it was multiplied by.
fn units(tensors: Vec<Tensor<4>>, zeros: &mut usize) -> (Vec<Tensor<4>>, Vec<f64>) {
    let (tensors, factors) = without_underflow(tensors);
    let squares = ops::read(tensors.iter().map(|tensor| Pending::row_dots(tensor, tensor)).collect());
    let inverses = squares.into_iter().map(|squares| inverse(squares.iter().sum::<f64>().sqrt(), zeros));
    let divided = tensors.into_iter().zip(factors).zip(inverses);
    divided.map(|((tensor, factor), inverse)| (tensor.mul_scalar(inverse), factor * inverse)).unzip()
}

/// Every part of every sample of every tensor divided by its norm.
fn unit_rows(tensors: Vec<Tensor<4>>, parts: Parts, zeros: &mut usize) -> Vec<Tensor<4>> {
    let (tensors, _) = without_underflow(tensors);
    let squares = ops::read(tensors.iter().map(|tensor| parts.asked_dots(tensor, tensor)).collect());
    let mut divided = |(tensor, squares): (Tensor<4>, Vec<f64>)| {
        let factors: Vec<f64> = squares.into_iter().map(|square| inverse(square.sqrt(), zeros)).collect();
        parts.scale(tensor, &factors)
    };
    tensors.into_iter().zip(squares).map(&mut divided).collect()
}

/// Every tensor divided by its largest magnitude, so that squares of tiny values do not underflow, with what it was multiplied by.
fn without_underflow(tensors: Vec<Tensor<4>>) -> (Vec<Tensor<4>>, Vec<f64>) {
    let largest = ops::read(tensors.iter().map(Pending::largest_magnitude).collect()).concat();
    let divided = tensors.into_iter().zip(largest).map(|(tensor, largest)| {
        let factor = if largest > 0.0 { largest.recip() } else { 1.0 };
        (if largest > 0.0 { tensor.mul_scalar(factor) } else { tensor }, factor)
    });
    divided.unzip()
}
