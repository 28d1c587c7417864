//! Correction: a control variate that makes any guess unbiased, with little noise where the guess is good.
//!
//! With the raw guess `g`, a factor `s` that does not depend on this step's draws, random directions `v_d` of unit covariance and the target
//! `t`, a slot's estimate is
//! ```text
//! s g + mean_d <t - s g, v_d> v_d
//! ```
//! `E[v v^T] = I`, so its expectation is `s g + (t - s g) = t`, given the batch and whatever `g` is. Its total variance is that of a random
//! estimate of the rest `t - s g`: with `k` directions `(D - 1) / k |t - s g|^2` of signs and `(D + 1) / k |t - s g|^2` of normal numbers,
//! `D` the slot's dimension. `<t, v_d>` is one tangent, `<g, v_d>` an inner product at home. The factor
//! ```text
//! s = EMA(<t, v> <g, v>) / EMA(<g, v>^2)
//! ```
//! of earlier steps fits `s g` to the target: its numerator and denominator have the expectations `<t, g>` and `|g|^2`. The quotient of a few
//! pairs has no variance, so `s` is 1 until as many have been seen as the means remember.
//!
//! Per sample, or part of one, the target is the sample's own only where samples are treated alone: through batch norm's statistics a
//! derivative along one sample's direction misses what it does to the others' losses.
//!
//! Source: control variates; Fournier et al. (2023) for the guess, Baydin et al. (2022) for the noise.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::engine::Engine;
use super::finish::{Kept, by_unit};
use super::guess::{AnyGuess, Directions};
use super::mix::{DECAY, move_mean};
use super::slot::Slot;
use super::stage::Window;
use super::{AnyCombination, Correction, CorrectionScale, EstimatorConfig, EstimatorState, Space, StepOutput};
use crate::vector::{self, ParamVector};
use crate::{Error, Result};

/// Pairs of inner products that the means remember; with fewer, nothing is fitted.
const PAIRS: f64 = 1.0 / (1.0 - DECAY);

/// The guess that random directions correct.
#[derive(Debug, Clone)]
pub struct Base {
    /// One direction, as it was made.
    guess: Directions,
    /// `<g, v_d>`: one row a slot, or a sample or part of one.
    products: Vec<Vec<f64>>,
}

impl Base {
    /// The guess in the weights.
    pub fn weights(&self) -> &ParamVector {
        match &self.guess {
            Directions::Weight(vectors) => &vectors[0],
            Directions::Activity(_) => panic!("weight space has a guess in the weights"),
        }
    }

    /// The guess at the block's output.
    pub fn activity(&self) -> Tensor<4> {
        match &self.guess {
            Directions::Activity(tensors) => tensors[0].clone(),
            Directions::Weight(_) => panic!("activity space has a guess at the block's output"),
        }
    }

    /// A guess at the block's output pulled back to the block's parameters.
    pub fn in_weights(self, pulled: impl Fn(Tensor<4>) -> ParamVector) -> Self {
        Self { guess: Directions::Weight(vec![pulled(self.activity())]), products: self.products }
    }
}

impl Correction {
    /// The random guess that it draws its directions by.
    pub(super) fn guess(self) -> AnyGuess {
        self.name().parse().expect("a correction has the name of a random guess")
    }
}

impl<'a> Engine<'a> {
    /// A block's own guess, with its inner products with the directions that correct it.
    pub fn base(
        &self,
        output: &mut StepOutput,
        window: &mut Window<'a>,
        block: usize,
        (directions, slots): (&Directions, &[Slot]),
    ) -> Base {
        let guess = self.given_to_correct(block).unwrap_or_else(|| self.own_guess(window, block));
        if let Some(name) = self.input.collect.base() {
            self.collect_as(output, block, name, (&guess, 0));
        }
        let products = match (&guess, directions) {
            (Directions::Weight(guess), Directions::Weight(vectors)) => {
                let of_slot = |slot: &Slot| {
                    let own = slot.part(&guess[0]);
                    let pairs: Vec<_> = vectors.iter().map(|vector| [&own, vector]).collect();
                    vector::dots(&pairs)
                };
                slots.iter().map(of_slot).collect()
            }
            (Directions::Activity(guess), Directions::Activity(tensors)) => {
                by_unit(&self.config.dots(&guess[0], tensors))
            }
            _ => unreachable!("guess and directions are in the estimate's space"),
        };
        Base { guess, products }
    }

    /// `b_d - s <g, v_d>` of a slot, or of a sample or part of one, for its factor `s`: what the guess does not say of the target; all of it
    /// without a correction.
    pub fn residual(&self, kept: &Kept, unit: usize, b: &[f64], scale: f64) -> Vec<f64> {
        residual(b, kept.base.as_ref().map(|base| base.products[unit].as_slice()), scale)
    }

    /// The same of the network's single slot, whose inner products are sums over blocks.
    pub fn whole_residual(&self, kept: &BTreeMap<usize, Kept>, b: &[f64]) -> Vec<f64> {
        residual(b, whole_products(kept).as_deref(), self.base_scale("network"))
    }

    /// The factor `s` of a slot's guess in this step.
    pub fn base_scale(&self, slot: &str) -> f64 {
        match self.config.correct_scale {
            CorrectionScale::One => 1.0,
            CorrectionScale::Fitted => self.state.fitted_scale(slot),
        }
    }

    /// Notes what later steps need of a slot: its coefficients, and the fit of the guess that was corrected. `b` is by unit: one for
    /// a slot in weight space, one a sample in activity space.
    pub fn learn_of_slot<B: AsRef<[f64]>>(
        &self,
        output: &mut StepOutput,
        kept: &Kept,
        slot: usize,
        (b, coefficients): (&[B], &[f64]),
    ) {
        let name = &kept.slots[slot].name;
        self.keep_coefficients(output, name, coefficients, kept.factors.get(slot));
        if let Some(base) = &kept.base {
            let products =
                if self.config.space == Space::Weight { &base.products[slot..=slot] } else { &base.products };
            let pairs = b.iter().zip(products).flat_map(|(b, products)| b.as_ref().iter().zip(products));
            self.fit(output, name, pairs);
        }
    }

    /// The same of the network's single slot.
    pub fn learn_of_network(
        &self,
        output: &mut StepOutput,
        kept: &BTreeMap<usize, Kept>,
        (b, coefficients): (&[f64], &[f64]),
    ) {
        self.keep_coefficients(output, "network", coefficients, None);
        if let Some(products) = whole_products(kept) {
            self.fit(output, "network", b.iter().zip(&products));
        }
    }

    /// Moves the fit of a slot by pairs of `<t, v>` and `<g, v>`.
    fn fit<'p>(&self, output: &mut StepOutput, slot: &str, pairs: impl Iterator<Item = (&'p f64, &'p f64)>) {
        if self.config.correct_scale == CorrectionScale::Fitted {
            let sum = |[product, square, count]: [f64; 3], (b, a): (&f64, &f64)| {
                [product + b * a, square + a * a, count + 1.0]
            };
            output.state.observe_fit(slot, pairs.fold([0.0; 3], sum));
        }
    }
}

fn residual(b: &[f64], products: Option<&[f64]>, scale: f64) -> Vec<f64> {
    let Some(products) = products else { return b.to_vec() };
    b.iter().zip(products).map(|(b, product)| b - scale * product).collect()
}

/// `<g, v_d>` summed over blocks.
fn whole_products(kept: &BTreeMap<usize, Kept>) -> Option<Vec<f64>> {
    let rows = kept.values().filter_map(|kept| kept.base.as_ref()).map(|base| base.products[0].clone());
    rows.reduce(|sum, row| sum.iter().zip(row).map(|(sum, own)| sum + own).collect())
}

impl EstimatorState {
    /// The factor that fits a slot's guess to the targets of earlier steps; 1 where there is too little to fit by.
    fn fitted_scale(&self, slot: &str) -> f64 {
        let [product, square, pairs] = fit_paths(slot).map(|path| self.numbers.get(&path).copied().unwrap_or(0.0));
        if pairs >= PAIRS && square > 0.0 { product / square } else { 1.0 }
    }

    /// Moves both means, which begin at 0: that shortens both by the same factor. Counts pairs.
    fn observe_fit(&mut self, slot: &str, [product, square, count]: [f64; 3]) {
        let [products, squares, pairs] = fit_paths(slot);
        for (path, new) in [(products, product), (squares, square)] {
            move_mean(self.numbers.entry(path).or_insert(0.0), new);
        }
        *self.numbers.entry(pairs).or_insert(0.0) += count;
    }
}

/// The places of a slot's means of `<t, v> <g, v>` and `<g, v>^2` in the state, and of the number of pairs.
fn fit_paths(slot: &str) -> [String; 3] {
    ["product", "square", "pairs"].map(|name| format!("correct.{slot}.{name}"))
}

impl EstimatorConfig {
    /// Refuses to correct what is no estimate of the gradient, and what has no meaning beside a correction.
    pub(super) fn validate_correction(&self) -> Result<()> {
        let (name, support) = (&self.guess, self.guess.support());
        let refuse = |reason: String, nearest: &str| Err(Error::meaningless(reason, nearest));
        if support.is_target {
            return refuse(format!("the guess `{name}` is the target itself"), "`estimator.correct = off`");
        }
        if !support.is_gradient || name.is_composite() {
            let reason = format!("the guess `{name}` is no single estimate of the gradient that could be corrected");
            return refuse(reason, "`estimator.guess = local`, or `estimator.correct = off`");
        }
        let combination = self.combination();
        if combination != AnyCombination::MEAN {
            let reason = format!("a correction by `{combination}` is biased: only the mean over directions is not");
            return refuse(reason, "`estimator.combination = mean`, or `estimator.correct = off`");
        }
        let along = self.along();
        if !along.support().spaces.contains(&self.space) {
            let reason = format!("the correction `{along}` does not exist in {} space", self.space);
            return refuse(reason, "`estimator.correct = gaussian`, or `estimator.space = weight`");
        }
        if self.mix.is_some() {
            let reason = "a correction has directions of its own, which cannot carry a mixture's signs".to_string();
            return refuse(reason, "`estimator.mix = off`, or `estimator.correct = off`");
        }
        Ok(())
    }
}
