//! `foregrad bench --memory` by the binary: every large array has an owner, and the owners make up the peak.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use std::collections::BTreeMap;

use common::{fails, succeeds};
use serde_json::Value;

const SMALL: &str = "bench --model resnet18-8b --width 0.25 --batch 32 --steps 1 --warm-up 1 --threads 1";

/// Bytes by owner at the peak of each method, with the program's and the process's.
fn accounts(methods: &str) -> BTreeMap<String, BTreeMap<String, f64>> {
    let dir = tempfile::tempdir().expect("a folder");
    let text = succeeds(dir.path(), &format!("{SMALL} --methods {methods} --memory --json"));
    let report: Value = serde_json::from_str(&text).expect("json");
    let of_method = |method: &Value| {
        let account = &method["account"];
        let share = |share: &Value| Some((share["owner"].as_str()?.to_string(), share["bytes"].as_f64()?));
        let mut shares: BTreeMap<_, _> =
            account["shares"].as_array().expect("shares").iter().map(|of| share(of).expect("a share")).collect();
        for whole in ["program", "code", "resident"] {
            shares.insert(whole.into(), account[whole].as_f64().expect("bytes"));
        }
        (method["method"].as_str().expect("a name").to_string(), shares)
    };
    report["methods"].as_array().expect("methods").iter().map(of_method).collect()
}

/// Bytes of the owners whose names begin like this.
fn sum(shares: &BTreeMap<String, f64>, name: &str) -> f64 {
    shares.iter().filter(|(owner, _)| owner.starts_with(name)).map(|(_, bytes)| bytes).sum()
}

#[test]
fn owners_make_up_the_peak_and_a_method_without_cotangents_has_none() {
    if foregrad_kernels::instructions::path() == foregrad_kernels::instructions::Path::Composed {
        return; // what layers keep is that of the kernels
    }
    let accounts = accounts("backprop,local-weight-network-forward,jvp-weights");
    let [backprop, local, random] =
        ["backprop", "local-weight-network-forward", "jvp-weights"].map(|method| &accounts[method]);
    for (method, shares) in &accounts {
        let owned: f64 = sum(shares, "") - shares["resident"];
        // Small arrays, threads' stacks, and what lies between arrays: as much for a large network.
        let remainder = (shares["resident"] - owned) / f64::from(1 << 20);
        assert!(remainder.abs() < 10.0, "{method}: {remainder} MiB of the peak are nobody's: {shares:?}");
        let others = shares.get("other arrays").copied().unwrap_or(0.0) / shares["resident"];
        assert!(others < 0.05, "{method}: nobody has said whose {others} of the peak is");
        assert_eq!(shares["weights"], backprop["weights"], "{method}");
        assert_eq!(shares["mini-batch"], f64::from(32 * 3 * 32 * 32 * 4), "{method}");
    }
    // Backprop keeps the values of all blocks, forward mode those of the block at work.
    let alive = |shares: &BTreeMap<String, f64>| {
        (0..8).filter(|block| sum(shares, &format!("values of block {block}")) > 0.0).count()
    };
    assert_eq!([alive(backprop), alive(local).min(2)], [8, alive(local)]);
    assert!(sum(local, "tangents") > 0.0 || sum(local, "cotangents") > 0.0, "{local:?}");
    assert_eq!([sum(random, "cotangents"), sum(backprop, "tangents"), sum(backprop, "guesses")], [0.0; 3]);
}

#[test]
fn an_account_has_a_table_and_a_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let arguments = format!("{SMALL} --methods backprop,forward --memory --html memory.html");
    let text = succeeds(dir.path(), &arguments);
    for line in
        ["program, before the network", "program, its code since", "values of block 0", "weights", "remainder", "peak"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let page = std::fs::read_to_string(dir.path().join("memory.html")).expect("a page");
    assert!(page.contains("backprop: ") && page.contains("forward: ") && page.contains("stack-1-figure"));
    let said = fails(dir.path(), &format!("{SMALL} --html memory.html"), 2);
    assert!(said.contains("--memory"), "{said}");
}
