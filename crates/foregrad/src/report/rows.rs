//! Every run as a line of comma-separated values.

use super::last_scores;
use crate::study::{Ending, Results, RunResult};
use crate::train::Score;

/// The columns after the axes'.
const COLUMNS: [&str; 21] = [
    "seed",
    "status",
    "epochs",
    "steps",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "validation_loss",
    "validation_accuracy",
    "seconds",
    "images_per_second",
    "peak_memory_bytes",
    "host",
    "processor",
    "threads",
    "device",
    "instructions",
    "version",
    "ended",
    "error",
];

/// One line a run, also of those that failed or are missing: name, axes, seed, state, last scores, machine.
pub fn rows(results: &Results) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let axes = results.study.axes.iter().map(|axis| axis.name.as_str());
    let header: Vec<&str> = ["run"].into_iter().chain(axes).chain(COLUMNS).collect();
    writer.write_record(header).expect("memory takes every line");
    for run in &results.runs {
        writer.write_record(row(run)).expect("memory takes every line, and lines are equally long");
    }
    writer.into_inner().expect("memory takes every line")
}

fn row(run: &RunResult) -> Vec<String> {
    let mut cells = vec![run.planned.name.clone()];
    cells.extend(run.planned.choices.iter().map(|(_, value)| value.clone()));
    cells.extend([run.planned.config.seed.to_string(), status(run).to_string()]);
    let last = run.epochs.last();
    let (epochs, steps) = match run.row.as_ref().map(|row| &row.ending) {
        Some(Ending::Done { epochs, steps, .. }) => (Some(*epochs), Some(*steps)),
        _ => (last.map(|epoch| epoch.epoch), last.map(|epoch| epoch.step)),
    };
    cells.extend([epochs, steps].map(|count| count.map_or(String::new(), |count| count.to_string())));
    let scores = last_scores(run);
    for set in [scores.train, scores.test, scores.validation] {
        let score = set.last().copied().flatten();
        let cell = |part: fn(Score) -> f64| score.map_or(String::new(), |score| part(score).to_string());
        cells.extend([cell(|score| score.loss), cell(|score| score.accuracy)]);
    }
    cells.extend(match &run.row {
        None => vec![String::new(); 11],
        Some(row) => {
            let machine = &row.machine;
            let error = match &row.ending {
                Ending::Failed { error } => error.clone(),
                Ending::Done { .. } => String::new(),
            };
            vec![
                machine.seconds.to_string(),
                machine.images_per_second.to_string(),
                machine.peak_memory.to_string(),
                machine.host.clone(),
                machine.processor.clone(),
                machine.threads.to_string(),
                machine.device.clone(),
                machine.instructions.clone(),
                machine.version.clone(),
                machine.ended.to_string(),
                error,
            ]
        }
    });
    cells
}

/// How far a run is: `done`, `failed`, `begun` or `missing`.
pub(super) fn status(run: &RunResult) -> &'static str {
    match &run.row {
        Some(row) if row.is_failed() => "failed",
        Some(_) => "done",
        None if run.epochs.is_empty() => "missing",
        None => "begun",
    }
}
