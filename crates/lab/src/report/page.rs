//! The report as one page of HTML that needs no network.

use minijinja::Environment;
use serde::Serialize;

use super::charts::{self, Section};
use super::last_scores;
use super::order::{CONTRADICTIONS, Contradiction, Order};
use super::rows::status;
use super::summary::Summary;
use super::table::{Cell, Table};
use crate::Error;
use crate::study::{Results, Row, RunResult};
use crate::train::{Score, of_network};

/// Where the page lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// In a file: everything is in it.
    File,
    /// On a server: it loads plotly.js from there and looks every few seconds whether it has changed.
    Live,
}

const TEMPLATE: &str = include_str!("page.html");
pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

/// Seconds between two looks of a live page.
const INTERVAL: u32 = 4;

#[derive(Serialize)]
struct Context<'a> {
    style: &'static str,
    script: &'static str,
    /// plotly.js itself; none where it is loaded from the server.
    library: Option<&'a str>,
    interval: Option<u32>,
    summary: &'a Summary,
    progress: String,
    table: Rows,
    /// Of a data set: the sentence, and one a contradiction.
    orders: Vec<(String, Vec<String>)>,
    contradictions: &'static str,
    sections: Vec<Section>,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Rows {
    columns: Vec<(String, bool)>,
    rows: Vec<Vec<(String, String, bool)>>,
    notes: Vec<String>,
}

/// A run's own section.
#[derive(Serialize)]
struct Run {
    name: String,
    status: &'static str,
    judged: String,
    error: Option<String>,
    choices: Vec<(String, String)>,
    machine: Vec<(&'static str, String)>,
    sets: Vec<&'static str>,
    scores: Vec<Vec<String>>,
    settings: String,
}

/// The page of a study's results: a pure function of them.
pub fn html(results: &Results, page: Page) -> String {
    let summary = Summary::of(results);
    let library = (page == Page::File).then(library);
    let context = Context {
        style: STYLE,
        script: SCRIPT,
        library: library.as_deref(),
        interval: (page == Page::Live).then_some(INTERVAL),
        progress: summary.progress(),
        table: rows(&Table::of(&summary)),
        orders: summary.orders.iter().map(order).collect(),
        contradictions: CONTRADICTIONS,
        sections: charts::sections(results, &summary),
        runs: results.runs.iter().map(run).collect(),
        summary: &summary,
    };
    rendered("page.html", TEMPLATE, &context)
}

/// A template filled in. One named `.html` escapes whatever it is not told to trust.
pub(super) fn rendered(name: &str, template: &str, context: &impl Serialize) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.add_template(name, template).expect("a template without mistakes");
    let template = environment.get_template(name).expect("it was added");
    template.render(context).expect("the template asks for nothing that is not there")
}

/// The page that stands in for the report as long as the study cannot be read; it tries again by itself.
pub fn failure(error: &Error) -> String {
    let text = minijinja::HtmlEscape(&error.to_string()).to_string();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"{INTERVAL}\">\
         <title>foregrad report</title><style>{STYLE}</style><p class=\"absent\">{text}</p></html>"
    )
}

/// plotly.js, which a live page loads from `/plotly.js`.
pub fn library() -> String {
    let scripts = plotly::Plot::offline_js_sources();
    // The first of the scripts that come with the crate; the other one sets formulas, which no chart has.
    let first = scripts.split_once("</script>").map_or(scripts.as_str(), |(first, _)| first);
    first.split_once('>').map_or(first, |(_, script)| script).to_string()
}

fn order(order: &Order) -> (String, Vec<String>) {
    (order.sentence(), order.contradictions.iter().map(Contradiction::sentence).collect())
}

fn rows(table: &Table) -> Rows {
    let cell = |cell: &Cell| {
        let key = cell.value.map_or_else(|| cell.text.clone(), |value| value.to_string());
        (cell.text.clone(), key, cell.is_best)
    };
    Rows {
        columns: table.columns.iter().map(|column| (column.title.clone(), column.is_number)).collect(),
        rows: table.rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
        notes: table.notes.clone(),
    }
}

fn run(run: &RunResult) -> Run {
    let scores = last_scores(run);
    let network = of_network(scores.test);
    let error = run.row.as_ref().and_then(Row::failure);
    let sets = [("train", scores.train), ("test", scores.test), ("validation", scores.validation)];
    let sets: Vec<_> = sets.into_iter().filter(|(_, set)| !set.is_empty()).collect();
    let depth = scores.train.len().max(scores.test.len());
    let row = |block: usize| {
        let name = if block + 1 == depth { "network".to_string() } else { format!("block {block}") };
        let cells = sets.iter().flat_map(|(_, set)| cells(set.get(block).and_then(Option::as_ref)));
        [name].into_iter().chain(cells).collect()
    };
    let is_known = |row: &Vec<String>| row[1..].iter().any(|cell| !cell.is_empty());
    Run {
        name: run.planned.name.clone(),
        status: status(run),
        judged: network.map_or(String::new(), Score::judged),
        error,
        choices: run.planned.choices.clone(),
        sets: sets.iter().map(|(name, _)| *name).collect(),
        machine: machine(run),
        scores: (0..depth).map(row).filter(is_known).collect(),
        settings: run.planned.config.to_toml(),
    }
}

fn cells(score: Option<&Score>) -> Vec<String> {
    match score {
        Some(score) => vec![format!("{:.4}", score.loss), score.judged()],
        None => vec![String::new(); 2],
    }
}

fn machine(run: &RunResult) -> Vec<(&'static str, String)> {
    let Some(row) = &run.row else { return Vec::new() };
    let machine = &row.machine;
    let mut facts = vec![
        ("host", machine.host.clone()),
        ("processor", machine.processor.clone()),
        ("threads", machine.threads.to_string()),
        ("device", machine.device.clone()),
        ("instructions", machine.instructions.clone()),
        ("version", machine.version.clone()),
    ];
    if !row.is_failed() {
        facts.extend([
            ("seconds of training", format!("{:.1}", machine.seconds)),
            ("images/s", format!("{:.1}", machine.images_per_second)),
            ("peak memory, MiB", format!("{:.0}", machine.peak_memory as f64 / 1048576.0)),
        ]);
    }
    facts
}
