//! A study's runs grouped by combination, over seeds, with the searched values chosen.

use serde::Serialize;

use super::fronts::Fronts;
use super::last_scores;
use super::order::Order;
use super::spread::Spread;
use super::variant::{Reference, Variant};
use crate::study::{Ending, Published, Results, Row, RunResult, published};
use crate::train::{RunConfig, Score, of_network};

/// What a study found: all that the tables say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The study's name.
    pub study: String,
    /// What it asks.
    pub question: String,
    /// What the answer is expected to be; may be empty.
    pub expected: String,
    /// Whether its runs are smaller than the paper's.
    pub is_reduced: bool,
    /// All its runs.
    pub runs: usize,
    /// Those that are done.
    pub done: usize,
    /// Those that could not go on.
    pub failures: Vec<Failure>,
    /// Those that have not ended.
    pub missing: usize,
    /// Of these, those with at least one epoch.
    pub begun: usize,
    /// One a combination of the crossed axes, in the order of the definition.
    pub combinations: Vec<Variant>,
    /// Whether its images have classes, as far as their scores tell.
    #[serde(skip)]
    pub has_classes: bool,
    /// The order of the measured accuracies beside that of the published, one a data set.
    pub orders: Vec<Order>,
    /// What is better than everything that costs no more, one a data set.
    pub fronts: Vec<Fronts>,
}

/// A run that could not go on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// Its name.
    pub run: String,
    /// Why.
    pub error: String,
}

impl Summary {
    /// Groups a study's runs.
    pub fn of(results: &Results) -> Self {
        let everything: Vec<usize> = (0..results.runs.len()).collect();
        let groups = grouped(&everything, |run| values(results, run, false));
        let varying = varying(groups.iter().map(|(choices, _)| choices.as_slice()));
        let combination = |(choices, group): &(Vec<(String, String)>, Vec<usize>)| {
            let name = name(choices, &varying).unwrap_or_else(|| results.study.name.clone());
            combination(results, name, choices, group)
        };
        let mut combinations: Vec<Variant> = groups.iter().map(combination).collect();
        mark_best(&mut combinations);
        let failure = |run: &RunResult| {
            let error = run.row.as_ref()?.failure()?;
            Some(Failure { run: run.planned.name.clone(), error })
        };
        let failures: Vec<Failure> = results.runs.iter().filter_map(failure).collect();
        let missing: Vec<&RunResult> = results.runs.iter().filter(|run| run.row.is_none()).collect();
        Self {
            study: results.study.name.clone(),
            question: results.study.question.trim().to_string(),
            expected: results.study.expected.trim().to_string(),
            is_reduced: results.study.reduced,
            runs: results.runs.len(),
            done: results.runs.len() - failures.len() - missing.len(),
            failures,
            missing: missing.len(),
            begun: missing.iter().filter(|run| !run.epochs.is_empty()).count(),
            has_classes: has_classes(results),
            orders: Order::of(&combinations),
            fronts: Fronts::of(&combinations),
            combinations,
        }
    }

    /// How far the study is, as a sentence.
    pub fn progress(&self) -> String {
        let mut parts = vec![format!("{} of {} runs done", self.done, self.runs)];
        if !self.failures.is_empty() {
            parts.push(format!("{} failed", self.failures.len()));
        }
        if self.missing > 0 {
            parts.push(format!("{} missing, of which {} begun", self.missing, self.begun));
        }
        parts.join("; ") + "."
    }
}

/// Whether every network's score that is there, of a run that has ended or not, is one of classes.
fn has_classes(results: &Results) -> bool {
    let scores = results.runs.iter().filter_map(|run| of_network(last_scores(run).train));
    scores.into_iter().all(|score| score.accuracy().is_some())
}

/// Of the axes that are searched, or of those that are not, a run's values.
fn values(results: &Results, run: usize, is_searched: bool) -> Vec<(String, String)> {
    let searches = |name: &str| results.study.axes.iter().any(|axis| axis.name == name && axis.search);
    let choices = results.runs[run].planned.choices.iter();
    choices.filter(|(axis, _)| searches(axis) == is_searched).cloned().collect()
}

/// Runs with the same key together, in the order of their first.
fn grouped<K: PartialEq>(runs: &[usize], key: impl Fn(usize) -> K) -> Vec<(K, Vec<usize>)> {
    let mut groups: Vec<(K, Vec<usize>)> = Vec::new();
    for run in runs {
        let key = key(*run);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(*run),
            None => groups.push((key, vec![*run])),
        }
    }
    groups
}

/// The axes on which combinations differ.
fn varying<'a>(combinations: impl Iterator<Item = &'a [(String, String)]> + Clone) -> Vec<String> {
    let Some(first) = combinations.clone().next() else { return Vec::new() };
    let differs = |choice: &&(String, String)| combinations.clone().any(|other| !other.contains(choice));
    first.iter().filter(differs).map(|(axis, _)| axis.clone()).collect()
}

fn name(choices: &[(String, String)], varying: &[String]) -> Option<String> {
    let shown = choices.iter().filter(|(axis, _)| varying.contains(axis)).map(|(_, value)| value.as_str());
    let shown: Vec<&str> = shown.collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

fn combination(results: &Results, name: String, choices: &[(String, String)], group: &[usize]) -> Variant {
    let kept = chosen(results, group);
    let members = kept.clone().unwrap_or_else(|| group.to_vec());
    let searched = group.first().map_or(Vec::new(), |run| values(results, *run, true));
    let kept_values = kept.as_ref().and_then(|kept| kept.first()).map(|run| values(results, *run, true));
    let value = |axis: &str| kept_values.as_ref()?.iter().find(|(own, _)| own == axis).map(|(_, value)| value.clone());
    // Without a choice the numbers of different values would be mixed.
    let rows: Vec<&Row> = if kept.is_some() { done(results, &members) } else { Vec::new() };
    let spread = |quantity: &dyn Fn(&Row) -> Option<f64>| Spread::of(rows.iter().filter_map(|row| quantity(row)));
    let test_accuracy = spread(&|row| row.test_score()?.accuracy().map(per_cent));
    let config = members.first().map(|run| &results.runs[*run].planned.config);
    let figure = config.and_then(|config| figure(results, config));
    let reference = figure.map(|figure| {
        let deviation = figure.deviation.filter(|deviation| *deviation > 0.0);
        let distance = test_accuracy.map(|measured| measured.mean - figure.mean);
        let deviation = deviation.filter(|_| !results.study.reduced);
        let difference = distance.zip(deviation).map(|(distance, deviation)| distance / deviation);
        Reference { mean: figure.mean, deviation: figure.deviation, difference }
    });
    Variant {
        name,
        choices: choices.to_vec(),
        chosen: searched.iter().map(|(axis, _)| (axis.clone(), value(axis))).collect(),
        dataset: config.map_or(String::new(), |config| config.data.dataset.clone()),
        network: config.map_or(String::new(), |config| config.model.name.clone()),
        done: rows.len(),
        planned: if kept.is_some() { members.len() } else { of_one_value(results, group) },
        test_accuracy,
        test_loss: spread(&|row| Some(row.test_score()?.loss)),
        validation_accuracy: spread(&|row| row.validation_score()?.accuracy().map(per_cent)),
        quality: spread(&|row| row.test_score().map(Score::quality)),
        is_best: false,
        published: reference,
        elsewhere: results.study.published(choices),
        train_loss: spread(&train_loss),
        operations: spread(&operations),
        seconds: spread(&|row| Some(row.machine.seconds)),
        images_per_second: spread(&|row| Some(row.machine.images_per_second)),
        peak_memory: spread(&|row| (row.machine.peak_memory > 0).then(|| row.machine.peak_memory as f64 / 1048576.0)),
        members,
    }
}

/// The paper's figure for a run's settings; a reduced study's is that of the same run at the paper's width.
fn figure(results: &Results, config: &RunConfig) -> Option<Published> {
    let mut config = config.clone();
    if results.study.reduced {
        config.model.width = 1.0;
    }
    results.study.tables.iter().find_map(|table| published(*table, &config))
}

/// How many runs of a group have the same searched values as its first.
fn of_one_value(results: &Results, group: &[usize]) -> usize {
    grouped(group, |run| values(results, run, true)).first().map_or(0, |(_, runs)| runs.len())
}

/// The runs of the searched values with the best mean [`Score::quality`] on the validation images; the test images have no say.
///
/// A run that failed counts as one that is never right, or is the worst of all, lest a value that diverges for most seeds win by the
/// rest. None as long as no run of the group has ended.
fn chosen(results: &Results, group: &[usize]) -> Option<Vec<usize>> {
    let candidates = grouped(group, |run| values(results, run, true));
    if let [(_, only)] = candidates.as_slice() {
        return Some(only.clone());
    }
    let worst = if has_classes(results) { 0.0 } else { f64::NEG_INFINITY };
    let quality = |run: &usize| {
        let row = results.runs[*run].row.as_ref()?;
        if row.is_failed() {
            Some(worst)
        } else {
            row.validation_score().map(Score::quality).map(|own| if own.is_nan() { worst } else { own })
        }
    };
    let mut best: Option<(f64, Vec<usize>)> = None;
    for (_, members) in candidates {
        let Some(spread) = Spread::of(members.iter().filter_map(quality)) else { continue };
        if best.as_ref().is_none_or(|(mean, _)| spread.mean > *mean) {
            best = Some((spread.mean, members));
        }
    }
    best.map(|(_, members)| members)
}

/// The rows of those runs that are done.
fn done<'a>(results: &'a Results, runs: &[usize]) -> Vec<&'a Row> {
    let rows = runs.iter().filter_map(|run| results.runs[*run].row.as_ref());
    rows.filter(|row| !row.is_failed()).collect()
}

fn per_cent(part: f64) -> f64 {
    100.0 * part
}

/// Operations of training, where they were counted.
fn operations(row: &Row) -> Option<f64> {
    let Ending::Done { operations, .. } = &row.ending else { return None };
    (*operations > 0).then_some(*operations as f64 * 1e-12)
}

fn train_loss(row: &Row) -> Option<f64> {
    let Ending::Done { train, .. } = &row.ending else { return None };
    Some(train.last()?.as_ref()?.loss)
}

/// Marks the best mean quality on the test images of every data set.
fn mark_best(combinations: &mut [Variant]) {
    let means: Vec<(String, f64)> = combinations
        .iter()
        .filter_map(|combination| Some((combination.dataset.clone(), combination.quality?.mean)))
        .collect();
    for combination in combinations {
        let rivals = means.iter().filter(|(dataset, _)| *dataset == combination.dataset).map(|(_, mean)| *mean);
        let best = rivals.fold(f64::NEG_INFINITY, f64::max);
        combination.is_best = combination.quality.is_some_and(|spread| spread.mean >= best);
    }
}
