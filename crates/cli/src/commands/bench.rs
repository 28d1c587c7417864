//! `foregrad bench`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::tensor::{DType, Tensor};
use clap::Args;
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, StepInput};
use foregrad::losses::Labels;
use foregrad::models::{ModelConfig, Network};
use foregrad::rng::{Placement, Stream};
use foregrad::{Error, baseline};
use foregrad_kernels::{instructions, operations};
use foregrad_lab::data::{Augmentation, BatchOptions, Batches, Dataset, Order};
use foregrad_lab::train::RunConfig;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::args::{MachineFlags, ModelFlags};
use crate::{Ending, device, machine, output, process, table};

const CLASSES: usize = 10;

/// What is measured.
enum Method {
    /// The network's loss alone.
    Forward,
    /// Mini-batches as they are loaded: shuffled, cropped, flipped, normalised.
    Loading,
    /// An estimator's step, by its flags.
    Step(&'static [(&'static str, &'static str)]),
}

const EXACT: (&str, &str) = ("guess", "exact");
const LOCAL: (&str, &str) = ("guess", "local");
const ORACLE: (&str, &str) = ("mode", "oracle");
const ACTIVITY: (&str, &str) = ("space", "activity");
const TENSOR: (&str, &str) = ("granularity", "tensor");
const BLOCK: (&str, &str) = ("granularity", "block");
const NETWORK: (&str, &str) = ("granularity", "network");
const WHOLE: (&str, &str) = ("last-block", "estimated");

/// The methods by name. To add one: a line.
const METHODS: &[(&str, Method)] = &[
    ("loading", Method::Loading),
    ("forward", Method::Forward),
    ("backprop", Method::Step(&[EXACT, ORACLE])),
    ("backprop-checkpointed", Method::Step(&[EXACT, ("mode", "checkpointed")])),
    ("jvp-weights", Method::Step(&[("guess", "gaussian"), NETWORK, WHOLE])),
    ("jvp-weights-low-rank", Method::Step(&[("guess", "low-rank"), NETWORK, WHOLE])),
    ("jvp-activities", Method::Step(&[("guess", "gaussian"), ACTIVITY])),
    ("local-learning", Method::Step(&[EXACT, ("target", "local")])),
    ("local-weight-tensor-oracle", Method::Step(&[LOCAL, TENSOR, ORACLE])),
    ("local-weight-block-oracle", Method::Step(&[LOCAL, BLOCK, ORACLE])),
    ("local-weight-tensor-forward", Method::Step(&[LOCAL, TENSOR])),
    ("local-weight-block-forward", Method::Step(&[LOCAL, BLOCK])),
    ("local-weight-network-forward", Method::Step(&[LOCAL, NETWORK])),
    ("local-weight-mixed-forward", Method::Step(&[LOCAL, ("mix", "1")])),
    ("local-activity-oracle", Method::Step(&[LOCAL, ACTIVITY, ORACLE])),
    ("local-activity-forward", Method::Step(&[LOCAL, ACTIVITY])),
    ("local-activity-mixed-forward", Method::Step(&[LOCAL, ACTIVITY, ("mix", "1")])),
];

/// The arguments of `bench`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad bench                                   every method on ResNet-18 with batch 128
  foregrad bench --methods forward,backprop,local-weight-network-forward --steps 5
  foregrad bench --methods loading,backprop        does loading keep the step fed?
  foregrad bench --model small-net --width 0.25 --threads 1 --json")]
pub struct Arguments {
    /// Methods, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
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
    /// JSON on standard output
    #[arg(long)]
    json: bool,
    /// Measure one method in this process
    #[arg(long, value_name = "NAME", hide = true)]
    in_process: Option<String>,
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    machine: MachineFlags,
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
    /// The network that is measured, and the shape of its images.
    fn network(&self) -> Result<(ModelConfig, [usize; 3])> {
        let mut model = ModelConfig { name: "resnet18-8b".into(), ..Default::default() };
        self.model.apply(&mut model)?;
        Ok((model, super::init::parse_image(&self.image)?))
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Ending> {
    device::set_threads(arguments.machine.threads.unwrap_or(0))?;
    if let Some(method) = &arguments.in_process {
        output::line(serde_json::to_string(&measure(&arguments, method)?)?)?;
        return Ok(Ending::Done);
    }
    let mut model = ModelConfig { name: "resnet18-8b".into(), ..Default::default() };
    arguments.model.apply(&mut model)?;
    model.validate_for(super::init::parse_image(&arguments.image)?, CLASSES)?;
    let known: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = arguments.methods.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::unknown_name("method", unknown, &known).into());
    }
    let device = arguments.machine.device.clone().unwrap_or("cpu".into());
    device::placement(&device, DType::F32)?;
    let (model, image) = arguments.network()?;
    model.validate_for(image, CLASSES)?;
    let wanted = |name: &&str| arguments.methods.is_empty() || arguments.methods.iter().any(|method| method == name);
    let names: Vec<&str> = known.into_iter().filter(wanted).collect();
    let peak = (device == "cpu").then(|| operations::measured_peak(Duration::from_millis(300)));
    let bar = ProgressBar::new(names.len() as u64);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut methods = Vec::new();
    for name in names {
        bar.set_message(name.to_string());
        let mut measured = in_child(name)?;
        let rate = measured.operations as f64 / measured.minimum_seconds;
        measured.fraction_of_peak = peak.map(|peak| rate / peak);
        methods.push(measured);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let threads = rayon::current_num_threads();
    let instructions = instructions::name();
    let report = Report { instructions, threads, device, peak_operations_per_second: peak, methods };
    if arguments.json {
        output::line(serde_json::to_string(&report)?)?
    } else {
        print(&report)?
    }
    Ok(Ending::Done)
}

/// One method in a process of its own, so that its peak memory is its own.
fn in_child(method: &str) -> Result<Measurement> {
    process::result_of(["--in-process", method]).with_context(|| format!("`{method}` was not measured"))
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
    let peak = report.peak_operations_per_second.map_or("-".into(), |peak| format!("{:.0} GFLOP/s", peak * 1e-9));
    let Report { instructions, threads, device, .. } = report;
    output::line(format_args!("\n{device}, {instructions}, {threads} threads; fused multiply-add peak {peak}"))
}

/// Runs a method's steps, and only them.
fn measure(arguments: &Arguments, name: &str) -> Result<Measurement> {
    let placement = device::placement(arguments.machine.device.as_deref().unwrap_or("cpu"), DType::F32)?;
    let seed = arguments.machine.seed.unwrap_or(0);
    let (model, image) = arguments.network()?;
    let network = model.init(image, CLASSES, seed, &placement)?;
    let [channels, height, width] = image;
    let samples = arguments.batch as usize;
    let images = Stream::new(seed, "bench").normal_tensor([samples, channels, height, width], &placement);
    let labels = Labels { indices: (0..samples).map(|sample| sample % CLASSES).collect(), classes: CLASSES };
    let (_, method) = METHODS.iter().find(|(known, _)| *known == name).context("no such method")?;
    let case = Case { images, labels, config: method.config()?, set: random_set(image, samples).into(), network };
    let mut seconds = Vec::new();
    let mut counted = 0;
    for step in 0..arguments.warm_up + arguments.steps {
        operations::take();
        let began = Instant::now();
        method.once(&case, u64::from(step))?;
        finish(&placement)?;
        if step >= arguments.warm_up {
            seconds.push(began.elapsed().as_secs_f64());
        }
        counted = operations::take();
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    Ok(Measurement {
        method: name.to_string(),
        median_seconds: sorted[sorted.len() / 2],
        minimum_seconds: sorted[0],
        seconds,
        operations: counted,
        peak_memory: machine::peak_memory(),
        fraction_of_peak: None,
    })
}

/// Waits until a device has done all it was asked.
fn finish(placement: &Placement) -> Result<()> {
    placement.device.sync().map_err(|error| anyhow::anyhow!("the device failed: {error:?}"))
}

impl Method {
    fn config(&self) -> Result<EstimatorConfig> {
        let Self::Step(flags) = self else { return Ok(EstimatorConfig::default()) };
        // Through the same reader as a run's settings, so that a name here is a name there.
        let lines = flags.iter().map(|(key, value)| match value.parse::<u32>() {
            Ok(number) => format!("{key} = {number}\n"),
            Err(_) => format!("{key} = \"{value}\"\n"),
        });
        let text = format!("[estimator]\n{}", lines.collect::<String>());
        let config = RunConfig::from_toml(&text).map_err(|error| anyhow::anyhow!(error))?;
        Ok(config.estimator)
    }

    fn once(&self, case: &Case, step: u64) -> Result<()> {
        let Case { network, images, labels, config, set } = case;
        match self {
            Self::Forward => drop(baseline::forward(network, images.clone(), labels)),
            Self::Loading => {
                let order = Order::Shuffled { seed: 0, epoch: step };
                let options = BatchOptions { size: set.len(), order, augment: true, skip: 0 };
                drop(Batches::new(set.clone(), options)?.next().context("the loader gave no batch")??);
            }
            Self::Step(_) => {
                let input = StepInput::new(images.clone(), labels, 0, step);
                drop(estimate::step(config, network, &input, &EstimatorState::default())?);
            }
        }
        Ok(())
    }
}

/// What the methods work on.
struct Case {
    network: Network,
    images: Tensor<4>,
    labels: Labels,
    config: EstimatorConfig,
    /// Images before they are loaded: one batch.
    set: Arc<Dataset>,
}

/// A data set of random pixels.
fn random_set(shape: [usize; 3], images: usize) -> Dataset {
    let pixels = images * shape.iter().product::<usize>();
    let channels = shape[0];
    Dataset {
        pixels: Stream::new(0, "bench pixels")
            .uniform(pixels, 0.0, 256.0)
            .into_iter()
            .map(|value| value as u8)
            .collect(),
        labels: vec![0; images],
        shape,
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        mean: vec![0.5; channels],
        deviation: vec![0.25; channels],
        augmentation: Augmentation::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_meaning() {
        for (name, method) in METHODS {
            method
                .config()
                .and_then(|config| Ok(config.validate(8)?))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
