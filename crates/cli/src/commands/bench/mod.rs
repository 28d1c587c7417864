//! `foregrad bench`.

mod case;
mod memory;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::tensor::DType;
use clap::Args;
use foregrad::estimate::{METHODS, Method};
use foregrad::models::{ModelConfig, Registry};
use foregrad::rng::Placement;
use foregrad::{Error, account, files};
use foregrad_kernels::{instructions, operations};
use foregrad_lab::train::RunConfig;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use self::case::Case;
use self::memory::Account;
use super::work;
use crate::flags::{Flags, Machine, Model};
use crate::{Exit, device, machine, output, place, process, table};

const CLASSES: usize = 10;

/// What is measured besides the methods of [`METHODS`].
const BASELINES: [(&str, &str); 2] = [
    (LOADING, "mini-batches as they are loaded: shuffled, cropped, flipped, normalised"),
    (FORWARD, "the network's loss alone"),
];

const LOADING: &str = "loading";
const FORWARD: &str = "forward";

/// The names of all that can be measured.
fn names() -> Vec<&'static str> {
    BASELINES.iter().map(|(name, _)| *name).chain(METHODS.iter().map(|method| method.name)).collect()
}

fn help() -> String {
    let baselines = BASELINES.map(|(name, about)| format!("`{name}` ({about})"));
    format!("Methods, separated by commas: those of `foregrad methods`, {} [default: all]", baselines.join(" and "))
}

/// Work for a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeasureTask {
    /// What is measured.
    method: String,
    /// Network, batch, seed, threads and device.
    config: RunConfig,
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
  foregrad bench --memory --html memory.html --methods backprop,local-weight-network-forward
  foregrad bench --model small-net --width 0.25 --threads 1 --json")]
pub struct Arguments {
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help = help())]
    methods: Vec<String>,
    /// Images a step
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Channels, height and width of the images
    #[arg(long, value_name = "CxHxW", default_value = "3x32x32")]
    image: String,
    /// Steps that are measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Steps before those
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=100_000))]
    warm_up: u32,
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
    machine: Flags<Machine>,
}

/// What was measured of a method.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measurement {
    method: String,
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
    /// Operations a second of fused multiply-adds in registers, measured in this run; none on a GPU.
    peak_operations_per_second: Option<f64>,
    methods: Vec<Measurement>,
}

impl Arguments {
    /// What is measured, less the method.
    fn task(&self) -> Result<MeasureTask> {
        let mut config = self.machine.config()?;
        config.model = ModelConfig { name: "resnet18-8b".into(), ..Default::default() };
        config.batch = self.batch as usize;
        self.model.apply(&mut config)?;
        let image = super::init::parse_image(&self.image)?;
        config.model.validate_for(image, CLASSES)?;
        Ok(MeasureTask {
            method: String::new(),
            config,
            image,
            steps: self.steps,
            warm_up: self.warm_up,
            memory: self.memory,
        })
    }
}

impl MeasureTask {
    /// Refuses heads for the target that a method has no use for.
    fn check_heads(&self, name: &str) -> foregrad::Result<()> {
        match Method::named(name) {
            Ok(method) if self.config.model.target_head.is_some() => {
                let losses = self.config.model.has_loss()?.into_iter().filter(|has| *has).count();
                method.config().validate_target_heads(losses)
            }
            _ => Ok(()),
        }
    }

    /// The methods that have a meaning on the network: its outputs can be cut for them, its heads are used. Says which are left out.
    fn possible<'n>(&self, names: Vec<&'n str>) -> Result<Vec<&'n str>> {
        let network = self.config.model.plan(self.image, CLASSES, &Registry::default())?;
        let outputs: Vec<_> = network.blocks.iter().map(|block| block.layers.output()).collect();
        let is_possible = |name: &&str| {
            let Ok(method) = Method::named(name) else { return true };
            let refused = method.config().validate_outputs(&outputs).and_then(|()| self.check_heads(name));
            refused.map_err(|error| output::remark(format_args!("`{name}` is left out: {error}"))).is_ok()
        };
        Ok(names.into_iter().filter(is_possible).collect())
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
    let known = names();
    if let Some(unknown) = arguments.methods.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::unknown_name("method", unknown, &known).into());
    }
    let wanted = |name: &&str| arguments.methods.iter().any(|method| method == name);
    let names: Vec<&str> = match arguments.methods.is_empty() {
        true => task.possible(known)?,
        false => known.into_iter().filter(wanted).collect(),
    };
    names.iter().try_for_each(|name| task.check_heads(name))?;
    let device = task.config.device.clone();
    let peak = (device == "cpu").then(|| operations::measured_peak(Duration::from_millis(300)));
    let bar = ProgressBar::new(names.len() as u64);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut methods = Vec::new();
    for name in names {
        bar.set_message(name.to_string());
        let mut measured = in_child(&MeasureTask { method: name.into(), ..task.clone() })?;
        let rate = measured.operations as f64 / measured.minimum_seconds;
        measured.fraction_of_peak = peak.map(|peak| rate / peak);
        methods.push(measured);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let threads = rayon::current_num_threads();
    let instructions = instructions::name();
    let report = Report { instructions, threads, device, peak_operations_per_second: peak, methods };
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
    measured.with_context(|| format!("`{}` was not measured", task.method))
}

impl Report {
    /// The accounts of memory, by method.
    fn accounts(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.methods.iter().filter_map(|measured| Some((measured.method.as_str(), measured.account.as_ref()?)))
    }
}

fn print(report: &Report) -> Result<()> {
    let row = |measured: &Measurement| {
        let billions = measured.operations as f64 * 1e-9;
        vec![
            measured.method.clone(),
            format!("{:.3}", measured.median_seconds),
            format!("{:.3}", measured.minimum_seconds),
            format!("{billions:.1}"),
            format!("{:.1}", billions / measured.minimum_seconds),
            measured.fraction_of_peak.map_or("-".into(), |part| format!("{:.0} %", 100.0 * part)),
            format!("{:.0}", measured.peak_memory as f64 / f64::from(1 << 20)),
        ]
    };
    let rows: Vec<_> = report.methods.iter().map(row).collect();
    let header = ["method", "median s", "min s", "GFLOP", "GFLOP/s", "of peak", "peak MiB"];
    output::line(table::render(&header, &rows))?;
    let lines: Vec<_> = report.accounts().flat_map(|(method, account)| account.rows(method)).collect();
    if !lines.is_empty() {
        output::line(format_args!("\n{}", table::render(&["method", "memory of", "MiB", "of peak"], &lines)))?;
    }
    let peak = report.peak_operations_per_second.map_or("-".into(), |peak| format!("{:.0} GFLOP/s", peak * 1e-9));
    let Report { instructions, threads, device, .. } = report;
    output::line(format_args!("\n{device}, {instructions}, {threads} threads; fused multiply-add peak {peak}"))
}

/// Measures a method in this process, and prints what was measured.
pub fn measure_one(task: &MeasureTask) -> Result<Exit> {
    device::set_threads(task.config.threads)?;
    output::line(serde_json::to_string(&measure(task)?)?)?;
    Ok(Exit::Done)
}

/// Runs a method's steps, and only them.
fn measure(task: &MeasureTask) -> Result<Measurement> {
    let MeasureTask { method, config, steps, warm_up, .. } = task;
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
        method: method.clone(),
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
            let task =
                MeasureTask { method: String::new(), config, image: [3, 32, 32], steps: 1, warm_up: 0, memory: false };
            let possible = task.possible(names()).expect("a network for these images");
            names().into_iter().filter(|name| !possible.contains(name)).collect::<Vec<_>>()
        };
        assert!(left_out("resnet18-8b").is_empty() && left_out("local-mixer").is_empty());
        let without_pixels = left_out("mlp");
        assert!(!without_pixels.is_empty() && without_pixels.iter().all(|name| name.contains("patch")));
    }
}
