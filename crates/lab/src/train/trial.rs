//! What a run's steps take, before it is run.

use super::settings::prepared;
use super::{Control, Observer, RunConfig};
use crate::{Error, Result};
use foregrad::rng::Placement;
use serde::{Deserialize, Serialize};

/// Rounds that are timed, after one that is not; a round has as many steps as come round again.
const ROUNDS: usize = 4;

/// What a run's steps take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Training images an epoch.
    pub images: u64,
    /// Operations a step, products only; 0 where they are not counted.
    pub operations: u64,
    /// Seconds a step.
    pub seconds: f64,
    /// The process's largest resident memory, bytes; 0 where it is not known.
    pub peak_memory: u64,
}

/// Does a run's first steps in memory, all with its first batch, and says what they took: operations and seconds of a step with the
/// update, memory with the data set. It writes nothing.
///
/// # Errors
/// Settings that have no meaning, data that cannot be loaded, a loss or update that is not finite.
pub fn trial(config: &RunConfig, placement: Placement, observer: &mut dyn Observer) -> Result<Trial> {
    let config = RunConfig { probe_every: 0, budget: Default::default(), ..config.clone() };
    let mut trainer = prepared(&config, None, &placement)?.start()?;
    let batch = trainer.batches()?.next().transpose()?;
    let batch = batch.ok_or_else(|| Error::out_of_range("batch", config.batch, "one that the data fill"))?;
    let period = config.estimator.measure_every;
    let (mut seconds, mut operations) = (Vec::new(), 0);
    for _ in 0..=ROUNDS {
        let before = (trainer.position.seconds, trainer.position.operations);
        for _ in 0..period {
            trainer.step(batch.clone(), &Control::default(), observer)?;
        }
        seconds.push((trainer.position.seconds - before.0) / period as f64);
        operations = (trainer.position.operations - before.1) / period;
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    Ok(Trial {
        images: trainer.data.train.len() as u64,
        operations,
        seconds: seconds[ROUNDS / 2],
        peak_memory: observer.peak_memory(),
    })
}
