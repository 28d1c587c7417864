//! The summary as cells, for whatever writes tables.

use super::summary::Summary;
use super::variant::Variant;

/// What stands in a cell without a value.
const NOTHING: &str = "–";

/// A table's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its title, with the unit.
    pub title: String,
    /// Whether it holds numbers, which stand to the right.
    pub is_number: bool,
    /// Whether it holds sentences, for which a terminal has no room.
    pub is_prose: bool,
}

/// A table's cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What it is sorted by, if it is a number.
    pub value: Option<f64>,
    /// Whether it is the best of its column.
    pub is_best: bool,
}

/// One row a combination.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows: as many cells as columns each.
    pub rows: Vec<Vec<Cell>>,
    /// What a reader must know to read it, a sentence each.
    pub notes: Vec<String>,
}

/// A column of numbers: its title, the value a cell is sorted by and its text.
type Numbers = (&'static str, fn(&Variant) -> Option<(f64, String)>);

const ACCURACY: Numbers = ("test accuracy, %", |own| own.test_accuracy.map(|spread| (spread.mean, spread.text(2))));
const LOSS: Numbers = ("test loss", |own| own.test_loss.map(|spread| (spread.mean, spread.text(4))));
const VALIDATION: Numbers =
    ("validation accuracy, %", |own| own.validation_accuracy.map(|spread| (spread.mean, spread.text(2))));
const PUBLISHED: Numbers = ("published, %", |own| {
    own.published.map(|figure| {
        let deviation = figure.deviation.map(|deviation| format!(" ± {deviation:.1}")).unwrap_or_default();
        (figure.mean, format!("{:.1}{deviation}", figure.mean))
    })
});
const DIFFERENCE: Numbers = ("difference, deviations", |own| {
    own.published?.difference.map(|difference| (difference, format!("{difference:+.1}")))
});
const TRAIN_LOSS: Numbers =
    ("train loss", |own| own.train_loss.map(|spread| (spread.mean, format!("{:.4}", spread.mean))));
const OPERATIONS: Numbers = ("TFLOP", |own| own.operations.map(|spread| (spread.mean, significant(spread.mean))));
const COSTS: [Numbers; 3] = [
    ("seconds", |own| own.seconds.map(|spread| (spread.mean, rounded(spread.mean)))),
    ("images/s", |own| own.images_per_second.map(|spread| (spread.mean, rounded(spread.mean)))),
    ("peak memory, MiB", |own| own.peak_memory.map(|spread| (spread.mean, format!("{:.0}", spread.mean)))),
];

/// Three digits or all before the point.
fn rounded(value: f64) -> String {
    let digits = if value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$}")
}

/// Three significant digits or all before the point: these values may be of any size.
fn significant(value: f64) -> String {
    let digits = (2.0 - value.abs().max(f64::MIN_POSITIVE).log10().floor()).clamp(0.0, 12.0) as usize;
    format!("{value:.digits$}")
}

impl Table {
    /// The table of a summary.
    pub fn of(summary: &Summary) -> Self {
        let has_search = summary.combinations.iter().any(|own| !own.chosen.is_empty());
        let has_figures = summary.combinations.iter().any(|own| own.published.is_some());
        let has_classes = summary.has_classes;
        let mut numbers = vec![if has_classes { ACCURACY } else { LOSS }];
        numbers.extend((has_search && has_classes).then_some(VALIDATION));
        let has_differences = summary.combinations.iter().any(has_difference);
        numbers.extend(has_figures.then_some(PUBLISHED));
        numbers.extend(has_differences.then_some(DIFFERENCE));
        numbers.push(TRAIN_LOSS);
        numbers.extend(summary.combinations.iter().any(|own| own.operations.is_some()).then_some(OPERATIONS));
        numbers.extend(COSTS);
        let of = if has_classes { "accuracy" } else { "loss" };
        let means = if has_classes { "Accuracies" } else { "Losses" };
        let mut notes = vec![format!("{means} are means over seeds with their sample deviations.")];
        if has_search {
            notes
                .push(format!("Of an axis marked `chosen` only the value with the best mean validation {of} is kept."));
        }
        if summary.is_reduced && has_figures {
            notes.push("Published figures are of the full size: compare the order, not the numbers.".to_string());
        }
        if has_elsewhere(summary) {
            notes.push("What was published elsewhere is of other networks and settings, named beside it.".to_string());
        }
        if has_differences {
            notes.push("Differences from published means are in published standard deviations.".to_string());
        }
        Self {
            columns: columns(summary, &numbers),
            rows: summary.combinations.iter().map(|own| row(own, &numbers, has_elsewhere(summary))).collect(),
            notes,
        }
    }
}

/// The column of what was published in other settings.
const ELSEWHERE: &str = "published elsewhere";

fn has_elsewhere(summary: &Summary) -> bool {
    summary.combinations.iter().any(|own| own.elsewhere.is_some())
}

fn has_difference(own: &Variant) -> bool {
    own.published.is_some_and(|figure| figure.difference.is_some())
}

fn columns(summary: &Summary, numbers: &[Numbers]) -> Vec<Column> {
    let column = |title: String, is_number: bool| Column { title, is_number, is_prose: false };
    let first = summary.combinations.first();
    let crossed = first.into_iter().flat_map(|own| &own.choices).map(|(axis, _)| column(axis.clone(), false));
    let chosen =
        first.into_iter().flat_map(|own| &own.chosen).map(|(axis, _)| column(format!("{axis}, chosen"), false));
    let counted = [column("runs".into(), true)];
    let numbers = numbers.iter().map(|(title, _)| column(title.to_string(), true));
    let elsewhere = has_elsewhere(summary).then(|| Column { is_prose: true, ..column(ELSEWHERE.into(), false) });
    crossed.chain(chosen).chain(counted).chain(numbers).chain(elsewhere).collect()
}

fn row(own: &Variant, numbers: &[Numbers], has_elsewhere: bool) -> Vec<Cell> {
    let plain = |text: &str| Cell { text: text.to_string(), value: text.parse().ok(), is_best: false };
    let crossed = own.choices.iter().map(|(_, value)| plain(value));
    let chosen = own.chosen.iter().map(|(_, value)| plain(value.as_deref().unwrap_or(NOTHING)));
    let counted = Cell {
        text: if own.done == own.planned { own.done.to_string() } else { format!("{} of {}", own.done, own.planned) },
        value: Some(own.done as f64),
        is_best: false,
    };
    let number = |(title, cell): &Numbers| match cell(own) {
        Some((value, text)) => {
            Cell { text, value: Some(value), is_best: own.is_best && [ACCURACY.0, LOSS.0].contains(title) }
        }
        None => plain(NOTHING),
    };
    let elsewhere = has_elsewhere.then(|| plain(own.elsewhere.as_deref().unwrap_or(NOTHING)));
    crossed.chain(chosen).chain([counted]).chain(numbers.iter().map(number)).chain(elsewhere).collect()
}
