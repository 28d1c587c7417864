//! Digests of samples: a run that goes on is not given others.

use std::borrow::Cow;

use md5::{Digest, Md5};

use super::{Label, Source};
use crate::Result;

/// Samples that are looked at where all would take too long.
const LOOKED_AT: usize = 64;

/// The digest of up to 64 samples, from the first to the last.
pub(super) fn of_some<S: Source + ?Sized>(set: &S) -> Result<String> {
    let (mut state, mut input) = (Md5::new(), vec![0.0; set.shape().iter().product()]);
    let count = set.len().min(LOOKED_AT);
    for number in 0..count {
        // Evenly over all, the last one among them.
        let label = set.sample(number * (set.len() - 1) / (count - 1).max(1), None, &mut input)?;
        input.iter().for_each(|value| state.update(value.to_le_bytes()));
        match label {
            Label::Class(class) => state.update((class as u64).to_le_bytes()),
            Label::Values(values) => values.iter().for_each(|value| state.update(value.to_le_bytes())),
        }
    }
    Ok(text(state))
}

/// The digest of inputs in memory and their classes.
pub(super) fn of_all<'a>(inputs: impl Iterator<Item = Cow<'a, [u8]>>, labels: &[u16]) -> String {
    let mut state = Md5::new();
    inputs.for_each(|input| state.update(input));
    labels.iter().for_each(|label| state.update(label.to_le_bytes()));
    text(state)
}

/// The digest of some samples of a whole.
pub(super) fn of_chosen(whole: &str, chosen: &[usize]) -> String {
    let mut state = Md5::new();
    state.update(whole);
    chosen.iter().for_each(|place| state.update((*place as u64).to_le_bytes()));
    text(state)
}

/// The digest of inputs with values.
pub(super) fn of_values(inputs: &str, rows: &[f64]) -> String {
    let mut state = Md5::new();
    state.update(inputs);
    rows.iter().for_each(|value| state.update(value.to_le_bytes()));
    text(state)
}

fn text(state: Md5) -> String {
    state.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
