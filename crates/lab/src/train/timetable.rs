//! When checkpoints are due inside an epoch.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::RunConfig;

/// Checkpoints by steps and by minutes.
#[derive(Debug)]
pub struct Timetable {
    steps: u64,
    period: Option<Duration>,
    written: Cell<Instant>,
}

impl Timetable {
    /// A run's timetable; its minutes count from now.
    pub fn new(config: &RunConfig, now: Instant) -> Self {
        let period = Duration::from_secs_f64(60.0 * config.checkpoint_minutes);
        Self {
            steps: config.checkpoint_steps,
            period: Some(period).filter(|period| !period.is_zero()),
            written: Cell::new(now),
        }
    }

    /// Whether the number of steps done asks for a checkpoint.
    pub fn is_due_at(&self, step: u64) -> bool {
        self.steps > 0 && step.is_multiple_of(self.steps)
    }

    /// Whether the last checkpoint is too long ago.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.period.is_some_and(|period| now.saturating_duration_since(self.written.get()) >= period)
    }

    /// A checkpoint was written, whatever for.
    pub fn written(&self, now: Instant) {
        self.written.set(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(steps: u64, minutes: f64, now: Instant) -> Timetable {
        let config = RunConfig { checkpoint_steps: steps, checkpoint_minutes: minutes, ..Default::default() };
        Timetable::new(&config, now)
    }

    #[test]
    fn steps_and_minutes_are_counted_apart() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let both = timetable(3, 2.0, now);
        assert_eq!([1, 3, 4, 6].map(|step| both.is_due_at(step)), [false, true, false, true]);
        assert_eq!([0, 119, 120].map(|seconds| both.is_overdue(after(seconds))), [false, false, true]);
        both.written(after(100));
        assert_eq!([120, 219, 220].map(|seconds| both.is_overdue(after(seconds))), [false, false, true]);
        let none = timetable(0, 0.0, now);
        assert!(!none.is_due_at(3) && !none.is_overdue(after(1_000_000)));
    }
}
