//! `foregrad study` as its users meet it: grids that survive interruption, shards, damaged folders.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

#[cfg(unix)]
mod holding;

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

fn report(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
    command.current_dir(dir).arg("report").args(arguments).output().expect("the binary runs")
}

#[test]
fn a_report_is_made_of_a_studys_folder_and_of_nothing_else() {
    let dir = dir(STUDY);
    let refused = report(dir.path(), &["."]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && text.contains("the folder of a study"), "{text}");
    succeeds(dir.path(), "--out some --shard 0/2");
    let made = report(dir.path(), &["some", "--out", "elsewhere", "--json"]);
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
    assert!(fails(dir.path(), "--out failed --threads 1", 1).contains("gaussian-seed0"));
    let folder = dir.path().join("failed");
    let row: Value =
        serde_json::from_slice(&std::fs::read(row_file(&folder, "gaussian-seed0")).expect("a row")).expect("a row");
    assert!(row["ending"]["failed"]["error"].as_str().expect("an error").contains("not finite"), "{row}");
    assert!(row_file(&folder, "local-seed0").exists());
    let summary = report(dir.path(), &["failed", "--json"]);
    let summary: Value = serde_json::from_slice(&summary.stdout).expect("the others' report");
    assert_eq!(
        (summary["done"].as_u64(), summary["failures"].as_array().map(Vec::len)),
        (Some(1), Some(1)),
        "{summary}"
    );

    let replayed = fails(dir.path(), "--out failed --threads 1 --retry-failed", 2);
    assert!(replayed.contains("gaussian-seed0") && replayed.contains("another --device, --threads"), "{replayed}");
    assert!(row_file(&folder, "gaussian-seed0").exists(), "the row stands");
    fails(dir.path(), "--out failed --threads 2 --retry-failed", 1);
    let row: Value =
        serde_json::from_slice(&std::fs::read(row_file(&folder, "gaussian-seed0")).expect("a row")).expect("a row");
    assert_eq!(row["machine"]["threads"], 2, "tried again: {row}");
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
    assert!(other.contains("`local-seed0`") && other.contains("epochs = 4, where the study has 5"), "{other}");
    change(&STUDY.replace("estimator.guess = \"local\"", "estimator.guess = \"locl\""));
    assert!(fails(dir.path(), "--out results", 2).contains("tiny.toml:16"));
    change(&format!("{STUDY}\n[[exclude]]\nguss = \"local\"\n"));
    assert!(fails(dir.path(), "--out results", 2).contains("unknown axis `guss`"));
    change(
        &STUDY
            .replace("name = \"gaussian\", ", "name = \"gaussian\", estimator.mix = 1, estimator.target = \"local\", "),
    );
    let refused = fails(dir.path(), "--verify", 2);
    assert!(refused.contains("tiny.toml:17: ") && refused.contains("estimator.target = global"), "{refused}");
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
fn a_finished_study_grows() {
    let small = STUDY.replace("epochs = 4", "epochs = 1").replace("seeds = [0, 1]", "seeds = [0]");
    let dir = dir(&small);
    succeeds(dir.path(), "--out grown");
    let row = |run: &str| std::fs::read(row_file(&dir.path().join("grown"), run)).expect("a row");
    let before = row("local-seed0");
    let grown = small.replace("seeds = [0]", "seeds = [0, 1] # one more").replace('\n', "\r\n");
    std::fs::write(dir.path().join("tiny.toml"), &grown).expect("a file");
    assert_eq!(succeeds(dir.path(), "--out grown --json").lines().count(), 4);
    assert_eq!(row("local-seed0"), before, "not run again");
    row("gaussian-seed1");
    assert_eq!(std::fs::read_to_string(dir.path().join("grown").join("study.toml")).expect("a study"), grown);
}

/// A study of one long run that writes no checkpoint by itself.
#[cfg(unix)]
fn long() -> tempfile::TempDir {
    let long = STUDY.replace("epochs = 4", "epochs = 100000\ncheckpoint-every = 0").replace("probe-every = 10\n", "");
    dir(&long.replace("seeds = [0, 1]", "seeds = [0]"))
}

/// Waits until a folder has a file whose name begins and ends so.
#[cfg(unix)]
fn wait_for(folder: &Path, begin: &str, end: &str) {
    let is_wanted = |path: std::fs::DirEntry| {
        path.file_name().to_str().is_some_and(|name| name.starts_with(begin) && name.ends_with(end))
    };
    while !std::fs::read_dir(folder).is_ok_and(|files| files.flatten().any(is_wanted)) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn a_parent_waits_for_its_childrens_checkpoints_however_often_it_is_asked() {
    let dir = long();
    // Blocks that take a while: whoever does not wait for a child is gone before it has written.
    let file = dir.path().join("tiny.toml");
    let text = std::fs::read_to_string(&file).expect("a study");
    std::fs::write(&file, text.replace("width = 0.05", "width = 0.5").replace("batch = 16", "batch = 320"))
        .expect("a file");
    let mut study = start(dir.path(), "--out cut --jobs 2");
    let runs = ["local-seed0", "gaussian-seed0"].map(|run| dir.path().join("cut").join("runs").join(run));
    runs.iter().for_each(|run| wait_for(run, "metrics", ".jsonl"));
    // The process, and then its group, as GNU timeout does.
    signal("-TERM", &study.id().to_string());
    signal("-TERM", &format!("-{}", study.id()));
    assert_eq!(study.wait().expect("an end").code(), Some(130));
    for run in &runs {
        let files: Vec<_> = std::fs::read_dir(run).expect("files").flatten().map(|file| file.file_name()).collect();
        let is_checkpoint = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("checkpoint-");
        assert!(files.iter().any(is_checkpoint), "{files:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_parent_passes_on_what_is_asked_of_it() {
    let dir = long();
    let mut study = start(dir.path(), "--out asked");
    let run = dir.path().join("asked").join("runs").join("local-seed0");
    wait_for(&run, "metrics", ".jsonl");
    signal("-USR1", &study.id().to_string());
    wait_for(&run, "checkpoint-", ".safetensors");
    assert!(study.try_wait().expect("a process").is_none(), "it goes on");
    signal("-USR2", &study.id().to_string());
    assert!(!study.wait().expect("an end").success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_no_text_will_do() {
    use std::os::unix::ffi::OsStrExt;
    let small = STUDY.replace("epochs = 4", "epochs = 1").replace("seeds = [0, 1]", "seeds = [0]");
    let dir = dir(&small);
    let out = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let output = command(dir.path(), "--out").arg(out).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(row_file(&dir.path().join(out), "gaussian-seed0").exists());
    let output = command(dir.path(), "--data-dir").arg(out).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || (output.status.code() == Some(2) && text.contains("UTF-8")), "{text}");
    let output = command(dir.path(), "").arg("--shard").arg(out).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
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
