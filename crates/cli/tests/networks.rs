//! Networks from files by the binary: the bits of the name, runs that need the file no more, one line edited.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use std::fs;
use std::path::Path;

use common::{run, succeeds};

const TINY: &str = "--width 0.05 --train-limit 64 --test-limit 20 --batch 16 --threads 1 --quiet";

fn show(dir: &Path, arguments: &str, file: &str) -> String {
    let text = succeeds(dir, &format!("model show {arguments}"));
    fs::write(dir.join(file), &text).expect("a file");
    text
}

/// Weights of a run's newest checkpoint, and the scores of its epochs.
fn results(dir: &Path, run: &str) -> (Vec<u8>, Vec<serde_json::Value>) {
    let folder = dir.join(run);
    let mut files: Vec<_> = fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    let bytes = fs::read(files.last().expect("a checkpoint")).expect("a checkpoint");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let lines = fs::read_to_string(folder.join("metrics.jsonl")).expect("metrics");
    let scores = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line")["train"].clone();
    (bytes[8 + header..].to_vec(), lines.lines().map(scores).collect())
}

#[test]
fn a_shown_network_trains_to_the_bits_of_its_name() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["resnet18-2b", "mlp"] {
        show(dir.path(), name, "mine.toml");
        for (model, out) in [(name, "by-name"), ("mine.toml", "by-file")] {
            succeeds(dir.path(), &format!("train --model {model} {TINY} --epochs 1 --overwrite --out {out}"));
        }
        assert_eq!(results(dir.path(), "by-name"), results(dir.path(), "by-file"), "{name}");
    }
}

#[test]
fn one_line_edited_trains_and_the_run_needs_the_file_no_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = show(dir.path(), "small-net", "mine.toml");
    assert_eq!(text.matches("    \"relu\",\n").count(), 6, "{text}");
    let edited = text.replacen("    \"relu\",\n", "    { layer = \"dropout\", rate = 0.1 },\n", 1);
    fs::write(dir.path().join("mine.toml"), edited).expect("a file");
    succeeds(dir.path(), &format!("train --model mine.toml {TINY} --epochs 2 --out whole"));
    succeeds(dir.path(), &format!("train --model mine.toml {TINY} --epochs 1 --out run"));
    let settings = fs::read_to_string(dir.path().join("run/config.toml")).expect("settings");
    assert!(settings.contains("[model]\nname = \"mine\"\n"), "an edited network has another name: {settings}");
    fs::remove_file(dir.path().join("mine.toml")).expect("the file");
    succeeds(dir.path(), "train --resume --epochs 2 --quiet --out run");
    assert_eq!(results(dir.path(), "whole"), results(dir.path(), "run"));
    succeeds(dir.path(), "train --config whole/config.toml --quiet --out again");
    assert_eq!(results(dir.path(), "whole"), results(dir.path(), "again"));
    let scores = succeeds(dir.path(), "eval --weights run/checkpoint-00000008.safetensors");
    assert!(scores.contains("network"), "{scores}");
    // Another network is told by the block that differs.
    fs::write(dir.path().join("mine.toml"), text.replace("small-net", "mine")).expect("a file");
    let (code, said) = run(dir.path(), "train --resume --model mine.toml --width 0.05 --quiet --out run");
    assert!(code == Some(2) && said.contains("model.network.blocks.0"), "{said}");
    let (code, said) = run(dir.path(), "train --resume --model small-net --width 0.05 --quiet --out run");
    assert!(code == Some(2) && said.contains("--model is small-net"), "{said}");
}

#[test]
fn a_shown_network_says_what_it_costs() {
    let dir = tempfile::tempdir().expect("a folder");
    let json = succeeds(dir.path(), "model show resnet18-8b --json");
    let shown: serde_json::Value = serde_json::from_str(&json).expect("an object");
    assert_eq!(shown["total"]["parameters"], 11_173_962);
    assert_eq!(shown["parts"][7]["output"], serde_json::json!([512, 4, 4]));
    assert_eq!(shown["parts"][0]["head"]["parameters"], 31_242);
    let text = show(dir.path(), "mlp --image 1x28x28 --width 0.5", "mine.toml");
    assert!(text.starts_with("# mlp: 1x28x28 images, 10 classes, width 0.5\n"), "{text}");
    let again = show(dir.path(), "mine.toml --image 1x28x28 --width 0.5", "again.toml");
    assert_eq!(text, again);
    assert!(succeeds(dir.path(), "model layers").contains("needed"));
    assert!(succeeds(dir.path(), "model list --json").contains("resnet18-16b"));
}

#[test]
fn a_study_crosses_networks_from_files() {
    let dir = tempfile::tempdir().expect("a folder");
    show(dir.path(), "mlp", "mine.toml");
    let study = "name = 's'\nquestion = '?'\n[base]\nepochs = 1\nbatch = 16\n[base.data]\ntrain-limit = 32\ntest-limit = 8\n\
                 [base.model]\nwidth = 0.05\n[[axis]]\nname = 'model'\nkey = 'model.name'\nvalues = ['mlp', 'mine.toml']\n";
    fs::write(dir.path().join("study.toml"), study).expect("a file");
    succeeds(dir.path(), "study study.toml --out results --jobs 1");
    assert_eq!(results(dir.path(), "results/runs/mlp-seed0"), results(dir.path(), "results/runs/mine.toml-seed0"));
}

const FORMAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/files.md");

/// A layer's row in the documentation, as its settings are now.
fn row(layer: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_string();
    let list = |key: &str| layer[key].as_array().expect("a list").clone();
    let setting = |setting: &serde_json::Value| match (setting["default"].as_str(), setting["needed"] == true) {
        (Some(default), _) => format!("`{} = {default}`", text(&setting["name"])),
        (None, true) => format!("**`{}`**", text(&setting["name"])),
        (None, false) => format!("`{}`", text(&setting["name"])),
    };
    let lists = list("lists").iter().map(|name| format!("`{}`", text(name))).collect::<Vec<_>>();
    let parts = [lists, list("settings").iter().map(setting).collect()].concat().join(", ");
    let parts = if parts.is_empty() { "none".to_string() } else { parts };
    format!("| `{}` | {} | {parts} |", text(&layer["name"]), text(&layer["about"]))
}

#[test]
fn the_documented_format_is_the_one_that_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let document = fs::read_to_string(FORMAT).expect("the documentation");
    let layers: Vec<serde_json::Value> =
        serde_json::from_str(&succeeds(dir.path(), "model layers --json")).expect("a list");
    for row in layers.iter().map(row) {
        assert!(document.lines().any(|line| line == row), "docs/files.md lacks\n{row}");
    }
    let examples = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = examples.into_iter().find(|text| text.contains("[[blocks]]")).expect("an example of a network");
    fs::write(dir.path().join("example.toml"), example).expect("a file");
    succeeds(dir.path(), "model show example.toml");
    succeeds(dir.path(), &format!("train --model example.toml --dataset glyphs-colour {TINY} --epochs 1 --out run"));
}
