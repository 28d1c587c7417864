//! One piece of work in a process of its own, so that its memory is its own and a crash takes nothing with it: what a study, a bench
//! and an estimate start again for each run and method. The task is a line of JSON on standard input, and the end of that input
//! is the end of the parent: no child outlives it for long.

use std::io::BufRead;

use anyhow::{Context, Result};
use clap::Args;
use foregrad_lab::ranks::Team;
use serde::{Deserialize, Serialize};

use super::{bench, study, trial};
use crate::job::Job;
use crate::{Exit, process};

/// The name of the command, which help does not show.
pub const NAME: &str = "work";

/// What there is to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// A run of a study.
    Run(Box<study::RunTask>),
    /// Measure what a run will take.
    Estimate(Box<foregrad_lab::train::RunConfig>),
    /// Measure what a run's steps take, for its budget.
    Trial(Box<foregrad_lab::train::RunConfig>),
    /// Measure a method.
    Measure(Box<bench::MeasureTask>),
}

/// The arguments of `work`.
#[derive(Args)]
pub struct Arguments {
    /// A launcher has started several of this process, which work together
    #[arg(long)]
    joined: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    if !arguments.joined {
        return run_among(&Team::default());
    }
    let job = Job::joined()?;
    let ending = run_among(&job.team);
    job.ended(ending)
}

/// This process's part of the work; of several only the root is given the task.
fn run_among(team: &Team) -> Result<Exit> {
    let mut line = String::new();
    if team.is_root() {
        std::io::stdin().read_line(&mut line).context("cannot read the task")?;
    }
    let line = team.of_root(line)?;
    let task =
        serde_json::from_str(&line).context("`work` is for this program's own children: its input is no task")?;
    match task {
        Task::Run(task) => study::run_one(&task, team),
        Task::Estimate(config) => {
            end_with_parent();
            study::estimate_one(&config)
        }
        Task::Trial(config) => {
            end_with_parent();
            trial::run(&config)
        }
        Task::Measure(task) => {
            end_with_parent();
            bench::measure_one(&task)
        }
    }
}

/// Ends this process when its parent is gone: a measurement that nobody reads has nothing to save.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut rest = std::io::stdin().lock();
        let mut line = Vec::new();
        while rest.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            line.clear();
        }
        process::leave(1);
    });
}
