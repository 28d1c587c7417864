//! What a study's runs will take, from two small steps of each kind of run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use burn::tensor::DType;
use foregrad::estimate::{self, EstimatorState, StepInput};
use foregrad::losses::{LabelKind, Labels};
use foregrad::rng::Stream;
use foregrad_lab::data::{self, Source, Subset};
use foregrad_lab::study::PlannedRun;
use foregrad_lab::train::{RunConfig, evaluate, network_for};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::Arguments;
use crate::commands::trial::Meter;
use crate::commands::work;
use crate::{Exit, device, machine, output, process, table};

/// Images of a step that is measured.
const IMAGES: usize = 32;

/// What a run is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Estimate {
    steps: u64,
    seconds: f64,
    /// Bytes.
    memory: u64,
}

/// What runs of one kind have in common: all but the seed, which makes no difference to what a step takes.
pub fn kind_of(config: &RunConfig) -> String {
    RunConfig { seed: 0, ..config.clone() }.to_toml()
}

/// Lists the runs with their estimates.
pub fn list(arguments: &Arguments, runs: &[PlannedRun]) -> Result<Exit> {
    let mut known: BTreeMap<String, Option<Estimate>> = BTreeMap::new();
    let bar = ProgressBar::new(runs.len() as u64);
    let (mut rows, mut estimates) = (Vec::new(), Vec::new());
    let (mut total, mut problem) = (0.0, None);
    for run in runs {
        let kind = kind_of(&run.config);
        let found = match known.get(&kind) {
            Some(found) => *found,
            None => {
                let found = estimated(&run.config);
                if let Err(error) = &found {
                    problem.get_or_insert_with(|| format!("{}: {error:#}", run.name));
                }
                let found = found.ok();
                known.insert(kind, found);
                found
            }
        };
        estimates.push(found);
        total += found.map_or(0.0, |found| found.seconds);
        let cell = |text: fn(Estimate) -> String| found.map_or("-".to_string(), text);
        let memory = |found: Estimate| format!("{}", found.memory >> 20);
        rows.push(vec![
            run.name.clone(),
            cell(|found| found.steps.to_string()),
            cell(|f| duration(f.seconds)),
            cell(memory),
        ]);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if arguments.json {
        for (run, estimate) in runs.iter().zip(estimates) {
            output::line(serde_json::json!({ "run": run.name, "choices": run.choices, "estimate": estimate }))?;
        }
        return Ok(Exit::Done);
    }
    output::line(table::render(&["run", "steps", "about", "MiB, about"], &rows))?;
    output::line(format_args!("\n{} runs, about {} one after the other", runs.len(), duration(total)))?;
    if let Some(problem) = problem {
        output::remark(format_args!("no estimate where a run cannot be made here: {problem}"));
    }
    Ok(Exit::Done)
}

/// The estimate of one kind of run, within its budget, by a process of its own, so that its memory is its own.
fn estimated(config: &RunConfig) -> Result<Estimate> {
    let within = config.within_budget(&Meter)?;
    process::result_of(&work::Task::Estimate(Box::new(within)))
}

/// Seconds for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Measures one run in this process and prints the estimate.
pub fn measure(config: &RunConfig) -> Result<Exit> {
    device::set_threads(config.threads)?;
    let placement = device::placement(&config.device, DType::F32)?;
    let splits = data::load(&config.data.dataset, &config.data.load_options(config.seed))?;
    let (network, plan) = network_for(config, &splits, &placement)?;
    let before = machine::peak_memory();
    let samples = IMAGES.min(config.batch);
    let [channels, height, width] = splits.train.shape();
    let images = Stream::new(0, "estimate").normal_tensor([samples, channels, height, width], &placement);
    let labels = match splits.train.kind() {
        LabelKind::Classes(classes) => Labels::classes((0..samples).map(|sample| sample % classes).collect(), classes),
        LabelKind::Values(width) => Labels::values(vec![0.0; samples * width], width),
    };
    let mut step = 0.0;
    for number in 0..2 {
        let began = Instant::now();
        let input = StepInput::new(images.clone(), &labels, 0, number);
        drop(estimate::step(&config.estimator, &network, &input, &EstimatorState::default())?);
        step = began.elapsed().as_secs_f64();
    }
    let after = machine::peak_memory();
    let judged: Arc<dyn Source> =
        Arc::new(Subset::new(splits.test.clone(), (0..samples.min(splits.test.len())).collect()));
    let began = Instant::now();
    evaluate(&network, &judged, &plan.trains, &placement)?;
    let test = began.elapsed().as_secs_f64() / judged.len().max(1) as f64;
    let steps = config.epochs * (splits.train.len() / config.batch) as u64;
    let share = config.batch as f64 / samples as f64;
    let tested = (splits.test.len() + splits.validation.len()) as f64;
    let seconds = steps as f64 * step * share + config.epochs as f64 * tested * test;
    let memory = before + (after.saturating_sub(before) as f64 * share) as u64;
    output::line(serde_json::to_string(&Estimate { steps, seconds, memory })?)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_for_people() {
        assert_eq!([61.0, 600.0, 9000.0].map(duration), ["61 s", "10 min", "2.5 h"]);
    }
}
