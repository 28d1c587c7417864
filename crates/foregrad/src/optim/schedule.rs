//! Learning-rate schedules. To add one: a variant, its formula, its name beside it.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, names, settings};

names! {
    /// How the rate changes over a run.
    "schedule" pub enum ScheduleKind {
        /// The initial rate throughout.
        Constant = "constant",
        /// Times gamma every so many epochs (the paper's).
        Step = "step",
        /// Times gamma after each of the milestones, which are parts of the run.
        Milestones = "milestones",
        /// Half a cosine down to the floor.
        Cosine = "cosine",
        /// A straight line down to the floor.
        Linear = "linear",
        /// Up to the rate over 30 % of the run, then down to nearly 0, along cosines.
        OneCycle = "one-cycle",
        /// Times gamma when the loss stops improving.
        Plateau = "plateau",
    }
}

settings! {
    /// A schedule's settings.
    pub struct ScheduleConfig {
        /// Learning rate over time.
        kind: ScheduleKind = ScheduleKind::Constant => flag("schedule", "NAME"),
        /// Epochs between two steps of the schedule `step`.
        every: u64 = 30 => flag("schedule-every", "N"),
        /// Parts of the run after which the schedule `milestones` lowers the rate (Nokland and Eidnes', by default).
        milestones: Vec<f64> = vec![0.5, 0.75, 0.875, 0.9375] => flag("milestones", "PARTS"),
        /// Factor of a step, a milestone or a plateau.
        gamma: f64 = 0.2 => flag("gamma", "G"),
        /// Epochs without improvement that a plateau allows; the next one lowers the rate.
        patience: u64 = 10 => flag("patience", "N"),
        /// The factor on the initial rate at which cosine and linear end.
        floor: f64 = 0.0 => flag("floor", "F"),
        /// Epochs over which the rate rises in a straight line; the first step is above 0 already.
        warm_up: f64 = 0.0 => flag("warm-up", "N"),
    }
}

/// What a plateau schedule carries from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The best loss so far; none before the first epoch.
    #[serde(default, with = "crate::numbers::optional")]
    pub best: Option<f64>,
    /// Epochs since then.
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
    ///
    /// # Panics
    /// If the schedule is `step`, and `per_epoch` or its `every` is 0.
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
            ScheduleKind::Milestones => {
                let passed = self.milestones.iter().filter(|part| step as f64 >= (*part * total).round());
                self.gamma.powi(passed.count() as i32)
            }
            ScheduleKind::Cosine => cosine(1.0, self.floor, part),
            ScheduleKind::Linear => 1.0 - (1.0 - self.floor) * part,
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
            return Err(Error::out_of_range("schedule.every", 0, "at least 1 epoch"));
        }
        if let Some(wrong) = self.milestones.iter().find(|part| !(0.0..=1.0).contains(*part)) {
            return Err(Error::out_of_range("schedule.milestones", wrong, "parts of the run, from 0 to 1"));
        }
        if !(self.gamma > 0.0 && self.gamma <= 1.0) {
            return Err(Error::out_of_range("schedule.gamma", self.gamma, "a factor above 0, at most 1"));
        }
        if !(0.0..=1.0).contains(&self.floor) {
            return Err(Error::out_of_range("schedule.floor", self.floor, "a factor from 0 to 1"));
        }
        if !(self.warm_up >= 0.0 && self.warm_up.is_finite()) {
            return Err(Error::out_of_range("schedule.warm-up", self.warm_up, "a number of epochs, not below 0"));
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
    fn milestones_are_parts_of_the_run() {
        let config = ScheduleConfig { kind: ScheduleKind::Milestones, gamma: 0.25, ..Default::default() };
        // Nokland and Eidnes: after 200, 300, 350 and 375 of 400 epochs.
        let factors = [199, 200, 299, 300, 350, 374, 375, 399].map(|epoch| {
            let step = epoch * 391;
            config.factor(step, 391, 400, &Plateau::default())
        });
        assert_eq!(factors, [1.0, 0.25, 0.25, 0.0625, 0.015625, 0.015625, 0.00390625, 0.00390625]);
        let wrong = ScheduleConfig { milestones: vec![0.5, 1.5], ..config };
        assert!(wrong.validate().expect_err("beyond the run").to_string().contains("schedule.milestones is 1.5"));
    }

    #[test]
    fn cosine_and_linear_go_down_to_the_floor() {
        for kind in [ScheduleKind::Cosine, ScheduleKind::Linear] {
            let config = ScheduleConfig { kind, floor: 0.2, ..Default::default() };
            let factors = [0, 50, 100].map(|step| config.factor(step, 10, 10, &Plateau::default()));
            for (factor, expected) in factors.into_iter().zip([1.0, 0.6, 0.2]) {
                assert!((factor - expected).abs() < 1e-12, "{kind}: {factor}, not {expected}");
            }
        }
        assert!(ScheduleConfig { floor: 1.5, ..Default::default() }.validate().is_err());
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
}
