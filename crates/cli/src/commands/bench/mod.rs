//! `foregrad bench`.

mod case;
mod memory;
mod row;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::tensor::DType;
use clap::Args;
use foregrad::estimate::Mode;
use foregrad::models::{ModelConfig, Registry};
use foregrad::optim::OptimizerKind;
use foregrad::rng::Placement;
use foregrad::{Error, account, files};
use foregrad_kernels::{instructions, operations};
use foregrad_lab::train::RunConfig;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use self::case::Case;
use self::memory::Account;
use self::row::{BASELINES, FORWARD, Row};
use super::work;
use crate::flags::{Checkpoints, Flags, Machine, Model};
use crate::{Exit, device, machine, output, place, process, table};

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
  foregrad bench --model small-net --width 0.25 --threads 1 --json")]
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

/// What was measured of a method.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measurement {
    #[serde(flatten)]
    row: Row,
    /// Seconds of each step.
    seconds: Vec<f64>,
    median_seconds: f64,
    minimum_seconds: f64,
    /// Operations of a step: products only.
    operations: u64,
    /// Largest resident memory of the process, bytes.
    peak_memory: u64,
    /// Operations a second of the fastest step over the machine's peak.
    fraction_of_peak: Option<f64>,
    /// Whose the peak is, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
}

/// A whole bench.
#[derive(Debug, Serialize)]
struct Report {
    instructions: &'static str,
    threads: usize,
    device: String,
    /// The allocator of this build, unless it is the program's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    allocator: Option<&'static str>,
    /// Operations a second of fused multiply-adds in registers, measured in this run; none on a GPU.
    peak_operations_per_second: Option<f64>,
    methods: Vec<Measurement>,
}

impl Arguments {
    /// What is measured, less the row.
    fn task(&self) -> Result<MeasureTask> {
        let mut config = self.machine.config()?;
        config.model = ModelConfig { name: "resnet18-8b".into(), ..Default::default() };
        (config.batch, config.micro_batches) = (self.batch as usize, self.micro_batches as usize);
        config.validate_parts()?;
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

    /// The rows that have a meaning in the network: its outputs can be cut for them, its heads are used. Says which are left out.
    fn possible(&self, rows: Vec<Row>) -> Result<Vec<Row>> {
        let network = self.config.model.plan(self.image, CLASSES, &Registry::default())?;
        let outputs: Vec<_> = network.blocks.iter().map(|block| block.layers.output()).collect();
        let is_possible = |row: &Row| {
            let Some(estimator) = row.estimator(&self.config) else { return true };
            let refused = estimator.validate_outputs(&outputs).and_then(|()| self.check(row));
            refused.map_err(|error| output::remark(format_args!("`{row}` is left out: {error}"))).is_ok()
        };
        Ok(rows.into_iter().filter(is_possible).collect())
    }

    /// The rows that were asked for, or all that are possible.
    fn rows(&self, asked: &[String]) -> Result<Vec<Row>> {
        if asked.is_empty() {
            return self.possible(row::all());
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
    arguments.machine.prepared(DType::F32)?;
    let task = arguments.task()?;
    if task.memory && task.config.device != "cpu" {
        let expected = "cpu: the account is that of this program's own allocator";
        return Err(Error::out_of_range("--device beside --memory", &task.config.device, expected).into());
    }
    if let Some(path) = &arguments.html {
        place::for_file("--html", path)?;
    }
    let rows = task.rows(&arguments.methods)?;
    task.check_spacing(&rows)?;
    let device = task.config.device.clone();
    let peak = (device == "cpu").then(|| operations::measured_peak(Duration::from_millis(300)));
    let bar = ProgressBar::new(rows.len() as u64);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut methods = Vec::new();
    for row in rows {
        bar.set_message(row.to_string());
        let mut measured = in_child(&MeasureTask { row, ..task.clone() })?;
        let rate = measured.operations as f64 / measured.minimum_seconds;
        measured.fraction_of_peak = peak.map(|peak| rate / peak);
        methods.push(measured);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let threads = rayon::current_num_threads();
    let instructions = instructions::name();
    let allocator = machine::ALLOCATOR;
    let report = Report { instructions, threads, device, allocator, peak_operations_per_second: peak, methods };
    if let Some(path) = &arguments.html {
        let about = format!("{}, batch {}, {threads} threads.", task.config.model.name, task.config.batch);
        files::write_atomically(path, memory::page(report.accounts(), &about).as_bytes())?;
    }
    match arguments.json {
        true => output::line(serde_json::to_string(&report)?)?,
        false => print(&report)?,
    }
    Ok(Exit::Done)
}

/// One method in a process of its own, so that its peak memory is its own.
fn in_child(task: &MeasureTask) -> Result<Measurement> {
    let measured = process::result_of(&work::Task::Measure(Box::new(task.clone())));
    measured.with_context(|| format!("`{}` was not measured", task.row))
}

impl Report {
    /// The accounts of memory, by method.
    fn accounts(&self) -> impl Iterator<Item = (String, &Account)> {
        self.methods.iter().filter_map(|measured| Some((measured.row.to_string(), measured.account.as_ref()?)))
    }

    /// The table of times; with a column for each direction's where directions were asked for.
    fn table(&self) -> String {
        let has_directions = self.methods.iter().any(|measured| measured.row.directions.is_some());
        let mut header = vec!["method", "median s", "min s", "GFLOP", "GFLOP/s", "of peak", "peak MiB"];
        let mut rows: Vec<_> = self.methods.iter().map(Measurement::cells).collect();
        if has_directions {
            header.push("s a direction");
            let each = |measured: &Measurement| Some(measured.median_seconds / measured.row.directions? as f64);
            let cells =
                self.methods.iter().map(|measured| each(measured).map_or("-".into(), |each| format!("{each:.3}")));
            rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
        }
        table::render(&header, &rows)
    }
}

impl Measurement {
    fn cells(&self) -> Vec<String> {
        let billions = self.operations as f64 * 1e-9;
        vec![
            self.row.to_string(),
            format!("{:.3}", self.median_seconds),
            format!("{:.3}", self.minimum_seconds),
            format!("{billions:.1}"),
            format!("{:.1}", billions / self.minimum_seconds),
            self.fraction_of_peak.map_or("-".into(), |part| format!("{:.0} %", 100.0 * part)),
            format!("{:.0}", self.peak_memory as f64 / f64::from(1 << 20)),
        ]
    }
}

fn print(report: &Report) -> Result<()> {
    output::line(report.table())?;
    let lines: Vec<_> = report.accounts().flat_map(|(method, account)| account.rows(&method)).collect();
    if !lines.is_empty() {
        output::line(format_args!("\n{}", table::render(&["method", "memory of", "MiB", "of peak"], &lines)))?;
    }
    let peak = report.peak_operations_per_second.map_or("-".into(), |peak| format!("{:.0} GFLOP/s", peak * 1e-9));
    let Report { instructions, threads, device, .. } = report;
    let allocator = report.allocator.map(|name| format!("allocator {name}, ")).unwrap_or_default();
    output::line(format_args!(
        "\n{device}, {instructions}, {allocator}{threads} threads; fused multiply-add peak {peak}"
    ))
}

/// Measures a method in this process, and prints what was measured.
pub fn measure_one(task: &MeasureTask) -> Result<Exit> {
    device::set_threads(task.config.threads)?;
    output::line(serde_json::to_string(&measure(task)?)?)?;
    Ok(Exit::Done)
}

/// Runs a method's steps, and only them.
fn measure(task: &MeasureTask) -> Result<Measurement> {
    let MeasureTask { row, config, steps, warm_up, .. } = task;
    let placement = device::placement(&config.device, DType::F32)?;
    let program = machine::resident_memory();
    if task.memory {
        account::open();
    }
    let mut case = Case::new(task, &placement)?;
    // Of a method whose steps differ, a step is the mean over as many as come round again.
    let period = case.period();
    let mut seconds = Vec::new();
    let (mut counted, mut last) = (0, 0);
    for turn in 0..u64::from(warm_up + steps) {
        operations::take();
        last = account::length();
        let began = Instant::now();
        (turn * period..(turn + 1) * period).try_for_each(|step| case.once(step))?;
        finish(&placement)?;
        if turn >= u64::from(*warm_up) {
            seconds.push(began.elapsed().as_secs_f64() / period as f64);
        }
        counted = operations::take() / period;
    }
    let movements = account::close().context("a step makes more arrays than an account has lines for")?;
    let peak_memory = machine::peak_memory();
    let account = task.memory.then(|| Account::new(&movements, last..movements.len(), program, peak_memory));
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    Ok(Measurement {
        row: row.clone(),
        median_seconds: sorted[sorted.len() / 2],
        minimum_seconds: sorted[0],
        seconds,
        operations: counted,
        peak_memory,
        fraction_of_peak: None,
        account,
    })
}

/// Waits until a device has done all it was asked.
fn finish(placement: &Placement) -> Result<()> {
    placement.device.sync().map_err(|error| anyhow::anyhow!("the device failed: {error:?}"))
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
            let possible = task.possible(row::all()).expect("a network for these images");
            let names = row::all().into_iter().filter(|row| !possible.contains(row)).map(|row| row.method);
            names.collect::<Vec<_>>()
        };
        assert!(left_out("resnet18-8b").is_empty() && left_out("local-mixer").is_empty());
        let without_pixels = left_out("mlp");
        assert!(!without_pixels.is_empty() && without_pixels.iter().all(|name| name.contains("patch")));
    }
}
