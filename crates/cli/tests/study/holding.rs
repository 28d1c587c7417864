//! A run has one holder at a time, and one that has lost it ends.

use super::*;

/// What another process on the same folder says of a run that is held, before it waits.
fn who_works_on_it(dir: &Path, out: &str) -> String {
    use std::io::BufRead;
    use std::os::unix::process::CommandExt;
    let mut other = Command::new(env!("CARGO_BIN_EXE_foregrad"))
        .current_dir(dir)
        .args(["study", "tiny.toml", "--out", out])
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let lines = std::io::BufReader::new(other.stderr.take().expect("messages")).lines();
    let told = lines.map_while(Result::ok).find(|line| line.contains("works on it")).unwrap_or_default();
    signal("-KILL", &format!("-{}", other.id()));
    other.wait().expect("an end");
    told
}

#[test]
fn a_run_is_held_by_one_process_at_a_time_and_killed_ones_hold_nothing() {
    let dir = long();
    let mut first = start(dir.path(), "--out held");
    let run = dir.path().join("held").join("runs").join("local-seed0");
    wait_for(&run, "metrics", ".jsonl");
    let claimed = std::fs::read_to_string(run.join("claim-1.json")).expect("a claim");
    let told = who_works_on_it(dir.path(), "held");
    let claim: Value = serde_json::from_str(&claimed).expect("JSON");
    assert!(told.contains(&format!("process {} on ", claim["holder"]["process"])), "{told}");
    signal("-KILL", &format!("-{}", first.id()));
    first.wait().expect("an end");
    let mut second = start(dir.path(), "--out held");
    wait_for(&run, "claim-2", ".json");
    signal("-TERM", &second.id().to_string());
    second.wait().expect("an end");
}

/// A run that another process has taken over, as far as its folder tells: a claim of a higher number.
/// A child as a study starts it, with its task on standard input, which stays open.
fn work_on_a_long_run(study: &Path) -> Child {
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    let config = serde_json::json!({
        "epochs": 100_000,
        "batch": 20,
        "data": { "dataset": "glyphs", "train-limit": 40, "test-limit": 20 },
        "model": { "width": 0.05 },
    });
    let task = serde_json::json!({ "Run": {
        "study": { "Unix": study.as_os_str().as_bytes() },
        "planned": { "name": "local-seed0", "choices": [], "config": config },
        "terms": { "version": "test", "retry_failed": false, "silent": null },
    }});
    let mut child = Command::new(env!("CARGO_BIN_EXE_foregrad"))
        .arg("work")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    writeln!(child.stdin.as_mut().expect("its input"), "{task}").expect("a listener");
    child
}

#[test]
fn a_run_that_is_lost_ends_soon_and_is_no_success() {
    use std::io::{BufRead, BufReader};
    let dir = long();
    let run = |out: &str| dir.path().join(out).join("runs").join("local-seed0");
    let mut one = work_on_a_long_run(&dir.path().join("one"));
    let mut study = command(dir.path(), "--out whole --shard 0/2 --threads 1");
    let mut study = study.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    for out in ["one", "whole"] {
        wait_for(&run(out), "metrics", ".jsonl");
        std::fs::write(run(out).join("claim-9.json"), "another's").expect("a file");
    }
    let is_over = |one: &mut Child| one.try_wait().expect("a process").is_some();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while !is_over(&mut one) && std::time::Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    let has_ended = is_over(&mut one);
    // One that goes on is asked to stop by its standard input's end.
    let output = one.wait_with_output().expect("an end");
    assert!(has_ended, "it trains on in a folder that is another's");
    let told = String::from_utf8_lossy(&output.stdout).to_string();
    assert!(output.status.code() == Some(1) && told.contains("took it over"), "{}: {told}", output.status);
    let mut lines = BufReader::new(study.stderr.take().expect("messages")).lines().map_while(Result::ok);
    let told = lines.any(|line| line.contains("local-seed0: this process has lost the run"));
    signal("-TERM", &study.id().to_string());
    assert_eq!((told, study.wait().expect("an end").code()), (true, Some(130)), "the study waits for its run");
}
