//! Reports of values that are no numbers.

use super::*;

#[test]
fn what_is_not_finite_is_shown_as_such_and_hides_nothing_else() {
    let mut results = methods();
    let run = &mut results.runs[0];
    for epoch in &mut run.epochs {
        epoch.train[0] = Some(Score::classified(f64::NAN, 0.1));
        epoch.test[0] = Some(Score::classified(f64::INFINITY, 0.1));
    }
    run.row = Row::done(&run.planned, &run.epochs, machine());
    let row = run.row.as_mut().expect("a row");
    (row.machine.seconds, row.machine.images_per_second) = (f64::NAN, f64::INFINITY);
    for probe in &mut results.runs[3].probes {
        probe.blocks[0].guess_alignment = Some(f64::NAN);
    }
    let summary = Summary::of(&results);
    assert_eq!((summary.done, summary.failures.len()), (5, 1), "heads and costs fail nothing");
    assert_eq!(summary.combinations[0].test_accuracy.map(|spread| spread.mean), Some(91.0));
    let json = serde_json::to_string(&summary).expect("text");
    assert!(json.contains("\"mean\":\"NaN\"") && json.contains("\"mean\":\"Infinity\""), "{json}");
    let text = markdown(&summary);
    assert!(text.contains("| NaN | inf | 96 |"), "{text}");
    assert!(latex(&summary).contains("NaN & inf & 96"));
    let lines = String::from_utf8(rows(&results)).expect("text");
    assert!(lines.lines().nth(1).expect("a line").contains(",NaN,inf,"), "{lines}");
    assert!(!parquet_rows(&results).is_empty());
    let page = html(&results, Page::File);
    // A gap in a line, beside the other combination's points.
    let heads = figure(&page, "chart-heads");
    assert!(heads["data"][0]["y"][0].is_null() && heads["data"][0]["y"][1].is_number(), "{heads}");
    let bins = figure(&page, "chart-cosines")["data"][0]["y"].as_array().expect("bins").clone();
    assert!(bins.iter().all(serde_json::Value::is_number), "{bins:?}");
}

#[test]
fn an_older_row_whose_networks_loss_is_no_number_is_a_failure() {
    let mut results = methods();
    let Some(Ending::Done { test, .. }) = results.runs[0].row.as_mut().map(|row| &mut row.ending) else {
        panic!("it is done");
    };
    test[2] = Some(Score::classified(f64::NAN, 0.1));
    let summary = Summary::of(&results);
    assert_eq!((summary.done, summary.failures.len()), (4, 2));
    assert!(summary.failures[0].error.contains("the test loss is not finite"), "{:?}", summary.failures);
    assert!(html(&results, Page::File).contains("the test loss is not finite after epoch 2"));
    assert!(String::from_utf8(rows(&results)).expect("text").contains(",failed,"));
}
