//! Every run as a line of values: comma-separated, or as a Parquet file.

use super::field::Field;
use super::last_scores;
use super::parquet;
use crate::study::{Ending, Machine, Results, RunResult};
use crate::train::{Score, of_network};

/// A column's name, and its value of a run.
type Column = (&'static str, fn(&RunResult) -> Field);

/// The first column: the run's name.
const RUN: &str = "run";

/// The columns after the run's name and its values on the axes.
const COLUMNS: [Column; 22] = [
    ("seed", |run| Field::Integer(Some(run.planned.config.seed))),
    ("status", |run| Field::Text(Some(status(run).to_string()))),
    ("epochs", |run| Field::Integer(so_far(run)[0])),
    ("steps", |run| Field::Integer(so_far(run)[1])),
    ("operations", |run| Field::Integer(operations(run))),
    ("train_loss", |run| own(last_scores(run).train, |score| Some(score.loss))),
    ("train_accuracy", |run| own(last_scores(run).train, Score::accuracy)),
    ("test_loss", |run| own(last_scores(run).test, |score| Some(score.loss))),
    ("test_accuracy", |run| own(last_scores(run).test, Score::accuracy)),
    ("validation_loss", |run| own(last_scores(run).validation, |score| Some(score.loss))),
    ("validation_accuracy", |run| own(last_scores(run).validation, Score::accuracy)),
    ("seconds", |run| Field::Number(machine(run).map(|machine| machine.seconds))),
    ("images_per_second", |run| Field::Number(machine(run).map(|machine| machine.images_per_second))),
    ("peak_memory_bytes", |run| Field::Integer(machine(run).map(|machine| machine.peak_memory))),
    ("host", |run| Field::Text(machine(run).map(|machine| machine.host.clone()))),
    ("processor", |run| Field::Text(machine(run).map(|machine| machine.processor.clone()))),
    ("threads", |run| Field::Integer(machine(run).map(|machine| machine.threads as u64))),
    ("device", |run| Field::Text(machine(run).map(|machine| machine.device.clone()))),
    ("instructions", |run| Field::Text(machine(run).map(|machine| machine.instructions.clone()))),
    ("version", |run| Field::Text(machine(run).map(|machine| machine.version.clone()))),
    ("ended", |run| Field::Integer(machine(run).map(|machine| machine.ended))),
    ("error", |run| Field::Text(error(run))),
];

/// One line a run, also of those that failed or are missing: name, axes, seed, state, last scores, machine.
pub fn rows(results: &Results) -> Vec<u8> {
    let table = table(results);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.iter().map(|(name, _)| name)).expect("memory takes every line");
    for run in 0..results.runs.len() {
        let line = table.iter().map(|(_, fields)| text(&fields[run]));
        writer.write_record(line).expect("memory takes every line, and lines are equally long");
    }
    writer.into_inner().expect("memory takes every line")
}

/// The lines of [`rows`] as a Parquet file, with columns of text, of unsigned integers and of floating-point numbers.
pub fn parquet_rows(results: &Results) -> Vec<u8> {
    parquet::file(&table(results))
}

/// The columns by name, each with a cell a run.
fn table(results: &Results) -> Vec<(String, Vec<Field>)> {
    let column = |value: &dyn Fn(&RunResult) -> Field| results.runs.iter().map(value).collect();
    let mut table = vec![(RUN.to_string(), column(&|run| Field::Text(Some(run.planned.name.clone()))))];
    for (place, axis) in results.study.axes.iter().enumerate() {
        let is_taken = axis.name == RUN || COLUMNS.iter().any(|(name, _)| *name == axis.name);
        let name = if is_taken { format!("axis {}", axis.name) } else { axis.name.clone() };
        table.push((name, column(&|run| Field::Text(Some(run.planned.choices[place].1.clone())))));
    }
    table.extend(COLUMNS.iter().map(|(name, value)| (name.to_string(), column(value))));
    table
}

fn text(field: &Field) -> String {
    match field {
        Field::Text(value) => value.clone().unwrap_or_default(),
        Field::Integer(value) => value.map_or(String::new(), |value| value.to_string()),
        Field::Number(value) => value.map_or(String::new(), |value| value.to_string()),
    }
}

/// Epochs and steps that are done.
fn so_far(run: &RunResult) -> [Option<u64>; 2] {
    let last = run.epochs.last();
    match run.row.as_ref().map(|row| &row.ending) {
        Some(Ending::Done { epochs, steps, .. }) => [Some(*epochs), Some(*steps)],
        _ => [last.map(|epoch| epoch.epoch), last.map(|epoch| epoch.step)],
    }
}

/// Operations of training, where they were counted.
fn operations(run: &RunResult) -> Option<u64> {
    let counted = match run.row.as_ref().map(|row| &row.ending) {
        Some(Ending::Done { operations, .. }) => *operations,
        _ => run.epochs.iter().map(|epoch| epoch.operations).sum(),
    };
    Some(counted).filter(|counted| *counted > 0)
}

fn own(scores: &[Option<Score>], part: fn(&Score) -> Option<f64>) -> Field {
    Field::Number(of_network(scores).and_then(part))
}

fn machine(run: &RunResult) -> Option<&Machine> {
    run.row.as_ref().map(|row| &row.machine)
}

fn error(run: &RunResult) -> Option<String> {
    run.row.as_ref()?.failure()
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
