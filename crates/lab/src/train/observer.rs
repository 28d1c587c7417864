//! What a run reports while it trains, and how it ends; the library prints nothing itself.

use std::path::{Path, PathBuf};

use super::{EpochRecord, ProbeRecord, RunConfig, Trial};
use crate::{Error, Result};

/// What a run reports to.
pub trait Observer {
    /// After every step.
    fn step(&mut self, _report: &StepReport) {}
    /// After every probe.
    fn probe(&mut self, _record: &ProbeRecord) {}
    /// After every epoch.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// After a checkpoint that was asked for.
    fn checkpoint(&mut self, _path: &Path) {}
    /// The process's largest resident memory so far, bytes, for the records; 0 where it is not known. Only a program knows its
    /// machine.
    fn peak_memory(&self) -> u64 {
        0
    }
    /// The operations that this process has counted since it was last asked, products only; 0 where nobody counts.
    fn operations(&self) -> u64 {
        0
    }
    /// What a run's steps take, measured where their memory is their own; asked before the first step of a run with a budget.
    ///
    /// # Errors
    /// Whatever keeps the steps from being done; by default, that this observer does not measure.
    fn trial(&self, _config: &RunConfig) -> Result<Trial> {
        Err(Error::out_of_range("budget", "given", "none: this program does not measure what a step takes"))
    }
}

/// An observer that says nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A step that is done.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// The epoch under way, from 0.
    pub epoch: u64,
    /// Steps done, and steps of the whole run.
    pub steps: [u64; 2],
    /// Images a step.
    pub batch: usize,
    /// The network's loss on the batch.
    pub loss: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All epochs are done; the last one's record.
    Done(Box<EpochRecord>),
    /// It was asked to stop, and wrote this checkpoint; none without a folder, where it goes on if it is run again.
    Stopped(Option<PathBuf>),
    /// Another process has taken over its folder; it wrote nothing more.
    Abandoned,
}
