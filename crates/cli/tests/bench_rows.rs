//! `foregrad bench` by the binary: methods with a number of directions, with an optimiser, with distances between checkpoints.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::succeeds;
use serde_json::Value;

const SMALL: &str = "bench --model small-net --width 0.125 --batch 4 --steps 1 --threads 1";

/// What was measured of each row.
fn measured(arguments: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().expect("a folder");
    let text = succeeds(dir.path(), &format!("{arguments} --json"));
    let report: Value = serde_json::from_str(&text).expect("json");
    report["methods"].as_array().expect("methods").clone()
}

fn number(measured: &Value, name: &str) -> f64 {
    measured[name].as_f64().unwrap_or_else(|| panic!("{name}: {measured}"))
}

#[test]
fn a_row_with_directions_has_as_many_tangents() {
    let rows = measured(&format!("{SMALL} --methods jvp-activities:3,forward,jvp-weights:5,jvp-weights"));
    let names: Vec<_> = rows.iter().map(|row| (row["method"].as_str().expect("a name"), &row["directions"])).collect();
    let none = &Value::Null;
    assert_eq!(
        names,
        [("forward", none), ("jvp-weights", &5.into()), ("jvp-weights", none), ("jvp-activities", &3.into())]
    );
    let [forward, five, one] = [0, 1, 2].map(|row| number(&rows[row], "operations"));
    // One forward pass for the losses, and twice a forward pass for each direction, the first layer's input aside.
    let of_each = (five - one) / 4.0;
    assert!(of_each > 1.7 * forward && of_each < 2.0 * forward, "{of_each} of {forward}");
    assert!((one - of_each - forward).abs() < 0.05 * forward, "{one}: {of_each} and {forward}");
}

#[test]
fn only_rows_with_directions_have_seconds_a_direction() {
    let dir = tempfile::tempdir().expect("a folder");
    let plain = succeeds(dir.path(), &format!("{SMALL} --methods forward"));
    assert!(!plain.contains("a direction"), "{plain}");
    let text = succeeds(dir.path(), &format!("{SMALL} --methods forward,jvp-weights-low-rank:4"));
    let line =
        |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(line("method").ends_with("s a direction"), "{text}");
    assert!(line("forward ").ends_with('-') && line("jvp-weights-low-rank:4 ").contains("0."), "{text}");
}

/// Bytes of an owner at the peak of a row.
fn share(row: &Value, owner: &str) -> f64 {
    let shares = row["account"]["shares"].as_array().expect("shares");
    shares.iter().filter(|share| share["owner"] == owner).map(|share| number(share, "bytes")).sum()
}

#[test]
fn an_optimisers_buffers_are_as_large_as_the_weights() {
    let wide = "bench --model resnet18-8b --width 0.25 --batch 4 --steps 1 --threads 1 --memory --methods backprop";
    let parts = |optimizer: &str| {
        let row = measured(&format!("{wide} {optimizer}")).remove(0);
        (share(&row, "weights"), share(&row, "optimiser"))
    };
    let (weights, none) = parts("");
    assert!(weights > 1e6 && none == 0.0, "{none} of {weights}");
    // The heads behind the blocks have weights of the network, and no gradient in backprop. While the weights are moved a
    // tensor or two more are alive.
    for (optimizer, buffers) in [("sgd", 1.0), ("adam", 2.0)] {
        let (weights, kept) = parts(&format!("--optimizer {optimizer}"));
        let ratio = kept / (buffers * weights);
        assert!((0.85..1.3).contains(&ratio), "{optimizer}: {kept} bytes beside {weights} of weights");
    }
}

#[test]
fn distant_checkpoints_are_fewer_and_keep_more_values_at_once() {
    if foregrad_kernels::instructions::path() == foregrad_kernels::instructions::Path::Composed {
        return; // what layers keep is that of the kernels
    }
    let narrow = "bench --model resnet18-8b --width 0.125 --batch 32 --steps 1 --threads 1 --memory";
    let of = |distance: usize| {
        let methods = format!("--methods backprop-checkpointed --checkpoint-spacing {distance}");
        let row = measured(&format!("{narrow} {methods}")).remove(0);
        let blocks = (0..8).filter(|block| share(&row, &format!("values of block {block}")) > 0.0).count();
        (number(&row, "operations"), blocks)
    };
    let [(near, _), (far, alive), (whole, all)] = [1, 3, 8].map(of);
    assert!(near > far && far > whole, "{near} {far} {whole}");
    assert!(alive >= 3 && all == 8, "{alive} {all}");
}
