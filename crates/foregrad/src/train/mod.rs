//! Training: optimisers, schedules, checkpoints, metrics and the loop around [`crate::estimate::step`].

mod checkpoint;
mod config;
mod control;
mod evaluate;
mod events;
mod folder;
mod metrics;
mod observer;
mod optimizer;
mod probe;
mod run;
mod schedule;
mod timetable;
pub mod weights;

pub use checkpoint::{Checkpoint, FORMAT_VERSION, Loaded};
pub use config::{DataConfig, Difference, RunConfig};
pub use control::Control;
pub use evaluate::{evaluate, evaluate_pausing};
pub use folder::RunFolder;
pub use metrics::{EpochRecord, Score, Tally, peak_memory};
pub use observer::{Observer, Outcome, Silent, StepReport};
pub use optimizer::{Optimizer, OptimizerConfig, OptimizerKind, clip};
pub use probe::{BlockProbe, ProbeRecord, probe};
pub use run::{Changes, Trainer, network_for};
pub use schedule::{Plateau, SCHEDULES, ScheduleConfig, ScheduleKind};
