//! `foregrad bench`.

mod case;
mod measure;
mod memory;
mod report;
mod row;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use burn::tensor::DType;
use clap::Args;
use foregrad::estimate::Mode;
use foregrad::models::{ModelConfig, Registry};
use foregrad::optim::OptimizerKind;
use foregrad::{Error, files};
use foregrad_kernels::{instructions, operations};
use foregrad_lab::ranks::Team;
use foregrad_lab::train::RunConfig;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

pub use self::measure::measure_one;
use self::report::{Measurement, Report};
use self::row::{BASELINES, FORWARD, Row};
use super::work;
use crate::flags::{Checkpoints, Flags, Machine, Model};
use crate::job::Job;
use crate::{Exit, machine, output, place, process};

const CLASSES: usize = 10;

fn help() -> String {
    let baselines = BASELINES.map(|(name, about)| format!("`{name}` ({about})"));
    let baselines = baselines.join(" and ");
    format!(
        "Methods, separated by commas: those of `foregrad methods`, {baselines}; `METHOD:K` has K directions [default: all]"
    )
}

fn optimizer_help() -> String {
    let names: Vec<_> = OptimizerKind::ALL.iter().map(|kind| kind.name()).collect();
    format!("Update rule that moves the weights after each step: {} [default: they stay]", names.join(", "))
}

/// Work for a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeasureTask {
    /// What is measured.
    row: Row,
    /// Network, batch, seed, threads and device, and the distance between checkpoints.
    config: RunConfig,
    /// What moves the weights after each step.
    optimizer: Option<OptimizerKind>,
    image: [usize; 3],
    steps: u32,
    warm_up: u32,
    /// Whether an account of memory is kept.
    memory: bool,
}

/// The arguments of `bench`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad bench                                   every method on ResNet-18 with batch 128
  foregrad bench --methods forward,backprop,local-weight-network-forward --steps 5
  foregrad bench --methods loading,backprop        does loading keep the step fed?
  foregrad bench --methods jvp-weights:1,jvp-weights:16    what do sixteen directions cost, and one of them?
  foregrad bench --memory --html memory.html --methods backprop,local-weight-network-forward
  foregrad bench --memory --optimizer adam --methods backprop,jvp-weights
  foregrad bench --methods backprop-checkpointed --checkpoint-spacing 2
  foregrad bench --methods backprop,jvp-weights --micro-batches 4
  foregrad bench --model small-net --width 0.25 --threads 1 --json
  mpirun -n 4 foregrad bench --threads 1 --methods backprop,jvp-weights      four processes share a batch: what do they send?")]
pub struct Arguments {
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help = help())]
    methods: Vec<String>,
    /// Images a step
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Equal parts of the batch that are computed one after the other
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    micro_batches: u32,
    /// Channels, height and width of the images
    #[arg(long, value_name = "CxHxW", default_value = "3x32x32")]
    image: String,
    /// Steps that are measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Steps before those
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=100_000))]
    warm_up: u32,
    #[arg(long, value_name = "NAME", help = optimizer_help())]
    optimizer: Option<OptimizerKind>,
    /// Whose memory the peak of a step is: weights, guesses, values, tangents, ... (on the CPU)
    #[arg(long)]
    memory: bool,
    /// A page with the memory of a step from moment to moment, stacked
    #[arg(long, value_name = "FILE", requires = "memory")]
    html: Option<PathBuf>,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: Flags<Model>,
    #[command(flatten)]
    checkpoints: Flags<Checkpoints>,
    #[command(flatten)]
    machine: Flags<Machine>,
}

impl Arguments {
    /// What is measured, less the row.
    fn task(&self, ranks: usize) -> Result<MeasureTask> {
        let mut config = self.machine.config()?;
        config.model = ModelConfig { name: "resnet18-8b".into(), ..Default::default() };
        (config.batch, config.micro_batches) = (self.batch as usize, self.micro_batches as usize);
        config.ranks = ranks;
        config.validate_parts()?;
        if self.memory && ranks > 1 {
            let expected = "1: an account is that of a process by itself";
            return Err(Error::out_of_range("processes beside --memory", ranks, expected).into());
        }
        if self.memory && config.micro_batches > 1 {
            let expected = "1: the account is that of a single part's step";
            return Err(Error::out_of_range("--micro-batches beside --memory", config.micro_batches, expected).into());
        }
        self.model.apply(&mut config)?;
        self.checkpoints.apply(&mut config)?;
        let image = super::init::parse_image(&self.image)?;
        config.model.validate_for(image, CLASSES)?;
        Ok(MeasureTask {
            row: Row { method: FORWARD.into(), directions: None },
            config,
            optimizer: self.optimizer,
            image,
            steps: self.steps,
            warm_up: self.warm_up,
            memory: self.memory,
        })
    }
}

impl MeasureTask {
    /// The number of losses of the network: heads and classifier.
    fn count_losses(&self) -> foregrad::Result<usize> {
        Ok(self.config.model.has_loss()?.into_iter().filter(|has| *has).count())
    }

    /// Refuses a row without a meaning in the network, or with no use for its heads.
    fn check(&self, row: &Row) -> foregrad::Result<()> {
        let Some(estimator) = row.estimator(&self.config) else { return Ok(()) };
        let losses = self.count_losses()?;
        estimator.validate(losses)?;
        if self.config.model.target_head.is_some() { estimator.validate_target_heads(losses) } else { Ok(()) }
    }

    /// The rows that have a meaning in the network: its outputs can be cut for them, its heads are used. `says` which are left out.
    fn possible(&self, rows: Vec<Row>, says: bool) -> Result<Vec<Row>> {
        let network = self.config.model.plan(self.image, CLASSES, &Registry::default())?;
        let outputs: Vec<_> = network.blocks.iter().map(|block| block.layers.output()).collect();
        let is_possible = |row: &Row| {
            let Some(estimator) = row.estimator(&self.config) else { return true };
            let refused = estimator.validate_outputs(&outputs).and_then(|()| self.check(row));
            if let (true, Err(error)) = (says, &refused) {
                output::remark(format_args!("`{row}` is left out: {error}"));
            }
            refused.is_ok()
        };
        Ok(rows.into_iter().filter(is_possible).collect())
    }

    /// The rows that were asked for, or all that are possible.
    fn rows(&self, asked: &[String], says: bool) -> Result<Vec<Row>> {
        if asked.is_empty() {
            return self.possible(row::all(), says);
        }
        let rows = row::asked(asked)?;
        // An error about directions says of which row they are.
        let of_row = |row: &Row, error| match row.directions {
            Some(_) => Error::within(format!("`{row}`"), error),
            None => error,
        };
        let check = |row: &Row| self.check(row).map_err(|error| of_row(row, error));
        rows.iter().try_for_each(check)?;
        Ok(rows)
    }

    /// Refuses a distance between checkpoints where none of the rows has any.
    fn check_spacing(&self, rows: &[Row]) -> foregrad::Result<()> {
        let estimators = || rows.iter().filter_map(|row| row.estimator(&self.config));
        if self.config.estimator.checkpoint_spacing == 1 || estimators().any(|own| own.mode == Mode::Checkpointed) {
            return Ok(());
        }
        let reason = "`estimator.checkpoint-spacing` is of methods with checkpoints, and none of them is measured";
        Err(Error::meaningless(reason, "`--methods backprop-checkpointed`"))
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    let job = Job::joined()?;
    let ending = run_among(&arguments, &job.team);
    job.ended(ending)
}

/// This process's part of it.
fn run_among(arguments: &Arguments, team: &Team) -> Result<Exit> {
    arguments.machine.prepared(DType::F32)?;
    let task = arguments.task(team.count())?;
    if task.memory && task.config.device != "cpu" {
        let expected = "cpu: the account is that of this program's own allocator";
        return Err(Error::out_of_range("--device beside --memory", &task.config.device, expected).into());
    }
    if let Some(path) = &arguments.html {
        place::for_file("--html", path)?;
    }
    let rows = task.rows(&arguments.methods, team.is_root())?;
    task.check_spacing(&rows)?;
    let report = task.report(rows, team)?;
    if !team.is_root() {
        return Ok(Exit::Done);
    }
    if let Some(path) = &arguments.html {
        let MeasureTask { config, .. } = &task;
        let about = format!("{}, batch {}, {} threads.", config.model.name, config.batch, report.threads);
        files::write_atomically(path, memory::page(report.accounts(), &about).as_bytes())?;
    }
    match arguments.json {
        true => output::line(serde_json::to_string(&report)?)?,
        false => report.print()?,
    }
    Ok(Exit::Done)
}

impl MeasureTask {
    /// What all rows take.
    fn report(&self, rows: Vec<Row>, team: &Team) -> Result<Report> {
        let device = self.config.device.clone();
        let peak = (device == "cpu").then(|| operations::measured_peak(Duration::from_millis(300)));
        let peak = peak.map(|peak| team.sum(vec![peak])).transpose()?.map(|sum| sum[0]);
        let bar = if team.is_root() { ProgressBar::new(rows.len() as u64) } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(200));
        let mut methods = Vec::new();
        for row in rows {
            bar.set_message(row.to_string());
            let mut measured = Self { row, ..self.clone() }.measured(team)?;
            let rate = measured.operations as f64 / measured.minimum_seconds;
            measured.fraction_of_peak = peak.map(|peak| rate / peak);
            methods.push(measured);
            bar.inc(1);
        }
        bar.finish_and_clear();
        if !team.is_alone() && methods.len() > 1 {
            methods.iter_mut().for_each(|measured| measured.peak_memory = None);
        }
        Ok(Report {
            instructions: instructions::name(),
            threads: rayon::current_num_threads(),
            ranks: team.count(),
            device,
            allocator: machine::ALLOCATOR,
            peak_operations_per_second: peak,
            methods,
        })
    }

    /// One method in a process of its own, so that its peak memory is its own. A job's processes are those that its launcher has started.
    fn measured(&self, team: &Team) -> Result<Measurement> {
        let measured = match team.is_alone() {
            true => process::result_of(&work::Task::Measure(Box::new(self.clone()))),
            false => measure::measure(self, team),
        };
        measured.with_context(|| format!("`{}` was not measured", self.row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_methods_those_are_left_out_that_cut_outputs_which_cannot_be_cut() {
        let left_out = |model: &str| {
            let model = ModelConfig { name: model.into(), ..Default::default() };
            let config = RunConfig { model, ..Default::default() };
            let row = Row { method: FORWARD.into(), directions: None };
            let task =
                MeasureTask { row, config, optimizer: None, image: [3, 32, 32], steps: 1, warm_up: 0, memory: false };
            let possible = task.possible(row::all(), false).expect("a network for these images");
            let names = row::all().into_iter().filter(|row| !possible.contains(row)).map(|row| row.method);
            names.collect::<Vec<_>>()
        };
        assert!(left_out("resnet18-8b").is_empty() && left_out("local-mixer").is_empty());
        let without_pixels = left_out("mlp");
        assert!(!without_pixels.is_empty() && without_pixels.iter().all(|name| name.contains("patch")));
    }
}
