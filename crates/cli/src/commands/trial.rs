//! What a run's steps take, measured for its budget in a process of its own.

use anyhow::Result;
use burn::tensor::DType;
use foregrad::Error;
use foregrad_kernels::operations;
use foregrad_lab::train::{self, Observer, RunConfig, Trial};

use super::work;
use crate::{Exit, device, machine, output, process};

/// Measures in a new process.
fn in_child(config: &RunConfig) -> foregrad::Result<Trial> {
    let measured = process::result_of(&work::Task::Trial(Box::new(config.clone())));
    measured.map_err(|error| Error::Worker(format!("what a step takes was not measured: {error:#}")))
}

/// Measures in this process, and prints what was measured.
pub fn run(config: &RunConfig) -> Result<Exit> {
    device::set_threads(config.threads)?;
    let placement = device::placement(&config.device, DType::F32)?;
    output::line(serde_json::to_string(&train::trial(config, placement, &mut Meter)?)?)?;
    Ok(Exit::Done)
}

/// Measures, and says nothing.
pub struct Meter;

impl Observer for Meter {
    fn peak_memory(&self) -> u64 {
        machine::peak_memory()
    }

    fn operations(&self) -> u64 {
        operations::take()
    }

    fn trial(&self, config: &RunConfig) -> foregrad::Result<Trial> {
        in_child(config)
    }
}
