//! Scores over epochs, and of every head by depth.

use super::figure::{Figure, Look, Point};
use super::{Data, Section};
use crate::report::last_scores;
use crate::report::spread::{Spread, averaged};
use crate::train::{EpochRecord, Score, of_network};

/// Which images, by the name of their scores.
type Set = (&'static str, fn(&EpochRecord) -> &[Option<Score>]);
const SETS: [Set; 2] = [("test", |epoch| &epoch.test), ("train", |epoch| &epoch.train)];

/// A point at a place, with its spread in words.
pub(super) fn point(x: u64, of: &str, spread: Spread, digits: usize) -> Point {
    let runs = if spread.runs == 1 { "1 run".to_string() } else { format!("{} runs", spread.runs) };
    Point { x: x as f64, y: spread.mean, text: format!("{of} {x}: {}, {runs}", spread.text(digits)) }
}

/// The network's accuracy and loss on test and training images over epochs (Figs. 3 and 6 of the paper).
pub fn over_epochs(data: &Data<'_>) -> Section {
    let accuracies = [["epoch", "test accuracy, %"], ["epoch", "train accuracy, %"]];
    let accuracies = if data.summary.has_classes { &accuracies[..] } else { &[] };
    let mut figure = Figure::new(&[accuracies, &[["epoch", "test loss"], ["epoch", "train loss"]]].concat());
    for (index, own) in data.summary.combinations.iter().enumerate() {
        for (column, (_, set)) in SETS.iter().enumerate() {
            let curve = |part: fn(&Score) -> Option<f64>| {
                let value = |epoch: &EpochRecord| Some((epoch.epoch, part(of_network(set(epoch))?)?));
                averaged(data.runs(own).map(|run| run.epochs.iter().filter_map(value).collect()))
            };
            let points = |curve: Vec<(u64, Spread)>, digits| {
                curve.into_iter().map(|(epoch, spread)| point(epoch, "epoch", spread, digits)).collect()
            };
            if !accuracies.is_empty() {
                let accuracy = |score: &Score| score.accuracy().map(|part| 100.0 * part);
                figure.line(column, &own.name, &Look::of(index), points(curve(accuracy), 2));
            }
            let losses = points(curve(|score| Some(score.loss)), 4);
            figure.line(accuracies.len() + column, &own.name, &Look::of(index), losses);
        }
    }
    let absent = "No run has finished an epoch yet; `foregrad study` runs them.";
    Section {
        id: "training",
        title: "Training",
        about: "Accuracy and loss of the network over epochs, means over seeds; on training images as they are met \
                while learning.",
        absent: figure.is_empty().then(|| absent.to_string()).into_iter().collect(),
        sentences: Vec::new(),
        charts: (!figure.is_empty()).then(|| figure.chart("chart-training", "")).into_iter().collect(),
    }
}

/// The last losses of every head and, at the right end, of the network (Figs. 2 and 7 of the paper).
pub fn by_depth(data: &Data<'_>) -> Section {
    let mut figure = Figure::new(&[["block", "final test loss"], ["block", "final train loss"]]);
    let mut has_heads = false;
    for (index, own) in data.summary.combinations.iter().enumerate() {
        for (panel, (name, _)) in SETS.iter().enumerate() {
            let losses = data.runs(own).map(|run| {
                let scores = last_scores(run);
                let set = if *name == "test" { scores.test } else { scores.train };
                let loss = |(block, score): (usize, &Option<Score>)| Some((block as u64, score.as_ref()?.loss));
                set.iter().enumerate().filter_map(loss).collect::<Vec<_>>()
            });
            let curve = averaged(losses);
            has_heads |= curve.len() > 1;
            let points = curve.into_iter().map(|(block, spread)| point(block, "block", spread, 4)).collect();
            figure.line(panel, &own.name, &Look::of(index), points);
        }
    }
    let absent = "No head has learnt; a local guess or target (`estimator.guess = \"local\"`) makes heads learn.";
    Section {
        id: "heads",
        title: "Losses by depth",
        about: "Final loss of every block's head, means over seeds; the last block's is the network's own. Heads \
                that do not learn have none.",
        absent: (!has_heads).then(|| absent.to_string()).into_iter().collect(),
        sentences: Vec::new(),
        charts: has_heads.then(|| figure.chart("chart-heads", "")).into_iter().collect(),
    }
}
