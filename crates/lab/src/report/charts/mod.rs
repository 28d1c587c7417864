//! The charts of a report, by section.

mod cost;
mod figure;
mod probes;
mod training;

pub(super) use figure::{Figure, Look, Point};
use serde::Serialize;

use super::summary::Summary;
use super::variant::Variant;
use crate::study::{Results, RunResult};

/// A stretch of the report: charts, and what is missing for more of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its name in links.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What its charts show.
    pub about: &'static str,
    /// What would produce the charts that are not there, a sentence each.
    pub absent: Vec<String>,
    /// What the charts say, a sentence each.
    pub sentences: Vec<String>,
    /// The charts that there are data for.
    pub charts: Vec<Chart>,
}

/// A chart as plotly.js draws it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// Its name on the page.
    pub id: String,
    /// Its heading; may be empty.
    pub title: String,
    /// Traces and layout, as JSON that is safe inside a page's script element.
    pub figure: String,
    /// Its height, pixels.
    pub height: usize,
}

/// What charts are made from.
struct Data<'a> {
    results: &'a Results,
    summary: &'a Summary,
}

impl<'a> Data<'a> {
    /// The runs of a combination.
    fn runs(&self, combination: &'a Variant) -> impl Iterator<Item = &'a RunResult> {
        let results = self.results;
        combination.members.iter().filter_map(move |run| results.runs.get(*run))
    }
}

/// All sections, also those without data.
pub fn sections(results: &Results, summary: &Summary) -> Vec<Section> {
    let data = Data { results, summary };
    vec![
        training::over_epochs(&data),
        training::by_depth(&data),
        probes::by_block(&data),
        cost::against_accuracy(&data),
        probes::distribution(&data),
    ]
}
