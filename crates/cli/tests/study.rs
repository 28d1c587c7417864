//! `foregrad study` as its users meet it: grids that survive interruption, shards, damaged folders.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Four quick runs.
const STUDY: &str = r#"
name = "tiny"
question = "Does it survive?"
seeds = [0, 1]

[base]
epochs = 4
batch = 16
probe-every = 10
data = { dataset = "glyphs", train-limit = 320, test-limit = 40 }
model = { name = "small-net", width = 0.05 }

[[axis]]
name = "guess"
values = [
    { name = "local", estimator.guess = "local" },
    { name = "gaussian", estimator.guess = "gaussian", optimizer.rate = 0.005 },
]
"#;

fn dir(study: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("tiny.toml"), study).expect("a file");
    dir
}

fn command(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
    command.current_dir(dir).args(["study", "tiny.toml", "--quiet"]).args(arguments.split_whitespace());
    command
}

fn run(dir: &Path, arguments: &str) -> Output {
    command(dir, arguments).output().expect("the binary runs")
}

fn fails(dir: &Path, arguments: &str, code: i32) -> String {
    let output = run(dir, arguments);
    let text = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(code), "`{arguments}`: {text}");
    assert!(!text.contains("panicked"), "`{arguments}`: {text}");
    text
}

fn succeeds(dir: &Path, arguments: &str) -> String {
    let output = run(dir, arguments);
    assert!(output.status.success(), "`{arguments}`: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).to_string()
}

fn row_file(folder: &Path, run: &str) -> PathBuf {
    folder.join("runs").join(run).join("row.json")
}

/// Every row of a study's folder, without what the machine adds.
fn rows(folder: &Path) -> Vec<Value> {
    let runs = ["local-seed0", "local-seed1", "gaussian-seed0", "gaussian-seed1"];
    runs.map(|run| {
        let text = std::fs::read_to_string(row_file(folder, run)).unwrap_or_else(|error| panic!("{run}: {error}"));
        let mut row: Value = serde_json::from_str(&text).expect("a row");
        row.as_object_mut().expect("an object").remove("machine");
        row
    })
    .to_vec()
}

/// Starts a study in a process group of its own.
#[cfg(unix)]
fn start(dir: &Path, arguments: &str) -> Child {
    use std::os::unix::process::CommandExt;
    command(dir, arguments)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs")
}

#[cfg(unix)]
#[test]
fn interrupted_ten_times_a_study_ends_with_the_same_rows() {
    let dir = dir(STUDY);
    succeeds(dir.path(), "--out whole");
    for round in 0..10_u64 {
        let mut study = start(dir.path(), "--out cut");
        // Not at random: what fails once must fail again.
        std::thread::sleep(Duration::from_millis(150 + round * 137 % 500));
        match round % 3 {
            // The parent alone, without a chance to say anything: its child ends by itself.
            0 => study.kill().expect("a signal"),
            // Both at once.
            1 => signal("-KILL", &format!("-{}", study.id())),
            // As by Ctrl-C.
            _ => signal("-INT", &format!("-{}", study.id())),
        }
        study.wait().expect("an end");
    }
    succeeds(dir.path(), "--out cut");
    assert_eq!(rows(&dir.path().join("cut")), rows(&dir.path().join("whole")));
}

#[cfg(unix)]
fn signal(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, "--", process]).status().expect("kill").success());
}

#[cfg(unix)]
#[test]
fn two_shards_in_parallel_and_two_whole_studies_share_a_folder() {
    let dir = dir(STUDY);
    succeeds(dir.path(), "--out alone");
    let alone = rows(&dir.path().join("alone"));
    for (folder, arguments) in [("shards", ["--shard 0/2", "--shard 1/2"]), ("twice", ["--jobs 2", ""])] {
        let both = arguments.map(|arguments| start(dir.path(), &format!("--out {folder} {arguments}")));
        for mut study in both {
            assert!(study.wait().expect("an end").success(), "{folder}");
        }
        assert_eq!(rows(&dir.path().join(folder)), alone, "{folder}");
    }
}

#[test]
fn a_finished_run_is_never_repeated() {
    let dir = dir(STUDY);
    let text = succeeds(dir.path(), "--out done --json");
    assert_eq!(text.lines().count(), 4);
    let times = || {
        ["local-seed0", "gaussian-seed1"]
            .map(|run| row_file(&dir.path().join("done"), run).metadata().expect("a row").modified().expect("a time"))
    };
    let before = times();
    let table = succeeds(dir.path(), "--out done");
    assert!(table.contains("gaussian") && table.contains('%'), "{table}");
    assert_eq!(times(), before);
    for file in ["report.html", "report.md", "report.tex", "rows.csv", "rows.parquet"] {
        assert!(dir.path().join("done").join(file).exists(), "{file}");
    }
}

#[test]
fn a_report_is_made_of_a_studys_folder_and_of_nothing_else() {
    let dir = dir(STUDY);
    let report = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
        command.current_dir(dir.path()).arg("report").args(arguments).output().expect("the binary runs")
    };
    let refused = report(&["."]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && text.contains("the folder of a study"), "{text}");
    succeeds(dir.path(), "--out some --shard 0/2");
    let made = report(&["some", "--out", "elsewhere", "--json"]);
    let summary: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert_eq!((summary["done"].as_u64(), summary["missing"].as_u64()), (Some(2), Some(2)), "{summary}");
    let page = std::fs::read_to_string(dir.path().join("elsewhere").join("report.html")).expect("a page");
    assert!(page.contains("Does it survive?") && page.contains("local-seed0"));
}

#[test]
fn a_failed_run_is_recorded_and_stops_nothing() {
    let diverging =
        STUDY.replace("optimizer.rate = 0.005", "optimizer.rate = 1e30").replace("seeds = [0, 1]", "seeds = [0]");
    let dir = dir(&diverging);
    assert!(fails(dir.path(), "--out failed", 1).contains("gaussian-seed0"));
    let folder = dir.path().join("failed");
    let row: Value =
        serde_json::from_slice(&std::fs::read(row_file(&folder, "gaussian-seed0")).expect("a row")).expect("a row");
    assert!(row["ending"]["failed"]["error"].as_str().expect("an error").contains("not finite"), "{row}");
    assert!(row_file(&folder, "local-seed0").exists());
    fails(dir.path(), "--out failed --retry-failed", 1);
}

#[test]
fn bad_input_is_said_with_its_place_and_finished_runs_stay() {
    let dir = dir(STUDY);
    succeeds(dir.path(), "--out results");
    let folder = dir.path().join("results");
    let before = rows(&folder);
    let change = |text: &str| std::fs::write(dir.path().join("tiny.toml"), text).expect("a file");

    change(&STUDY.replace("epochs = 4", "epochs = 5"));
    let other = fails(dir.path(), "--out results", 2);
    assert!(other.contains("study.toml") && other.contains("line 7") && other.contains("--out"), "{other}");
    change(&STUDY.replace("estimator.guess = \"local\"", "estimator.guess = \"locl\""));
    assert!(fails(dir.path(), "--out results", 2).contains("tiny.toml:16"));
    change(&format!("{STUDY}\n[[exclude]]\nguss = \"local\"\n"));
    assert!(fails(dir.path(), "--out results", 2).contains("unknown axis `guss`"));
    change(
        &STUDY
            .replace("name = \"gaussian\", ", "name = \"gaussian\", estimator.mix = 1, estimator.target = \"local\", "),
    );
    assert!(fails(dir.path(), "--verify", 2).contains("--target global"));
    change(&STUDY.replace("glyphs", "cifar10"));
    assert!(fails(dir.path(), "--out elsewhere", 2).contains("--data-dir"));
    change(STUDY);
    assert!(succeeds(dir.path(), "--verify").contains("all 4 runs"));
    assert_eq!(rows(&folder), before);

    let row = row_file(&folder, "local-seed1");
    let whole = std::fs::read(&row).expect("a row");
    std::fs::write(&row, &whole[..whole.len() / 2]).expect("a file");
    let damaged = fails(dir.path(), "--out results", 2);
    assert!(damaged.contains("row.json:") && damaged.contains("delete the file"), "{damaged}");
    std::fs::remove_file(&row).expect("a row");
    let newest =
        std::fs::read_dir(row.parent().expect("a folder")).expect("files").filter_map(|file| Some(file.ok()?.path()));
    for checkpoint in newest.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors")) {
        std::fs::write(checkpoint, b"damaged").expect("a file");
    }
    let damaged = fails(dir.path(), "--out results", 2);
    assert!(damaged.contains("local-seed1") && damaged.contains(".safetensors"), "{damaged}");
    assert!(fails(dir.path(), "--shard 2/2", 2).contains("I/N"));
}

#[test]
fn the_list_says_what_runs_take() {
    let dir = dir(STUDY);
    let text = succeeds(dir.path(), "--list");
    assert!(text.contains("local-seed0") && text.contains("80") && text.contains("4 runs, about"), "{text}");
    let json = succeeds(dir.path(), "--list --json");
    let first: Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert!(first["estimate"]["memory"].as_u64().expect("bytes") > 1 << 20, "{first}");
    assert!(!dir.path().join("runs").exists());
}
