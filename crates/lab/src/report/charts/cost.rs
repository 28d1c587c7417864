//! What accuracy costs.

use plotly::common::Position;

use super::figure::{Figure, Look, Point};
use super::{Data, Section, Variant};
use crate::report::fronts::{COSTS, Cost, Fronts, front};
use crate::report::spread::Spread;

/// With more points than these, names stand in the legend only.
const LABELLED: usize = 12;

/// Test accuracy, or loss where there are no classes, against every cost that was measured, with the front of each.
pub fn against_accuracy(data: &Data<'_>) -> Section {
    let has_classes = data.summary.has_classes;
    let judged = if has_classes { "test accuracy, %" } else { "test loss" };
    let combinations: Vec<&Variant> = data.summary.combinations.iter().collect();
    let is_measured = |cost: &&Cost| combinations.iter().any(|own| (cost.of)(own).is_some());
    let costs: Vec<&Cost> = COSTS.iter().filter(is_measured).collect();
    let fronts = &data.summary.fronts;
    let mut figure = Figure::new(&costs.iter().map(|cost| [cost.title, judged]).collect::<Vec<_>>());
    for (panel, cost) in costs.iter().enumerate() {
        Panel { panel, cost, has_classes, combinations: &combinations, fronts }.draw(&mut figure);
    }
    let absent = "No run is done yet; `foregrad study` goes on with them.";
    Section {
        id: "cost",
        title: if has_classes { "Accuracy and cost" } else { "Loss and cost" },
        about: "What the test images say at the end, against operations (products only) and seconds of training (tests not counted) and \
                against the process's largest resident memory, means over seeds with sample deviations. A dashed line joins what is better \
                than everything that costs no more.",
        absent: figure.is_empty().then(|| absent.to_string()).into_iter().collect(),
        sentences: fronts.iter().flat_map(|own| [vec![own.title()], own.sentences()].concat()).collect(),
        charts: (!figure.is_empty()).then(|| figure.chart("chart-cost", "")).into_iter().collect(),
    }
}

/// The points of one cost.
struct Panel<'a> {
    panel: usize,
    cost: &'a Cost,
    has_classes: bool,
    combinations: &'a [&'a Variant],
    fronts: &'a [Fronts],
}

impl Panel<'_> {
    fn draw(&self, figure: &mut Figure) {
        // Below the points, which it must not hide.
        for fronts in self.fronts {
            let rivals: Vec<_> = self.combinations.iter().copied().filter(|own| fronts.compares(own)).collect();
            let ahead = front(&rivals, self.cost);
            let ahead = ahead.into_iter().filter_map(|own| Some(self.point(own)?.0)).collect();
            figure.line(self.panel, &fronts.name(), &Look::whole(), ahead);
        }
        let costs = self.combinations.iter().filter_map(|own| Some((self.cost.of)(own)?.mean));
        let ends = costs.fold([f64::MAX, 0.0], |[least, most], cost| [cost.min(least), cost.max(most)]);
        for (index, own) in self.combinations.iter().enumerate() {
            let Some((point, deviations)) = self.point(own) else { continue };
            // A name stands on that side of its point where the panel has more room.
            let side = match (2.0 * point.x > ends[0] + ends[1], index % 2 == 0) {
                (true, true) => Position::TopLeft,
                (true, false) => Position::BottomLeft,
                (false, true) => Position::TopRight,
                (false, false) => Position::BottomRight,
            };
            let label = (self.combinations.len() <= LABELLED).then_some(side);
            figure.point(self.panel, &own.name, &Look::of(index), point, deviations, label);
        }
    }

    /// A combination's point and its deviations.
    fn point(&self, own: &Variant) -> Option<(Point, [f64; 2])> {
        let quality = if self.has_classes { own.test_accuracy } else { own.test_loss }?;
        let cost = (self.cost.of)(own)?;
        let judged =
            if self.has_classes { format!("{} %", quality.text(2)) } else { format!("loss {}", quality.text(4)) };
        let text = format!("{} {}, {judged}", cost.text(1), self.cost.unit);
        let deviation = |spread: Spread| spread.deviation.unwrap_or(0.0);
        Some((Point { x: cost.mean, y: quality.mean, text }, [deviation(cost), deviation(quality)]))
    }
}
