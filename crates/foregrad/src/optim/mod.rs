//! How parameters move: update rules, and learning rates over time.

mod optimizer;
mod schedule;

pub use optimizer::{Optimizer, OptimizerConfig, OptimizerKind, clip};
pub use schedule::{Plateau, ScheduleConfig, ScheduleKind};
