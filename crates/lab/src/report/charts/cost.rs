//! What accuracy costs.

use plotly::common::Position;

use super::figure::{Figure, Look, Point};
use super::{Data, Section, Variant};
use crate::report::spread::Spread;

/// With more points than these, names stand in the legend only.
const LABELLED: usize = 12;

/// A cost: the title of its axis, its unit, its value.
type Cost = (&'static str, &'static str, fn(&Variant) -> Option<Spread>);
const COSTS: [Cost; 2] =
    [("training time, seconds", "s", |own| own.seconds), ("peak memory, MiB", "MiB", |own| own.peak_memory)];

/// Test accuracy, or loss where there are no classes, against training time and against peak memory.
pub fn against_accuracy(data: &Data<'_>) -> Section {
    let has_classes = data.summary.has_classes;
    let judged = if has_classes { "test accuracy, %" } else { "test loss" };
    let mut figure = Figure::new(&COSTS.map(|(title, ..)| [title, judged]));
    let combinations = &data.summary.combinations;
    for (panel, (_, unit, cost)) in COSTS.iter().enumerate() {
        let costs: Vec<f64> = combinations.iter().filter_map(|own| Some(cost(own)?.mean)).collect();
        let [least, most] = [costs.iter().copied().fold(f64::MAX, f64::min), costs.iter().copied().fold(0.0, f64::max)];
        for (index, own) in combinations.iter().enumerate() {
            let quality = if has_classes { own.test_accuracy } else { own.test_loss };
            let (Some(cost), Some(quality)) = (cost(own), quality) else { continue };
            // A name stands on that side of its point where the panel has more room.
            let side = match (2.0 * cost.mean > least + most, index % 2 == 0) {
                (true, true) => Position::TopLeft,
                (true, false) => Position::BottomLeft,
                (false, true) => Position::TopRight,
                (false, false) => Position::BottomRight,
            };
            let label = (combinations.len() <= LABELLED).then_some(side);
            let of = if has_classes { format!("{} %", quality.text(2)) } else { format!("loss {}", quality.text(4)) };
            let text = format!("{} {unit}, {of}", cost.text(1));
            let point = Point { x: cost.mean, y: quality.mean, text };
            let deviations = [cost, quality].map(|spread| spread.deviation.unwrap_or(0.0));
            figure.point(panel, &own.name, &Look::of(index), point, deviations, label);
        }
    }
    let absent = "No run is done yet; `foregrad study` goes on with them.";
    Section {
        id: "cost",
        title: if has_classes { "Accuracy and cost" } else { "Loss and cost" },
        about: "What the test images say at the end, against seconds of training (tests not counted) and against the process's largest \
                resident memory, means over seeds with sample deviations.",
        absent: figure.is_empty().then(|| absent.to_string()).into_iter().collect(),
        charts: (!figure.is_empty()).then(|| figure.chart("chart-cost", "")).into_iter().collect(),
    }
}
