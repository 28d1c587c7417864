//! Whether a step measures its target, and the coefficients that guesses keep until the next one does.
//!
//! A guess with a scale of its own need not be measured at every step. With `T` steps from one measurement to the next, step `0, T, 2 T, ..`
//! measures `c = <t, g> / |g|^2` of the raw guess `g` (of several directions `c = (B^T B)^+ b`), and the steps between take `c g`, with
//! their own `g` and the last `c`. Without a projection `c` is 1: local learning for `local`.

use super::engine::Engine;
use super::prepared::Prepared;
use super::stage::Window;
use super::{
    CorrectionScale, EstimatorConfig, EstimatorState, Granularity, Horizon, Mode, Plan, Space, StepOutput, View,
};
use crate::{Error, Result};

impl EstimatorConfig {
    /// Whether any step measures the target: not without a projection, nor along the target itself.
    pub fn is_measured(&self) -> bool {
        self.correct.is_some() || (self.projection && !self.guess.support().is_target)
    }

    /// Whether a step measures it: every so many, and where no coefficient is known yet.
    pub(super) fn is_measured_at(&self, view: &View<'_>, plan: &Plan, step: u64, state: &EstimatorState) -> bool {
        let known = || {
            let slots = (0..plan.estimated).flat_map(|block| view.slots(self.granularity(), block));
            let mut paths = slots.flat_map(|slot| (0..self.directions()).map(move |d| path(&slot.name, d)));
            paths.any(|path| state.numbers.contains_key(&path))
        };
        self.is_measured() && (step.is_multiple_of(self.measure_every) || !known())
    }

    /// Refuses to leave out measurements that a guess cannot do without, and to correct what is none of its estimates.
    pub(super) fn validate_measuring(&self) -> Result<()> {
        if self.measure_every == 0 {
            return Err(Error::out_of_range("estimator.measure-every", 0, "at least 1 step"));
        }
        if self.measure_every > 1 {
            self.validate_lazy()?;
        }
        if !self.projection {
            self.validate_unmeasured()?;
        }
        match self.correct {
            Some(_) => self.validate_correction(),
            None if self.correct_scale != CorrectionScale::Fitted => Err(Error::meaningless(
                "no guess is corrected, so none has a scale",
                "`estimator.correct = gaussian`, or `estimator.correct-scale = fitted`",
            )),
            None => Ok(()),
        }
    }

    fn validate_lazy(&self) -> Result<()> {
        let every = "`estimator.measure-every = 1`";
        if !self.guess.support().is_gradient {
            let reason = format!("a coefficient of the guess `{}` says nothing of the next step's", self.guess);
            return Err(Error::meaningless(reason, format!("`estimator.guess = local`, or {every}")));
        }
        if self.space == Space::Activity && self.granularity() != Granularity::Batch {
            let reason = "the next step has other samples, so a sample's coefficient is of no use to it";
            return Err(Error::meaningless(
                reason,
                format!("`estimator.granularity = batch`, `estimator.space = weight`, or {every}"),
            ));
        }
        if self.mix.is_some() {
            let reason =
                "one mixture's scalar holds every other slot's too, which only a mean over steps takes out of it";
            return Err(Error::meaningless(reason, format!("`estimator.mix = off`, or {every}")));
        }
        if !self.is_measured() || self.correct.is_some() {
            let reason = match self.correct {
                Some(_) => "a correction is of its own step, so every step is measured",
                None => "nothing is measured, at no step",
            };
            return Err(Error::meaningless(reason, every));
        }
        Ok(())
    }

    fn validate_unmeasured(&self) -> Result<()> {
        let name = &self.guess;
        if !self.guess.support().is_gradient || name.is_composite() {
            let reason = format!("the guess `{name}` is no gradient by itself, only a direction to measure along");
            return Err(Error::meaningless(reason, "`estimator.guess = local`, or `estimator.projection = on`"));
        }
        if self.correct.is_none() && self.directions() > 1 {
            let reason = format!("without a projection there is one guess a slot, not {}", self.directions());
            return Err(Error::meaningless(reason, "`estimator.directions = 1`, or `estimator.projection = on`"));
        }
        if self.mix.is_some() {
            let reason = "without a projection no tangent runs, so there is nothing to mix";
            return Err(Error::meaningless(reason, "`estimator.mix = off`, or `estimator.projection = on`"));
        }
        if self.correct.is_some() || self.guess.support().is_target {
            return Ok(());
        }
        // What a measurement is made of, and is asked for in vain.
        let granularity = self.granularity();
        for (is_vain, setting, found, usual) in [
            (self.target != Horizon::GLOBAL, "target", self.target.to_string(), Horizon::GLOBAL.to_string()),
            (granularity.has_parts(), "granularity", granularity.to_string(), Granularity::Sample.to_string()),
            (self.mode == Mode::FiniteDifference, "mode", self.mode.to_string(), Mode::Forward.to_string()),
        ] {
            if is_vain {
                let reason =
                    format!("without a projection nothing is measured, so the {setting} `{found}` says nothing");
                let nearest = format!("`estimator.{setting} = {usual}`, or `estimator.projection = on`");
                return Err(Error::meaningless(reason, nearest));
            }
        }
        Ok(())
    }
}

impl<'a> Engine<'a> {
    /// Adds the update of a block whose guess is not measured in this step.
    pub fn finish_unmeasured(&self, output: &mut StepOutput, prepared: Prepared, window: &Window<'a>) {
        let stage = window.get(prepared.block);
        let samples = stage.map_or(0, |stage| stage.shape[0]);
        let kept = self.keep(prepared, stage);
        match self.config.space {
            Space::Weight => {
                for (slot, own) in kept.slots.iter().enumerate() {
                    self.add_weight(output, &kept, slot, &self.kept_coefficients(&own.name));
                }
            }
            Space::Activity => {
                let coefficients = self.kept_coefficients(&kept.slots[0].name);
                let units = samples * self.config.parts().count();
                self.add_activity(output, &kept, window, &vec![coefficients; units]);
            }
        }
    }

    /// The coefficients of the raw directions of a slot, of the step that measured them, 0 of a guess that was zero there; 1 without any
    /// projection.
    fn kept_coefficients(&self, slot: &str) -> Vec<f64> {
        let kept = |direction| self.state.numbers.get(&path(slot, direction)).copied().unwrap_or(0.0);
        let coefficient = |direction| if self.config.is_measured() { kept(direction) } else { 1.0 };
        (0..self.config.directions()).map(coefficient).collect()
    }

    /// Keeps a slot's coefficients for the steps to come, if those will not measure them; `factors` are what the raw directions were
    /// multiplied by, if they were.
    pub fn keep_coefficients(
        &self,
        output: &mut StepOutput,
        slot: &str,
        coefficients: &[f64],
        factors: Option<&Vec<f64>>,
    ) {
        if self.config.measure_every == 1 {
            return;
        }
        for (direction, coefficient) in coefficients.iter().enumerate() {
            let raw = coefficient * factors.map_or(1.0, |factors| factors[direction]);
            // That of a zero guess would hold the next ones still.
            match raw {
                0.0 => output.state.numbers.remove(&path(slot, direction)),
                _ => output.state.numbers.insert(path(slot, direction), raw),
            };
        }
    }
}

/// The place of a coefficient in the state.
fn path(slot: &str, direction: usize) -> String {
    format!("kept.{slot}.{direction}")
}
