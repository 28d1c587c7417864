//! Fronts in a report.

use super::*;

const FOUR: &str = "
name = 'four'
question = 'Which?'
[base.model]
name = 'mlp'
[[axis]]
name = 'rate'
key = 'optimizer.rate'
values = [0.1, 0.2, 0.3, 0.4]
";

#[test]
fn a_report_names_what_is_on_a_front_and_what_is_on_none() {
    let mut results = planned(FOUR);
    // Of the seconds 0.3 is on the front beside 0.1, of the rest the best alone; 0.2 is behind 0.3, which costs less.
    let runs = [(0.9, 40.0), (0.6, 30.0), (0.7, 20.0), (0.5, 25.0)];
    for (run, (accuracy, seconds)) in results.runs.iter_mut().zip(runs) {
        finish(run, accuracy, None);
        run.row.as_mut().expect("a row").machine.seconds = seconds;
    }
    let summary = Summary::of(&results);
    let sentences = [
        "By operations of training, TFLOP: 0.1.",
        "By training time, seconds: 0.3; 0.1.",
        "By peak memory, MiB: 0.1.",
        "On no front: 0.2; 0.4.",
    ];
    assert_eq!(summary.fronts[0].sentences(), sentences);
    let (text, page) = (markdown(&summary), html(&results, Page::File));
    assert!(
        sentences.iter().all(|sentence| text.contains(&format!("* {sentence}")) && page.contains(sentence)),
        "{text}"
    );
    assert!(page.contains("front of mlp on glyphs"));
    assert_eq!(
        String::from_utf8(rows(&results)).expect("text").lines().nth(1).map(|line| line.contains(",6000000000000,")),
        Some(true)
    );
}

#[test]
fn networks_are_no_rivals() {
    let axis = "
[[axis]]
name = 'network'
values = [{ name = 'wide', model.width = 0.5 }, { name = 'other', model.name = 'small-net' }]
";
    let mut results = planned(&format!("{FOUR}{axis}"));
    for (number, run) in results.runs.iter_mut().enumerate() {
        finish(run, 0.1 * (number + 1) as f64, None);
    }
    let summary = Summary::of(&results);
    let best = |place: usize| summary.fronts[place].sentences()[0].clone();
    assert_eq!(summary.fronts.len(), 2);
    assert_eq!([best(0), best(1)].map(|text| text.contains("0.4, other")), [false, true], "{:?}", summary.fronts);
    assert!(best(0).contains("0.4, wide"), "the best of its own network, behind the other's: {}", best(0));
    let text = markdown(&summary);
    assert!(text.contains("Of mlp on glyphs") && text.contains("Of small-net on glyphs"), "{text}");
    assert_eq!(text.matches("## Fronts").count(), 1);
}

#[test]
fn two_combinations_have_no_front_and_uncounted_costs_none() {
    assert!(Summary::of(&methods()).fronts.is_empty());
    let mut results = planned(FOUR);
    for run in &mut results.runs {
        finish(run, 0.5, None);
        let Some(Ending::Done { operations, .. }) = run.row.as_mut().map(|row| &mut row.ending) else { panic!("done") };
        *operations = 0;
    }
    let summary = Summary::of(&results);
    assert!(summary.fronts[0].fronts.iter().all(|(title, _)| !title.contains("TFLOP")), "{:?}", summary.fronts);
    assert!(!html(&results, Page::File).contains("operations of training, TFLOP"));
}
