//! Learning-rate schedules. To add one: a variant, its formula, and a line in [`SCHEDULES`].

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the rate changes over a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The initial rate throughout.
    #[default]
    Constant,
    /// Times `gamma` every `every` epochs.
    Step,
    /// Half a cosine down to 0.
    Cosine,
    /// A straight line down to 0.
    Linear,
    /// Up to the rate over 30 % of the run, then down to nearly 0, along cosines.
    OneCycle,
    /// Times `gamma` when the loss has not improved for `patience` epochs.
    Plateau,
}

/// The schedules by name, each with what it is.
pub const SCHEDULES: &[(&str, ScheduleKind, &str)] = &[
    ("constant", ScheduleKind::Constant, "the initial rate throughout"),
    ("step", ScheduleKind::Step, "times gamma every so many epochs (the paper's)"),
    ("cosine", ScheduleKind::Cosine, "half a cosine down to 0"),
    ("linear", ScheduleKind::Linear, "a straight line down to 0"),
    ("one-cycle", ScheduleKind::OneCycle, "up over 30 % of the run, then down to nearly 0"),
    ("plateau", ScheduleKind::Plateau, "times gamma when the loss stops improving"),
];

impl std::str::FromStr for ScheduleKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names: Vec<_> = SCHEDULES.iter().map(|(name, ..)| *name).collect();
        let found = SCHEDULES.iter().find(|(name, ..)| *name == text);
        found.map(|(_, kind, _)| *kind).ok_or_else(|| Error::unknown_name("schedule", text, &names))
    }
}

/// A schedule's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScheduleConfig {
    /// Which schedule.
    pub kind: ScheduleKind,
    /// Epochs between two steps.
    pub every: u64,
    /// The factor of a step, or of a plateau.
    pub gamma: f64,
    /// Epochs without improvement that make a plateau.
    pub patience: u64,
    /// Epochs of a straight line up at the beginning; the first step has the first rate above 0.
    pub warm_up: f64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { kind: ScheduleKind::Constant, every: 30, gamma: 0.2, patience: 10, warm_up: 0.0 }
    }
}

/// What a plateau schedule carries from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The best loss so far; none before the first epoch.
    #[serde(default, with = "crate::numbers::optional")]
    pub best: Option<f64>,
    /// Epochs since.
    pub waited: u64,
    /// The factor on the rate.
    #[serde(with = "crate::numbers")]
    pub factor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { best: None, waited: 0, factor: 1.0 }
    }
}

impl Plateau {
    /// The state after an epoch with a given loss; a loss must be 0.01 % lower to count as better (as in PyTorch).
    pub fn observe(self, loss: f64, config: &ScheduleConfig) -> Self {
        if self.best.is_none_or(|best| loss < best * (1.0 - 1e-4)) {
            return Self { best: Some(loss), waited: 0, ..self };
        }
        let waited = self.waited + 1;
        if waited > config.patience {
            return Self { waited: 0, factor: self.factor * config.gamma, ..self };
        }
        Self { waited, ..self }
    }
}

impl ScheduleConfig {
    /// The factor on the initial rate at a step (from 0) of a run of `epochs`, each of `per_epoch` steps.
    pub fn factor(&self, step: u64, per_epoch: u64, epochs: u64, plateau: &Plateau) -> f64 {
        let total = (per_epoch * epochs) as f64;
        let part = (step as f64 / total).clamp(0.0, 1.0);
        // The last step has the last rate, as in PyTorch.
        let cycle = (step as f64 / (total - 1.0).max(1.0)).clamp(0.0, 1.0);
        let cosine =
            |from: f64, to: f64, part: f64| to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
        let factor = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Step => self.gamma.powi((step / per_epoch / self.every) as i32),
            ScheduleKind::Cosine => cosine(1.0, 0.0, part),
            ScheduleKind::Linear => 1.0 - part,
            ScheduleKind::OneCycle if cycle < 0.3 => cosine(1.0 / 25.0, 1.0, cycle / 0.3),
            ScheduleKind::OneCycle => cosine(1.0, 1.0 / 250_000.0, (cycle - 0.3) / 0.7),
            ScheduleKind::Plateau => plateau.factor,
        };
        let warming_steps = self.warm_up * per_epoch as f64;
        let warming = if warming_steps > 0.0 { ((step + 1) as f64 / warming_steps).min(1.0) } else { 1.0 };
        factor * warming
    }

    /// Refuses settings outside their ranges.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        if self.every == 0 {
            return Err(Error::out_of_range("--schedule-every", 0, "at least 1 epoch"));
        }
        if !(self.gamma > 0.0 && self.gamma <= 1.0) {
            return Err(Error::out_of_range("--gamma", self.gamma, "a factor above 0, at most 1"));
        }
        if !(self.warm_up >= 0.0 && self.warm_up.is_finite()) {
            return Err(Error::out_of_range("--warm-up", self.warm_up, "a number of epochs, not below 0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a run of ten epochs of ten steps.
    fn factor(kind: ScheduleKind, step: u64) -> f64 {
        ScheduleConfig { kind, every: 2, ..Default::default() }.factor(step, 10, 10, &Plateau::default())
    }

    #[test]
    fn schedules_pass_through_their_exact_points() {
        use ScheduleKind::*;
        let points = [
            (Constant, 90, 1.0),
            (Step, 19, 1.0),
            (Step, 20, 0.2),
            (Step, 45, 0.04),
            (Cosine, 0, 1.0),
            (Cosine, 50, 0.5),
            (Cosine, 100, 0.0),
            (Linear, 25, 0.75),
            (OneCycle, 0, 0.04),
            (OneCycle, 99, 4e-6),
        ];
        for (kind, step, expected) in points {
            assert!((factor(kind, step) - expected).abs() < 1e-12, "{kind:?} at {step}");
        }
    }

    #[test]
    fn warming_up_is_a_straight_line() {
        let config = ScheduleConfig { warm_up: 4.0, ..Default::default() };
        let factors = [0, 9, 39, 60].map(|step| config.factor(step, 10, 10, &Plateau::default()));
        assert_eq!(factors, [0.025, 0.25, 1.0, 1.0], "the first step moves already");
    }

    #[test]
    fn a_plateau_waits_and_then_lowers_the_rate() {
        let config = ScheduleConfig { kind: ScheduleKind::Plateau, patience: 1, gamma: 0.5, ..Default::default() };
        let losses = [1.0, 0.9, 0.95, 0.95, 0.5];
        let factors: Vec<f64> = losses
            .iter()
            .scan(Plateau::default(), |plateau, loss| {
                *plateau = plateau.observe(*loss, &config);
                Some(plateau.factor)
            })
            .collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5]);
    }

    #[test]
    fn every_name_parses_to_its_schedule() {
        for (name, kind, _) in SCHEDULES {
            assert_eq!(name.parse::<ScheduleKind>().expect("a schedule"), *kind);
        }
    }
}
