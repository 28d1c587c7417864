//! What a run may cost, turned into epochs and a batch before its first step.
//!
//! With `c` the cost of a step (operations, or seconds) as a [`Trial`] shows it, and `s` steps an epoch,
//! ```text
//! epochs = floor(budget / (s c))        batch = the largest whose steps stay within the memory, `batch` at most
//! ```
//! The numbers that come out are written into the run's settings, so that neither its bits nor its resuming hang on a clock.

use super::config::MOST_EPOCHS;
use super::{Observer, RunConfig, Trial};
use crate::{Error, Result};
use foregrad::settings;

/// Bytes of a MiB.
const MIB: f64 = (1 << 20) as f64;

settings! {
    /// What a run may cost.
    pub struct BudgetConfig {
        /// Floating-point operations of all training steps, products only: as many epochs as fit, in place of `epochs`.
        flop: Option<f64> = None => flag("budget-flop", "N"),
        /// Seconds of all training steps, timed before the first: as many epochs as fit, in place of `epochs`.
        seconds: Option<f64> = None => flag("budget-seconds", "S"),
        /// MiB of resident memory, measured before the first step: the largest batch that fits, `batch` at most.
        memory: Option<f64> = None => flag("budget-memory", "MIB"),
        /// The budget that `epochs` and `batch` were found for.
        met: String = String::new() => file,
    }
}

impl BudgetConfig {
    /// Whether it decides on the number of epochs.
    pub fn decides_epochs(&self) -> bool {
        self.flop.is_some() || self.seconds.is_some()
    }

    /// Whether `epochs` and `batch` are what it allows, as those of a run without a budget are.
    pub fn is_met(&self) -> bool {
        !(self.decides_epochs() || self.memory.is_some()) || self.met == self.limits()
    }

    /// Its limits as text.
    fn limits(&self) -> String {
        let limit = |(name, limit): (&str, Option<f64>)| limit.map(|limit| format!("{name} {limit}"));
        let all = [("flop", self.flop), ("seconds", self.seconds), ("memory", self.memory)];
        all.into_iter().filter_map(limit).collect::<Vec<_>>().join(", ")
    }

    /// Refuses limits that are no amounts.
    pub(super) fn validate(&self) -> Result<()> {
        let all = [("budget.flop", self.flop), ("budget.seconds", self.seconds), ("budget.memory", self.memory)];
        let wrong = |limit: &f64| !(*limit > 0.0 && limit.is_finite());
        match all.into_iter().find_map(|(name, limit)| Some((name, limit.filter(wrong)?))) {
            Some((name, limit)) => Err(Error::out_of_range(name, limit, "a number above 0")),
            None => Ok(()),
        }
    }
}

impl RunConfig {
    /// The settings with the epochs and the batch that their budget allows; themselves if these were found already, or without a budget.
    ///
    /// # Errors
    /// Settings that have no meaning; a budget too small for one epoch, or for a step with one image; an observer that does not measure.
    pub fn within_budget(&self, observer: &dyn Observer) -> Result<Self> {
        if self.budget.is_met() {
            return Ok(self.clone());
        }
        self.validate()?;
        let mut config = self.clone();
        let fit = match self.budget.memory {
            Some(memory) => self.largest_batch(memory, observer)?,
            None => Fit { batch: self.batch, trial: observer.trial(self)? },
        };
        config.batch = fit.batch;
        if self.budget.decides_epochs() {
            config.epochs = self.budget.epochs(&fit)?;
        }
        config.budget.met = config.budget.limits();
        Ok(config)
    }

    /// Takes over what was found for the same budget: a run that goes on does not measure again.
    pub fn adopt_budget(&mut self, found: &Self) {
        if self.budget.is_met() || !found.budget.is_met() || self.budget.limits() != found.budget.limits() {
            return;
        }
        self.budget.met.clone_from(&found.budget.met);
        if self.budget.decides_epochs() {
            self.epochs = found.epochs;
        }
        if self.budget.memory.is_some() {
            self.batch = found.batch;
        }
    }

    /// Doubles the batch as long as its steps fit, then halves the gap: no trial is much larger than what fits.
    fn largest_batch(&self, memory: f64, observer: &dyn Observer) -> Result<Fit> {
        // A batch is as many images a part.
        let parts = self.micro_batches;
        let tried = |each: usize| -> Result<Fit> {
            let batch = each * parts;
            let trial = observer.trial(&Self { batch, ..self.clone() })?;
            check_counted("budget.memory", trial.peak_memory)?;
            Ok(Fit { batch, trial })
        };
        let fits = |fit: &Fit| fit.trial.peak_memory as f64 <= memory * MIB;
        let mut best = tried(1)?;
        if !fits(&best) {
            let least = (best.trial.peak_memory as f64 / MIB).ceil();
            let smallest = if parts == 1 { "one image".into() } else { format!("an image in each of {parts} parts") };
            let expected = format!("at least {least:.0} MiB, which a step with {smallest} takes");
            return Err(Error::out_of_range("budget.memory", memory, expected));
        }
        let (mut fitting, mut too_large) = (1, self.batch / parts + 1);
        while fitting + 1 < too_large {
            let middle = fitting.midpoint(too_large).min(2 * fitting);
            let next = tried(middle)?;
            if fits(&next) { (best, fitting) = (next, middle) } else { too_large = middle }
        }
        Ok(best)
    }
}

/// A batch, and what its steps take.
struct Fit {
    batch: usize,
    trial: Trial,
}

impl BudgetConfig {
    /// The epochs that fit.
    fn epochs(&self, fit: &Fit) -> Result<u64> {
        let Fit { batch, trial } = fit;
        let steps = trial.images / *batch as u64;
        let fitting = |name: &str, limit: Option<f64>, cost: f64| -> Result<Option<f64>> {
            let Some(limit) = limit else { return Ok(None) };
            let epoch = steps as f64 * cost;
            let epochs = (limit / epoch).floor();
            if epochs < 1.0 {
                let expected = format!("at least {}, which an epoch of {steps} steps takes", rounded_up(epoch));
                return Err(Error::out_of_range(name, limit, expected));
            }
            Ok(Some(epochs))
        };
        if self.flop.is_some() {
            check_counted("budget.flop", trial.operations)?;
        }
        let by_operations = fitting("budget.flop", self.flop, trial.operations as f64)?;
        let by_seconds = fitting("budget.seconds", self.seconds, trial.seconds)?;
        let epochs = by_operations.into_iter().chain(by_seconds).fold(f64::INFINITY, f64::min);
        Ok(epochs.min(MOST_EPOCHS as f64) as u64)
    }
}

/// Refuses a budget of what nobody counts.
fn check_counted(name: &str, counted: u64) -> Result<()> {
    let expected = "no such budget: it is not measured here";
    if counted == 0 { Err(Error::out_of_range(name, "given", expected)) } else { Ok(()) }
}

/// Three digits that are not less than the value, for people.
fn rounded_up(value: f64) -> String {
    let unit = 10f64.powf(value.log10().floor() - 2.0);
    let rounded = (value / unit).ceil() * unit;
    if (0.01..1e6).contains(&rounded) {
        format!("{rounded:.4}").trim_end_matches('0').trim_end_matches('.').into()
    } else {
        format!("{rounded:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 images; a step takes 2 operations, 0.01 seconds and a MiB an image, and 50 MiB besides.
    struct Bench(std::cell::RefCell<Vec<usize>>);

    impl Observer for Bench {
        fn trial(&self, config: &RunConfig) -> Result<Trial> {
            self.0.borrow_mut().push(config.batch);
            let batch = config.batch as u64;
            Ok(Trial {
                images: 1000,
                operations: 2 * batch,
                seconds: 0.01 * config.batch as f64,
                peak_memory: (50 + batch) << 20,
            })
        }
    }

    fn config(budget: BudgetConfig) -> RunConfig {
        RunConfig { batch: 100, epochs: 77, budget, ..Default::default() }
    }

    fn found(budget: BudgetConfig) -> Result<RunConfig> {
        config(budget).within_budget(&Bench(Default::default()))
    }

    #[test]
    fn epochs_are_as_many_as_every_limit_allows() {
        let epochs = |flop, seconds| found(BudgetConfig { flop, seconds, ..Default::default() }).expect("room").epochs;
        assert_eq!([epochs(Some(2000.0), None), epochs(Some(7999.0), None)], [1, 3]);
        assert_eq!(
            [epochs(None, Some(45.0)), epochs(Some(1e9), Some(45.0)), epochs(Some(4000.0), Some(45.0))],
            [4, 4, 2]
        );
        assert_eq!(epochs(Some(1e300), None), MOST_EPOCHS);
        let same = found(BudgetConfig::default()).expect("no budget");
        assert_eq!(same, config(BudgetConfig::default()));
    }

    #[test]
    fn the_batch_is_the_largest_that_fits_and_no_larger_one_than_twice_that_is_tried() {
        for (memory, batch) in [(51.0, 1), (52.5, 2), (99.0, 49), (149.9, 99), (150.0, 100), (1e9, 100)] {
            let bench = Bench(Default::default());
            let found = config(BudgetConfig { memory: Some(memory), ..Default::default() }).within_budget(&bench);
            let found = found.expect("room");
            assert_eq!((found.batch, found.epochs), (batch, 77), "{memory} MiB");
            assert!(bench.0.borrow().iter().all(|tried| *tried <= 2 * batch), "{:?}", bench.0);
        }
        // Both at once: with 49 images 20 steps are an epoch, of 98 operations each.
        let both = BudgetConfig { memory: Some(99.0), flop: Some(2.0 * 20.0 * 98.0), ..Default::default() };
        let found = found(both).expect("room");
        assert_eq!((found.batch, found.epochs), (49, 2));
    }

    #[test]
    fn budgets_without_room_say_what_it_takes() {
        let refused = |budget: BudgetConfig, words: &str| {
            let error = found(budget).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        let flop = |flop| BudgetConfig { flop: Some(flop), ..Default::default() };
        refused(flop(1999.0), "budget.flop is 1999; expected at least 2000, which an epoch of 10 steps takes");
        refused(flop(0.0), "budget.flop is 0; expected a number above 0");
        refused(flop(f64::NAN), "budget.flop is NaN");
        let seconds = BudgetConfig { seconds: Some(1.0), ..Default::default() };
        refused(seconds, "budget.seconds is 1; expected at least 10, which");
        let memory = BudgetConfig { memory: Some(50.5), ..Default::default() };
        refused(memory, "budget.memory is 50.5; expected at least 51 MiB, which a step with one image takes");
        let unmeasured = config(flop(1.0)).within_budget(&super::super::Silent).expect_err("nobody measures");
        assert!(unmeasured.to_string().contains("does not measure"), "{unmeasured}");
    }

    #[test]
    fn what_was_found_is_kept_until_the_budget_changes() {
        let bench = Bench(Default::default());
        let asked = config(BudgetConfig { flop: Some(7000.0), memory: Some(99.0), ..Default::default() });
        let found = asked.within_budget(&bench).expect("room");
        assert!(found.budget.is_met() && !asked.budget.is_met());
        let read = RunConfig::from_toml(&found.to_toml()).expect("settings");
        let tries = bench.0.borrow().len();
        assert_eq!(read.within_budget(&bench).expect("found already"), found);
        assert_eq!(bench.0.borrow().len(), tries, "nothing is measured again");
        assert_eq!(asked.differences(&found), [], "what was found for it is no other setting");
        let mut again = asked.clone();
        again.adopt_budget(&found);
        assert_eq!(again, found);
        let mut other = RunConfig { budget: BudgetConfig { flop: Some(8000.0), ..asked.budget.clone() }, ..asked };
        other.adopt_budget(&found);
        assert!(!other.budget.is_met());
        let changed = RunConfig { budget: BudgetConfig { flop: Some(1e6), ..read.budget.clone() }, ..read };
        assert!(!changed.budget.is_met() && changed.within_budget(&bench).expect("room").epochs > found.epochs);
    }

    #[test]
    fn what_it_takes_is_never_rounded_below() {
        for value in [2000.0, 1234.5, 0.12349, 0.000123456, 9.999, 1e15 + 1.0, 3.0] {
            let rounded: f64 = rounded_up(value).parse().expect("a number");
            assert!(rounded >= value && rounded <= 1.011 * value, "{value}: {rounded}");
        }
    }
}
