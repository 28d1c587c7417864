//! `foregrad check`.

use anyhow::{Context, Result};
use burn::tensor::{DType, Device};
use clap::{Args, ValueEnum};
use foregrad::check::{self, Entry, MapCounts};
use foregrad::estimate::{Method, StepInput};
use foregrad::losses::Labels;
use foregrad::models::ModelConfig;
use foregrad::rng::{Placement, Stream};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{Exit, device, output, table};

/// Floating-point types of the checks.
#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    F64,
}

/// The arguments of `check`.
#[derive(Args)]
#[command(after_help = "Every entry is an identity with its worst error and its limit:
  adjoint      <tangent, y_bar> = <x_dot, x_bar> + <theta_dot, theta_bar>
  difference   tangent = central difference
  samples      a sample's derivative of a loss = that of the sample by itself
  stacked      several stacked directions = each by itself
  agreement    forward mode = oracle

Examples:
  foregrad check
  foregrad check --device cuda:0 --dtype f32      (a device without f64: weak limits)")]
pub struct Arguments {
    /// JSON on standard output
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
    /// Only parts whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Floating-point type; single precision hardly tells right from wrong
    #[arg(long, value_enum, default_value = "f64")]
    dtype: Dtype,
    /// Names every random draw
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// cpu (the whole test suite runs on it); wgpu, or wgpu:N for the discrete GPU N (tested on a GPU that is software); cuda or cuda:N
    /// (type-checked, not run); vulkan, metal, rocm (not tested)
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
}

#[derive(Serialize)]
struct Report {
    entries: Vec<Entry>,
    maps: Vec<Counted>,
}

/// Which maps one step of a method calls.
#[derive(Serialize)]
struct Counted {
    method: &'static str,
    #[serde(flatten)]
    counts: MapCounts,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    let dtype = match arguments.dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
    };
    let placement = device::placement(&arguments.device, dtype)?;
    let bar = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let entries = check::run_all(&placement, arguments.seed, arguments.only.as_deref().unwrap_or(""), |name| {
        bar.set_message(name.to_string());
        bar.tick();
    });
    bar.finish_and_clear();
    let entries = entries.context("--only")?;
    let failed = entries.iter().filter(|entry| !entry.passed()).count();
    let report = Report { entries, maps: count_maps()? };
    if arguments.json {
        output::line(serde_json::to_string(&report)?)?;
    } else {
        print(&report, failed)?;
    }
    Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
}

fn print(report: &Report, failed: usize) -> Result<()> {
    let row = |entry: &Entry| {
        let verdict = if entry.passed() { "ok" } else { "FAILED" };
        let numbers = [format!("{:.1e}", entry.worst), format!("{:.0e}", entry.limit)];
        let [worst, limit] = numbers;
        vec![format!("{} {}", entry.group, entry.name), entry.identity.to_string(), worst, limit, verdict.to_string()]
    };
    let rows: Vec<_> = report.entries.iter().map(row).collect();
    output::line(format_args!("{}\n", table::render(&["part", "identity", "worst", "limit", ""], &rows)))?;
    output::line("Maps that one step calls on a network of six blocks (across: a cotangent crosses a block's border)")?;
    let row = |counted: &Counted| {
        let MapCounts { forward, tangent, cotangent_inside, cotangent_across, heads, classifier_cotangent } =
            counted.counts;
        let counts = [forward, tangent, cotangent_inside, cotangent_across, heads, classifier_cotangent];
        std::iter::once(counted.method.to_string()).chain(counts.iter().map(usize::to_string)).collect()
    };
    let rows: Vec<Vec<String>> = report.maps.iter().map(row).collect();
    let header = ["method", "forward", "tangent", "cotangent inside", "across", "heads", "classifier cotangent"];
    output::line(format_args!("{}\n", table::render(&header, &rows)))?;
    output::line(format_args!("{} identities, {failed} failed", report.entries.len()))
}

/// The methods of the paper's Table 1, and ours beside them.
const COUNTED: [&str; 9] = [
    "jvp-weights",
    "gaussian-weight-network",
    "jvp-activities",
    "local-weight-network-forward",
    "local-activity-forward",
    "local-activity-mixed-forward",
    "horizon-1-weight-network",
    "local-learning",
    "backprop",
];

/// The maps of the methods, counted on a narrow network.
fn count_maps() -> Result<Vec<Counted>> {
    let placement = Placement { device: Device::flex(), dtype: DType::F64 };
    let network = ModelConfig { width: 0.05, ..Default::default() }.init([1, 9, 9], 3, 0, &placement)?;
    let images = Stream::new(0, "check").named("maps").normal_tensor([4, 1, 9, 9], &placement);
    let labels = Labels::classes(vec![0, 1, 2, 0], 3);
    let input = StepInput::new(images, &labels, 0, 0);
    let count = |name: &&'static str| -> Result<Counted> {
        let config = Method::named(name)?.config();
        Ok(Counted { method: name, counts: check::count_maps(&config, &network, &input)? })
    };
    COUNTED.iter().map(count).collect()
}
