//! Every run as a line of values.

use super::*;

#[test]
fn every_run_is_a_line_of_values() {
    let mut results = methods();
    results.runs[1].row = None;
    results.runs[2] = RunResult { epochs: Vec::new(), row: None, ..results.runs[2].clone() };
    let text = String::from_utf8(rows(&results)).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("run,method,seed,status,epochs,steps,operations,train_loss"), "{text}");
    assert!(
        lines[1].starts_with(
            "backprop-seed0,backprop,0,done,2,20,6000000000000,0.6,0.9,0.6,0.9,,,12.5,1600,100663296,host"
        ),
        "{text}"
    );
    assert!(lines[2].starts_with("backprop-seed1,backprop,1,begun,2,20"), "{text}");
    assert!(lines[3].starts_with("backprop-seed2,backprop,2,missing,,"), "{text}");
    assert!(lines[6].contains(",failed,") && lines[6].ends_with("a smaller <rate>"), "{text}");
}
