//! A method's steps, measured by this process alone or by all ranks of a job.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::DType;
use foregrad::account;
use foregrad::rng::Placement;
use foregrad_kernels::operations;
use foregrad_lab::ranks::Team;

use super::MeasureTask;
use super::case::Case;
use super::memory::Account;
use super::report::Measurement;
use crate::{Exit, device, machine, output};

/// Measures a method in this process, and prints what was measured.
pub fn measure_one(task: &MeasureTask) -> Result<Exit> {
    device::set_threads(task.config.threads)?;
    output::line(serde_json::to_string(&measure(task, &Team::default())?)?)?;
    Ok(Exit::Done)
}

/// Runs a method's steps, and only them: of all ranks together, one beginning when the slowest has ended the last.
pub(super) fn measure(task: &MeasureTask, team: &Team) -> Result<Measurement> {
    let MeasureTask { row, config, steps, warm_up, .. } = task;
    let placement = device::placement(&config.device, DType::F32)?;
    let (program, files) = (machine::resident_memory(), machine::file_memory());
    if task.memory {
        account::open();
    }
    let mut case = Case::new(task, team.clone(), &placement)?;
    // Of a method whose steps differ, a step is the mean over as many as come round again.
    let period = case.period();
    let mut seconds = Vec::new();
    let (mut counted, mut sent, mut last) = (0, 0, 0);
    for turn in 0..u64::from(warm_up + steps) {
        team.wait()?;
        operations::take();
        last = account::length();
        let (began, before) = (Instant::now(), team.sent());
        (turn * period..(turn + 1) * period).try_for_each(|step| case.once(step))?;
        finish(&placement)?;
        if turn >= u64::from(*warm_up) {
            seconds.push(began.elapsed().as_secs_f64() / period as f64);
        }
        (counted, sent) = (operations::take() / period, (team.sent() - before).div_ceil(period));
    }
    let movements = account::close().context("a step makes more arrays than an account has lines for")?;
    let peak_memory = machine::peak_memory();
    let program = [program, machine::file_memory().saturating_sub(files)];
    let account = task.memory.then(|| Account::new(&movements, last..movements.len(), program, peak_memory));
    let seconds = team.largest(seconds)?;
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    Ok(Measurement {
        row: row.clone(),
        median_seconds: sorted[sorted.len() / 2],
        minimum_seconds: sorted[0],
        seconds,
        operations: team.sum(vec![counted as f64])?[0] as u64,
        peak_memory: Some(team.largest(vec![peak_memory as f64])?[0] as u64),
        fraction_of_peak: None,
        bytes_a_step: (!team.is_alone()).then(|| team.most_sent(sent)).transpose()?,
        account,
    })
}

/// Waits until a device has done all it was asked.
fn finish(placement: &Placement) -> Result<()> {
    placement.device.sync().map_err(|error| anyhow::anyhow!("the device failed: {error:?}"))
}
