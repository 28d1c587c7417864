//! What an estimator carries from step to step.

use std::collections::BTreeMap;

use crate::ops;
use crate::vector::{ParamTensor, ParamVector};

/// Tensors and numbers by path: `mix.SLOT` is mixing's baseline of a slot, `kept.SLOT.D` a coefficient kept between measurements,
/// `correct.SLOT.product`, `.square` and `.pairs` the fit of a corrected guess, `guess.NAME.PATH` what the guess of that name has learnt.
#[derive(Debug, Clone, Default)]
pub struct EstimatorState {
    /// The tensors.
    pub tensors: ParamVector,
    /// The numbers.
    pub numbers: BTreeMap<String, f64>,
}

impl EstimatorState {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty() && self.numbers.is_empty()
    }

    /// What a guess has learnt, by the guess's own paths.
    pub fn of_guess(&self, name: &str) -> Self {
        let prefix = scope(name);
        let below = |path: &str| path.strip_prefix(&prefix)?.strip_prefix('.').map(str::to_string);
        let numbers = self.numbers.iter().filter_map(|(path, number)| Some((below(path)?, *number)));
        Self { tensors: self.tensors.scoped(&prefix), numbers: numbers.collect() }
    }

    /// Replaces what a guess has learnt.
    pub fn set_guess(&mut self, name: &str, learnt: Self) {
        let prefix = format!("{}.", scope(name));
        self.tensors = self.tensors.filtered(|path| !path.starts_with(&prefix));
        self.numbers.retain(|path, _| !path.starts_with(&prefix));
        // Whole, as a file gives them back: sums over factors round otherwise.
        self.tensors.extend(learnt.tensors.map(|_, values| values).prefixed(&scope(name)));
        self.numbers.extend(learnt.numbers.into_iter().map(|(path, number)| (format!("{prefix}{path}"), number)));
    }
}

/// What stands before the paths of a guess's state.
fn scope(name: &str) -> String {
    format!("guess.{name}")
}

/// The same paths with the same bits.
impl PartialEq for EstimatorState {
    fn eq(&self, other: &Self) -> bool {
        let bits = |numbers: &BTreeMap<String, f64>| {
            numbers.iter().map(|(path, number)| (path.clone(), number.to_bits())).collect::<Vec<_>>()
        };
        let elements =
            |entry: &ParamTensor| ops::host(entry.values()).into_iter().map(f64::to_bits).collect::<Vec<_>>();
        let same = |((path, mine), (other_path, theirs)): ((&str, &ParamTensor), (&str, &ParamTensor))| {
            path == other_path && mine.shape() == theirs.shape() && elements(mine) == elements(theirs)
        };
        bits(&self.numbers) == bits(&other.numbers)
            && self.tensors.len() == other.tensors.len()
            && self.tensors.iter().zip(other.tensors.iter()).all(same)
    }
}
