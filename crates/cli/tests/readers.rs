//! What foregrad writes, read by the programs that its users read it with: a browser and TensorBoard. A test whose program
//! is not installed says so on standard error; where `CI` is set it fails.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Two runs with everything a report shows.
const STUDY: &str = r#"
name = "shown"
question = "Is <everything> on the page?"
expected = "Yes & legibly."

[base]
epochs = 2
batch = 16
probe-every = 5
data = { dataset = "glyphs", train-limit = 160, test-limit = 40 }
model = { name = "small-net", width = 0.05 }

[[axis]]
name = "guess"
values = [
    { name = "exact", estimator.guess = "exact", estimator.mode = "oracle", estimator.train-heads = "yes" },
    { name = "local, activity", estimator.space = "activity" },
]
"#;

/// Browsers that take Chromium's flags.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A reader that is not installed: a failure where `CI` is set, elsewhere a remark that no test harness holds back.
fn missing(what: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(!in_ci, "in CI every reader must be there: {what}");
    writeln!(std::io::stderr(), "NOT TESTED: {what}").expect("a place for remarks");
}

/// In a process of its own, whose environment is its own.
#[test]
fn a_missing_reader_is_a_remark_and_in_ci_a_failure() {
    if std::env::var_os("WITHOUT_READER").is_some() {
        return missing("no reader");
    }
    let tried = |ci: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "a_missing_reader_is_a_remark_and_in_ci_a_failure"]);
        let output = command.env("WITHOUT_READER", "yes").env("CI", ci).output().expect("a process");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).to_string())
    };
    for (ci, passes, remark) in [
        ("", true, "NOT TESTED: no reader"),
        ("false", true, "NOT TESTED: no reader"),
        ("true", false, "in CI every reader must be there: no reader"),
    ] {
        let (passed, told) = tried(ci);
        assert!(passed == passes && told.contains(remark), "CI={ci}: {told}");
    }
}

/// Runs the study and writes its report; gives the study's folder.
fn study(dir: &Path) -> PathBuf {
    std::fs::write(dir.join("shown.toml"), STUDY).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_foregrad"))
        .current_dir(dir)
        .args(["study", "shown.toml", "--quiet", "--out", "shown"])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join("shown")
}

/// The output of the first of some programs that is installed.
fn first(programs: &[&str], arguments: &[&str]) -> Option<Output> {
    programs.iter().find_map(|program| Command::new(program).args(arguments).output().ok())
}

/// A page after its scripts have run, in a window as high as the page, and what the browser logged.
fn rendered(page: &Path, profile: &Path, theme: &str) -> Option<(String, String)> {
    let address = format!("file://{}", page.display());
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--window-size=1280,12000",
        "--virtual-time-budget=20000",
        theme,
        &profile,
        "--dump-dom",
        &address,
    ];
    let output = first(&BROWSERS, &arguments)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
    Some((text(&output.stdout), text(&output.stderr)))
}

#[test]
fn a_browser_draws_every_chart_without_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let page = study(dir.path()).join("report.html");
    let source = std::fs::read_to_string(&page).expect("a report");
    let charts = source.matches("class=\"chart\"").count();
    assert!(charts >= 6, "{charts} charts");
    for (profile, theme) in
        [("light", "--blink-settings=preferredColorScheme=1"), ("dark", "--blink-settings=preferredColorScheme=0")]
    {
        let Some((document, log)) = rendered(&page, &dir.path().join(profile), theme) else {
            return missing(&format!("none of {BROWSERS:?} is installed"));
        };
        let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        // plotly.js draws a chart as layers of SVG inside one container.
        let drawn = document.matches("class=\"user-select-none svg-container\"").count();
        assert_eq!(drawn, charts, "{profile}: {drawn} of {charts} charts are drawn; the browser said {log}");
        assert!(document.contains("Is &lt;everything&gt; on the page?"), "the question means itself");
    }
}

#[test]
fn tensorboard_reads_every_scalar() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = study(dir.path()).join("runs/local-activity-seed0");
    let script = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps({tag: [[e.step, e.value, e.wall_time] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))
"#;
    let arguments = ["-c", script, folder.to_str().expect("a plain path")];
    let has_package = first(&["python3", "python"], &["-c", "import tensorboard"]);
    if !has_package.is_some_and(|output| output.status.success()) {
        return missing("no Python with the package tensorboard is installed");
    }
    let output = first(&["python3", "python"], &arguments).expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let scalars: serde_json::Value = serde_json::from_slice(&output.stdout).expect("scalars");
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("metrics");
    let epochs: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an epoch")).collect();
    assert_eq!(epochs.len(), 2);
    let found = scalars["test/network/accuracy"].as_array().expect("the network's accuracy");
    assert_eq!(found.len(), epochs.len());
    for (event, epoch) in found.iter().zip(&epochs) {
        assert_eq!(event[0], epoch["step"]);
        let accuracy = epoch["test"].as_array().and_then(|test| test.last()).expect("a score")["accuracy"].as_f64();
        let gap = event[1].as_f64().expect("a value") - accuracy.expect("an accuracy");
        assert!(gap.abs() < 1e-6, "{event} {epoch}");
        let now = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs_f64();
        assert!((event[2].as_f64().expect("a time") - now).abs() < 3600.0, "the time is in seconds: {event}");
    }
    let alignment = scalars["probe/blocks.0/guess_alignment"].as_array().expect("the probes");
    assert_eq!(alignment.len(), 4, "a probe every five of twenty steps");
}
