//! Mixing: `m` tangents that each carry every slot's guess with an independent random sign.
//!
//! With `D_q` the derivative along tangent `q`, signs `s_qt` and baselines `b_t`, slot `t`'s scalar is
//! ```text
//! scalar_t = b_t + mean_q s_qt (D_q - sum_u s_qu b_u)
//! ```
//! `D_q = sum_u s_qu d_u` with `d_u` the slots' own scalars, and `E[s_qt s_qu]` is 1 for `t = u` and 0 otherwise, so the
//! mean over all signs is `d_t` whatever the baselines are: they are a control variate.

use super::EstimatorState;
use crate::rng::Stream;

/// The weight of the past in a baseline.
pub(super) const DECAY: f64 = 0.95;

/// One slot in the mixture: its name and its signs, `[m][width]` with `width` the number of samples, or 1.
#[derive(Debug, Clone)]
pub struct MixedSlot {
    /// The slot's name.
    pub name: String,
    /// `s_qt`, one row a tangent.
    pub signs: Vec<Vec<f64>>,
}

impl MixedSlot {
    /// A slot with its signs drawn from a step's stream, from the first sample's on.
    pub fn new(name: String, stream: Stream, tangents: usize, (first, width): (usize, usize)) -> Self {
        let stream = stream.named(&stream_name(&name));
        Self { signs: (0..tangents).map(|tangent| stream.at(tangent as u64).after(first).signs(width)).collect(), name }
    }
}

/// The name of a slot's stream: its own, but a block's is `block.J`, as it was when the first runs were recorded; another name would
/// change their draws.
fn stream_name(slot: &str) -> String {
    let block = slot.strip_prefix("blocks.").filter(|block| block.parse::<usize>().is_ok());
    block.map_or_else(|| slot.to_string(), |block| format!("block.{block}"))
}

/// The stream of a step's signs.
pub fn stream(seed: u64, step: u64) -> Stream {
    Stream::new(seed, "mix").at(step)
}

/// Every slot's scalars, `[slots][width]`, from the derivatives along the mixed tangents, `[m][width]`.
pub fn separate(derivatives: &[Vec<f64>], slots: &[MixedSlot], baseline: impl Fn(&str) -> f64) -> Vec<Vec<f64>> {
    let width = derivatives.first().map_or(0, Vec::len);
    let baselines: Vec<f64> = slots.iter().map(|slot| baseline(&slot.name)).collect();
    let unexplained = |tangent: usize, sample: usize| {
        let explained: f64 =
            slots.iter().zip(&baselines).map(|(slot, baseline)| slot.signs[tangent][sample] * baseline).sum();
        derivatives[tangent][sample] - explained
    };
    let rest: Vec<Vec<f64>> =
        (0..derivatives.len()).map(|tangent| (0..width).map(|sample| unexplained(tangent, sample)).collect()).collect();
    let scalars = slots.iter().zip(&baselines).map(|(slot, baseline)| {
        let scalar = |sample: usize| {
            let sum: f64 = rest.iter().zip(&slot.signs).map(|(rest, signs)| signs[sample] * rest[sample]).sum();
            baseline + sum / rest.len() as f64
        };
        (0..width).map(scalar).collect()
    });
    scalars.collect()
}

/// The derivatives that the mixed tangents would have, given every slot's own scalars: `D_q = sum_t s_qt d_t`.
pub fn mixed(scalars: &[Vec<f64>], slots: &[MixedSlot], tangents: usize) -> Vec<Vec<f64>> {
    let width = scalars.first().map_or(0, Vec::len);
    let along = |tangent: usize, sample: usize| {
        slots.iter().zip(scalars).map(|(slot, scalars)| slot.signs[tangent][sample] * scalars[sample]).sum()
    };
    (0..tangents).map(|tangent| (0..width).map(|sample| along(tangent, sample)).collect()).collect()
}

impl EstimatorState {
    /// The baseline of a slot, 0 before its first scalar.
    pub fn baseline(&self, slot: &str) -> f64 {
        self.numbers.get(&baseline_path(slot)).copied().unwrap_or(0.0)
    }

    /// Moves a slot's baseline towards the mean of its new scalars.
    pub fn observe(&mut self, slot: &str, scalars: &[f64]) {
        let mean = scalars.iter().sum::<f64>() / scalars.len().max(1) as f64;
        move_mean(self.numbers.entry(baseline_path(slot)).or_insert(mean), mean);
    }
}

/// Moves a running mean by a new value.
pub(super) fn move_mean(past: &mut f64, new: f64) {
    *past = DECAY * *past + (1.0 - DECAY) * new;
}

/// The place of a slot's baseline in the state.
fn baseline_path(slot: &str) -> String {
    format!("mix.{slot}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_all_signs_is_every_slots_own_scalar_for_any_baseline() {
        let own = [vec![0.7], vec![-2.0], vec![0.1]];
        for baseline in [0.0, 3.5] {
            let mut sums = [0.0; 3];
            for pattern in 0..8u32 {
                let slot = |slot: usize| MixedSlot {
                    name: slot.to_string(),
                    signs: vec![vec![if pattern >> slot & 1 == 0 { 1.0 } else { -1.0 }]],
                };
                let slots: Vec<_> = (0..3).map(slot).collect();
                let scalars = separate(&mixed(&own, &slots, 1), &slots, |_| baseline);
                sums.iter_mut().zip(&scalars).for_each(|(sum, scalar)| *sum += scalar[0] / 8.0);
            }
            for (sum, own) in sums.iter().zip(&own) {
                assert!((sum - own[0]).abs() < 1e-14, "{sum} against {}", own[0]);
            }
        }
    }

    #[test]
    fn exact_baselines_leave_no_noise() {
        let own = [vec![0.7], vec![-2.0]];
        let slots: Vec<_> =
            ["a", "b"].map(|name| MixedSlot::new(name.into(), stream(0, 0), 3, (0, 1))).into_iter().collect();
        let scalars = separate(&mixed(&own, &slots, 3), &slots, |name| if name == "a" { 0.7 } else { -2.0 });
        assert!((scalars[0][0] - 0.7).abs() < 1e-15 && (scalars[1][0] + 2.0).abs() < 1e-15);
    }
}
