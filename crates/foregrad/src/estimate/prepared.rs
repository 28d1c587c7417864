//! A block's guesses made ready to be measured: split into slots and scaled.
//!
//! Random guesses keep their unit covariance. Every other guess is divided by its slot's norm, except the network's single
//! slot, whose norm is known only at the end.

use burn::tensor::Tensor;

use super::engine::Engine;
use super::gram::Gram;
use super::guess::Directions;
use super::mix::{self, MixedSlot};
use super::stage::Window;
use super::{Granularity, StepOutput};
use crate::ops;
use crate::vector::ParamVector;

/// What one scalar a direction (or one a direction and sample) covers, within one block.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The slot's name: a tensor's path, `blocks.J`, `classifier` or `network`.
    pub name: String,
    /// The tensor's path within the block, or all of the block.
    pub path: Option<String>,
}

impl Slot {
    /// The part of a block's vector that the slot covers.
    pub fn part(&self, vector: &ParamVector) -> ParamVector {
        match &self.path {
            Some(only) => vector.filtered(|path| path == only),
            None => vector.clone(),
        }
    }
}

/// A block's guesses, scaled, with their slots.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The block.
    pub block: usize,
    /// Its slots: several for granularity `tensor`, else one.
    pub slots: Vec<Slot>,
    /// The directions as they are measured.
    pub directions: Directions,
    /// Inner products of the directions, where the combination needs them: one a slot, or one a sample, or one for all samples.
    pub grams: Vec<Gram>,
}

impl<'a> Engine<'a> {
    /// A block's guesses, made ready; notes them in the output as far as they were asked for, and counts zero ones.
    pub fn prepare(&self, output: &mut StepOutput, window: &mut Window<'a>, block: usize) -> Prepared {
        let raw = self.guesses(window, block);
        self.collect(output, block, &raw);
        self.learn_block(output, window, block);
        let slots = self.slots(block);
        let directions = if self.scales() { self.scaled(raw, &slots, &mut output.zero_guesses) } else { raw };
        let grams = if self.needs_grams() { self.grams(&directions, &slots) } else { Vec::new() };
        Prepared { block, slots, directions, grams }
    }

    /// Whether guesses are divided by their norms as they are made.
    fn scales(&self) -> bool {
        !self.config.guess.support().is_random && self.config.granularity() != Granularity::Network
    }

    fn needs_grams(&self) -> bool {
        let merged = self.config.granularity() == Granularity::Network && !self.config.guess.support().is_random;
        self.config.combination().needs_products() || merged
    }

    /// The slots of a block.
    pub fn slots(&self, block: usize) -> Vec<Slot> {
        let whole = |name: String| vec![Slot { name, path: None }];
        match self.config.granularity() {
            Granularity::Network => whole("network".into()),
            Granularity::Tensor => {
                let slot = |path: &str| {
                    let prefix = self.view.prefixes.get(block).copied().unwrap_or_default();
                    let name = if prefix.is_empty() { path.to_string() } else { format!("{prefix}.{path}") };
                    Slot { name, path: Some(path.to_string()) }
                };
                self.view.parameters(block).paths().map(slot).collect()
            }
            _ if block == self.plan.depth => whole("classifier".into()),
            _ => whole(format!("blocks.{block}")),
        }
    }

    fn collect(&self, output: &mut StepOutput, block: usize, directions: &Directions) {
        let view = self.view;
        let kept = self.input.collect.directions(self.config.directions());
        let mut add = |direction: usize, vector: ParamVector| {
            output.guesses.extend(vector.prefixed(&direction.to_string()));
        };
        match directions {
            Directions::Weight(vectors) => vectors
                .iter()
                .take(kept)
                .enumerate()
                .for_each(|(direction, vector)| add(direction, view.globalised(block, vector.clone()))),
            Directions::Activity(tensors) => tensors.iter().take(kept).enumerate().for_each(|(direction, tensor)| {
                let mut vector = ParamVector::default();
                vector.insert(format!("blocks.{block}"), tensor.clone());
                add(direction, vector);
            }),
        }
    }

    fn scaled(&self, raw: Directions, slots: &[Slot], zeros: &mut usize) -> Directions {
        let granularity = self.config.granularity();
        match raw {
            Directions::Weight(vectors) => Directions::Weight(
                vectors
                    .iter()
                    .map(|vector| {
                        let mut scaled = ParamVector::default();
                        for slot in slots {
                            let part = slot.part(vector);
                            scaled.extend(part.scaled(inverse(part.norm(), zeros)));
                        }
                        scaled
                    })
                    .collect(),
            ),
            Directions::Activity(tensors) => {
                let whole = granularity == Granularity::Batch;
                Directions::Activity(tensors.into_iter().map(|tensor| unit_rows(tensor, whole, zeros)).collect())
            }
        }
    }

    fn grams(&self, directions: &Directions, slots: &[Slot]) -> Vec<Gram> {
        match directions {
            Directions::Weight(vectors) => slots
                .iter()
                .map(|slot| {
                    let parts: Vec<_> = vectors.iter().map(|vector| slot.part(vector)).collect();
                    Gram::new(parts.len(), |d, e| parts[d].dot(&parts[e]))
                })
                .collect(),
            Directions::Activity(tensors) if self.config.granularity() == Granularity::Batch => {
                vec![Gram::new(tensors.len(), |d, e| ops::dot(&tensors[d], &tensors[e]))]
            }
            Directions::Activity(tensors) => {
                let is_shared = self.config.guess.support().shares_products && self.input.given.is_none();
                let samples = if is_shared { 1 } else { tensors[0].dims()[0] };
                let rows: Vec<_> = tensors.iter().map(|tensor| tensor.clone().narrow(0, 0, samples)).collect();
                let below = |d: usize| rows[..=d].iter().map(|other| ops::row_dots(&rows[d], other)).collect();
                let products: Vec<Vec<Vec<f64>>> = (0..rows.len()).map(below).collect();
                (0..samples).map(|sample| Gram::new(rows.len(), |d, e| products[d][e][sample])).collect()
            }
        }
    }

    /// The coefficients of a slot's directions (or of one sample's), from their inner products with the target.
    pub fn coefficients(&self, b: &[f64], gram: Option<&Gram>) -> Vec<f64> {
        let combination = self.config.combination();
        let coefficients = combination.coefficients(b, gram);
        let (made, wanted) = (coefficients.len(), b.len());
        assert_eq!(made, wanted, "the combination `{combination}` gave {made} coefficients for {wanted} directions");
        coefficients
    }

    /// The slots' signs in a mixture.
    pub fn mixed_slots(&self, prepared: &Prepared) -> Vec<MixedSlot> {
        let stream = mix::stream(self.input.seed, self.input.step);
        let width = if self.config.granularity() == Granularity::Sample { self.input.labels.len() } else { 1 };
        let tangents = self.config.mix.unwrap_or(0);
        let mixed = |slot: &Slot| MixedSlot::new(slot.name.clone(), stream, tangents, width);
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

/// Every sample's part divided by its norm, or the whole by its own. Norms are taken after dividing by the largest magnitude.
fn unit_rows(tensor: Tensor<4>, whole: bool, zeros: &mut usize) -> Tensor<4> {
    let largest = ops::largest_magnitude(&tensor);
    let tensor = if largest > 0.0 { tensor.mul_scalar(largest.recip()) } else { tensor };
    let squares = ops::row_dots(&tensor, &tensor);
    if whole {
        let norm = squares.iter().sum::<f64>().sqrt();
        return tensor.mul_scalar(inverse(norm, zeros));
    }
    let factors: Vec<f64> = squares.into_iter().map(|square| inverse(square.sqrt(), zeros)).collect();
    ops::scale_rows(tensor, &factors)
}
