//! Reports of small results made by hand.

use std::path::Path;

use super::*;
use crate::Error;
use crate::study::{Machine, Row, Study};
use crate::train::{BlockProbe, EpochRecord, ProbeRecord};

mod fronts;
mod lines;
mod not_finite;

/// Two methods with three seeds each.
const METHODS: &str = r#"
name = "methods"
question = "Which method, 100 % <b>sure</b> & sound?"
expected = "Backprop_wins | by far."
seeds = [0, 1, 2]
[[axis]]
name = "method"
values = [
    { name = "backprop", estimator.guess = "exact", estimator.mode = "oracle" },
    { name = "local_<guess>" },
]
"#;

/// One method with a searched rate.
const SEARCH: &str = r#"
name = "search"
question = "?"
seeds = [0, 1]
[base]
data = { validation = 10 }
[[axis]]
name = "rate"
key = "optimizer.rate"
search = true
values = [0.1, 0.01, 0.001]
"#;

/// A study none of whose runs has begun.
fn planned(text: &str) -> Results {
    let study = Study::from_toml(text, Path::new("study.toml")).expect("a study");
    let run = |planned| RunResult { planned, row: None, epochs: Vec::new(), probes: Vec::new() };
    let runs = study.runs().expect("runs").into_iter().map(run).collect();
    Results { study, runs }
}

fn machine() -> Machine {
    Machine {
        host: "host".into(),
        processor: "a <fast> one".into(),
        threads: 2,
        device: "cpu".into(),
        instructions: "avx2".into(),
        version: "0.1.0".into(),
        seconds: 12.5,
        images_per_second: 1600.0,
        peak_memory: 96 * 1048576,
        ended: 1,
    }
}

/// Ends a run: two blocks with heads and the network, of given accuracies on test and validation images.
fn finish(run: &mut RunResult, test: f64, validation: Option<f64>) {
    let scores = |accuracy: f64| {
        let score = |loss: f64| Some(Score::classified(loss + 1.0 - accuracy, accuracy));
        vec![score(2.0), score(1.0), score(0.5)]
    };
    let validation = validation.map_or(Vec::new(), scores);
    let epoch = |epoch: u64| EpochRecord {
        epoch,
        step: 10 * epoch,
        rate: 0.1,
        train: scores(test),
        test: scores(test),
        validation: validation.clone(),
        zero_guesses: 0,
        operations: 3 * 10u64.pow(12),
        images_per_second: 1600.0,
        seconds: 6.25,
        peak_memory: 96 * 1048576,
        bytes_a_step: 0,
    };
    run.epochs = vec![epoch(1), epoch(2)];
    run.row = Row::done(&run.planned, &run.epochs, machine());
}

fn fail(run: &mut RunResult) {
    let error = Error::NotFinite { what: "the loss".into(), step: 3, advice: "a smaller <rate>".into() };
    run.row = Some(Row::failed(&run.planned, &error, machine()));
}

fn probe(run: &mut RunResult, alignment: f64) {
    let block = |block| BlockProbe {
        block,
        guess_alignment: Some(alignment),
        estimate_alignment: None,
        target_norm: 1.0,
        guess_norm: None,
        estimate_norm: 1.0,
        deviation: None,
        scalar_deviation: None,
    };
    let record = |step| ProbeRecord { step, blocks: vec![block(0), block(1)] };
    run.probes = vec![record(0), record(10)];
}

/// Backprop: 90, 91, 92 %. Local guesses: 80 and 81 %, the third seed failed.
fn methods() -> Results {
    let mut results = planned(METHODS);
    for (run, accuracy) in results.runs.iter_mut().zip([0.90, 0.91, 0.92, 0.80, 0.81]) {
        finish(run, accuracy, None);
    }
    fail(&mut results.runs[5]);
    for run in &mut results.runs[3..5] {
        probe(run, 0.25);
    }
    results
}

#[test]
fn runs_are_grouped_over_seeds() {
    let summary = Summary::of(&methods());
    assert_eq!(summary.progress(), "5 of 6 runs done; 1 failed.");
    let [backprop, local] = summary.combinations.as_slice() else { panic!("two combinations") };
    let accuracy = backprop.test_accuracy.expect("an accuracy");
    assert!((accuracy.mean - 91.0).abs() < 1e-9 && (accuracy.deviation.expect("of three") - 1.0).abs() < 1e-9);
    assert_eq!((backprop.done, backprop.planned, backprop.is_best), (3, 3, true));
    assert_eq!((local.done, local.planned, local.is_best), (2, 3, false));
    assert_eq!(local.name, "local_<guess>");
    assert_eq!(backprop.peak_memory.map(|memory| memory.mean), Some(96.0));
    assert_eq!(backprop.published, None);
}

#[test]
fn a_search_is_decided_by_the_validation_images_alone() {
    let mut results = planned(SEARCH);
    let scores = [(0.9, 0.50), (0.9, 0.60), (0.1, 0.70), (0.2, 0.80), (0.9, 0.99)];
    for (run, (test, validation)) in results.runs.iter_mut().zip(scores) {
        finish(run, test, Some(validation));
    }
    // The third value would win by its first seed alone.
    fail(&mut results.runs[5]);
    let before = Summary::of(&results);
    let kept = &before.combinations[0];
    assert_eq!(kept.chosen, [("rate".to_string(), Some("0.01".to_string()))]);
    assert!((kept.test_accuracy.expect("an accuracy").mean - 15.0).abs() < 1e-9);
    assert_eq!((kept.name.as_str(), kept.members.as_slice()), ("search", &[2, 3][..]));
    for run in &mut results.runs {
        if let Some(Ending::Done { test, .. }) = run.row.as_mut().map(|row| &mut row.ending) {
            for score in test.iter_mut().flatten() {
                *score = Score::classified(score.loss, 1.0 - score.accuracy().expect("classes"));
            }
        }
    }
    assert_eq!(Summary::of(&results).combinations[0].chosen, kept.chosen, "whatever the test images say");
}

#[test]
fn nothing_is_chosen_before_a_run_has_ended() {
    let summary = Summary::of(&planned(SEARCH));
    let own = &summary.combinations[0];
    assert_eq!((own.chosen[0].1.as_deref(), own.done, own.planned, own.test_accuracy), (None, 0, 2, None));
    assert!(!own.is_best);
    assert_eq!(summary.progress(), "0 of 6 runs done; 6 missing, of which 0 begun.");
}

#[test]
fn published_figures_stand_beside_the_measured() {
    let text = r#"
        name = "published"
        question = "?"
        table = 2
        seeds = [0, 1]
        [base]
        model = { name = "resnet18-16b", width = 1.0 }
        data = { dataset = "cifar10" }
        estimator = { guess = "local", space = "activity" }
    "#;
    let mut results = planned(text);
    finish(&mut results.runs[0], 0.81, None);
    finish(&mut results.runs[1], 0.81, None);
    let summary = Summary::of(&results);
    let published = summary.combinations[0].published.expect("a figure");
    assert_eq!((published.mean, published.deviation), (79.0, Some(1.0)));
    assert!((published.difference.expect("a difference") - 2.0).abs() < 1e-9);
    let text = markdown(&summary);
    assert!(
        text.contains("| published, % | difference, deviations |") && text.contains("| 79.0 ± 1.0 | +2.0 |"),
        "{text}"
    );
}

#[test]
fn what_was_published_elsewhere_has_a_column_with_its_source() {
    let text = r#"
        name = "literature"
        question = "?"
        [[axis]]
        name = "method"
        values = [
            { name = "ours" },
            { name = "theirs", published = "71.3 % (another network, 100 epochs)", estimator.guess = "gaussian" },
        ]
    "#;
    let mut results = planned(text);
    finish(&mut results.runs[0], 0.4, None);
    let text = markdown(&Summary::of(&results));
    let row = |start: &str| text.lines().find(|line| line.starts_with(start)).expect("a row").to_string();
    assert!(row("| method").ends_with("| published elsewhere |"), "{text}");
    assert!(row("| ours").ends_with("| – |") && row("| theirs").ends_with("| 71.3 % (another network, 100 epochs) |"));
    assert!(text.contains("other networks and settings"), "{text}");
}

#[test]
fn a_reduced_study_has_the_figures_of_the_full_size_without_differences() {
    let text = r#"
        name = "reduced"
        question = "?"
        table = [3, 2]
        reduced = true
        [base]
        model = { name = "resnet18-16b", width = 0.125 }
        data = { dataset = "cifar10" }
        estimator = { guess = "local", space = "activity" }
    "#;
    let mut results = planned(text);
    finish(&mut results.runs[0], 0.4, None);
    let summary = Summary::of(&results);
    let published = summary.combinations[0].published.expect("a figure");
    assert_eq!((published.mean, published.difference), (79.0, None));
    let text = markdown(&summary);
    assert!(text.contains("| published, % |") && !text.contains("difference"), "{text}");
    assert!(text.contains("compare the order, not the numbers"), "{text}");
}

/// Two data sets with three published rows each; on the second the order is turned round.
const ORDERED: &str = r#"
name = "ordered"
question = "?"
table = 7
reduced = true
seeds = [0, 1]
[base]
model = { name = "resnet18-16b", width = 0.125 }
[[axis]]
name = "set"
key = "data.dataset"
values = ["cifar100", "imagenette"]
[[axis]]
name = "method"
values = [
    { name = "end-to-end", estimator.guess = "exact", estimator.mode = "oracle" },
    { name = "local guess", estimator.space = "activity" },
    { name = "gaussian <guess>", estimator.guess = "gaussian", estimator.space = "activity" },
]
"#;

#[test]
fn the_order_stands_in_every_report() {
    let mut results = planned(ORDERED);
    let accuracies = [0.9, 0.8, 0.3, 0.3, 0.8, 0.9];
    for (place, run) in results.runs.iter_mut().enumerate() {
        finish(run, accuracies[place / 2] + 0.001 * (place % 2) as f64, None);
    }
    let summary = Summary::of(&results);
    let [cifar100, imagenette] = summary.orders.as_slice() else { panic!("two orders: {:?}", summary.orders) };
    assert_eq!((cifar100.rows, cifar100.inverted, cifar100.correlation), (3, 0, Some(1.0)));
    assert_eq!((imagenette.rows, imagenette.inverted, imagenette.contradictions.len()), (3, 3, 3));
    let text = markdown(&summary);
    let expected = "\n\ncifar100, 3 rows: 3 of 3 pairs are measured in the published order; rank correlation 1.00 (Spearman).\n\nimagenette, ";
    assert!(text.contains("## Order") && text.contains(expected), "{text}");
    assert!(text.contains("% measured) behind imagenette, gaussian &lt;guess>"), "{text}");
    let page = html(&results, Page::File);
    assert!(page.contains("<h3>Order</h3>") && page.contains("behind imagenette, gaussian &lt;guess&gt;"));
    assert!(latex(&summary).contains("imagenette, 3 rows: 0 of 3 pairs"));
}

#[test]
fn markdown_is_as_expected() {
    let expected = "\
# methods

Which method, 100 % &lt;b>sure&lt;/b> &amp; sound?

Expected: Backprop\\_wins \\| by far.

5 of 6 runs done; 1 failed.

| method | runs | test accuracy, % | train loss | TFLOP | seconds | images/s | peak memory, MiB |
| :-- | --: | --: | --: | --: | --: | --: | --: |
| backprop | 3 | **91.00 ± 1.00** | 0.5900 | 6.00 | 12.5 | 1600 | 96 |
| local\\_&lt;guess> | 2 of 3 | 80.50 ± 0.71 | 0.6950 | 6.00 | 12.5 | 1600 | 96 |

Accuracies are means over seeds with their sample deviations.

## Failed runs

* local-guess-seed2: the loss is not finite at step 3: a smaller &lt;rate>
";
    assert_eq!(markdown(&Summary::of(&methods())), expected);
}

#[test]
fn latex_is_as_expected() {
    let text = latex(&Summary::of(&methods()));
    let expected = "\
\\begin{tabular}{lrrrrrrr}
\\toprule
method & runs & test accuracy, \\% & train loss & TFLOP & seconds & images/s & peak memory, MiB \\\\
\\midrule
backprop & 3 & \\textbf{91.00 $\\pm$ 1.00} & 0.5900 & 6.00 & 12.5 & 1600 & 96 \\\\
local\\_\\textless{}guess\\textgreater{} & 2 of 3 & 80.50 $\\pm$ 0.71 & 0.6950 & 6.00 & 12.5 & 1600 & 96 \\\\
\\bottomrule
\\end{tabular}
";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("\\caption{Which method, 100 \\% \\textless{}b\\textgreater{}sure"), "{text}");
    assert!(text.contains("Failed: local-guess-seed2, the loss is not finite at step 3"), "{text}");
}

/// The figure of a chart on a page.
fn figure(page: &str, id: &str) -> serde_json::Value {
    let start = format!("<script type=\"application/json\" id=\"{id}-figure\">");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("chart {id}"));
    let (json, _) = rest.split_once("</script>").expect("an end");
    serde_json::from_str(json).expect("json")
}

#[test]
fn the_page_has_every_section_and_chart_and_no_mark_up_of_others() {
    let page = html(&methods(), Page::File);
    for id in ["results", "training", "heads", "blocks", "cost", "cosines", "runs", "run-backprop-seed0"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "section {id}");
    }
    for id in ["chart-training", "chart-heads", "chart-blocks-0", "chart-blocks-1", "chart-cost", "chart-cosines"] {
        assert!(page.contains(&format!("<div class=\"chart\" id=\"{id}\"")), "chart {id}");
        assert!(!figure(&page, id)["data"].as_array().expect("traces").is_empty(), "chart {id}");
    }
    let training = figure(&page, "chart-training");
    assert_eq!(training["data"].as_array().map(Vec::len), Some(8), "two methods in four panels");
    assert_eq!(training["layout"]["yaxis"]["title"]["text"], "test accuracy, %");
    assert_eq!(figure(&page, "chart-blocks-0")["layout"]["yaxis2"], serde_json::Value::Null, "no probes of backprop");
    assert!(page.contains("which exact gradients do not need: backprop."));
    assert!(page.contains("&lt;b&gt;sure&lt;&#x2f;b&gt;") && !page.contains("<b>sure"));
    assert!(page.contains("a smaller &lt;rate&gt;") && page.contains("a &lt;fast&gt; one"));
    assert!(page.contains("<b>91.00 ± 1.00</b>"));
    assert!(page.len() > 1_000_000, "plotly.js is in it");
    let own = page.replacen(&library(), "", 1);
    assert!(!own.contains("src=") && !own.contains("href=\"http"), "nothing comes from elsewhere");
}

#[test]
fn a_live_page_loads_its_script_and_looks_for_changes() {
    let page = html(&methods(), Page::Live);
    assert!(page.contains("<script src=\"/plotly.js\">") && page.contains("data-interval=\"4\""));
    assert!(page.len() < 200_000, "{} bytes", page.len());
    assert!(library().len() > 1_000_000);
    let error = Error::bad_file("<folder>", "a study", "none");
    assert!(failure(&error).contains("&lt;folder&gt;: expected a study, found none"));
}

#[test]
fn a_study_without_results_says_what_would_make_some() {
    let results = planned(METHODS);
    let page = html(&results, Page::File);
    for sentence in ["No run has finished an epoch yet", "No head has learnt", "probe-every = 50", "No run is done yet"]
    {
        assert!(page.contains(sentence), "{sentence}");
    }
    assert!(!page.contains("class=\"chart\""), "no empty charts");
    assert!(markdown(&Summary::of(&results)).contains("| backprop | 0 of 3 | – |"));
}

#[test]
fn files_are_written_where_they_are_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("new");
    let written = write(&methods(), &out).expect("files");
    let names: Vec<_> = written.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, ["report.html", "report.md", "report.tex", "rows.csv", "rows.parquet"]);
    assert!(written.iter().all(|path| path.exists()));
}
