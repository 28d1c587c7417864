//! Training: optimisers, schedules, checkpoints, metrics and the loop around [`crate::estimate::step`].

mod checkpoint;
mod config;
mod evaluate;
mod events;
mod folder;
mod inputs;
mod metrics;
mod optimizer;
mod probe;
mod run;
mod schedule;
pub mod weights;

pub use checkpoint::{Checkpoint, FORMAT_VERSION, Loaded};
pub use config::{DataConfig, RunConfig};
pub use evaluate::evaluate;
pub use folder::RunFolder;
pub use inputs::{read_batch, read_guesses};
pub use metrics::{EpochRecord, Score, Tally, peak_memory};
pub use optimizer::{Optimizer, OptimizerConfig, OptimizerKind, clip};
pub use probe::{BlockProbe, ProbeRecord, probe};
pub use run::{Changes, Observer, Outcome, Silent, StepReport, Trainer, network_for};
pub use schedule::{Plateau, SCHEDULES, ScheduleConfig, ScheduleKind};
