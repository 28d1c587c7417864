//! Training: a run's settings, folder, checkpoints, metrics and probes, and the loop around [`foregrad::estimate::step`].

mod budget;
mod builder;
mod checkpoint;
mod config;
mod control;
mod evaluate;
mod events;
mod folder;
mod metrics;
mod observer;

mod probe;
mod run;
mod settings;
mod shared;

mod timetable;
mod trial;

pub use budget::BudgetConfig;
pub use builder::TrainerBuilder;
pub use checkpoint::{Checkpoint, FORMAT_VERSION, Loaded};
pub use config::{DataConfig, Difference, FREE, RunConfig};
pub use control::Control;
pub use evaluate::{data_for, evaluate, evaluate_pausing};
pub use folder::RunFolder;
pub use metrics::{EpochRecord, Score, Tally, of_network};
pub use observer::{Observer, Outcome, Silent, StepReport};

pub use probe::{BlockProbe, ProbeRecord, probe};
pub use run::Trainer;
pub use settings::{Changes, network_for};
pub use trial::{Trial, trial};
