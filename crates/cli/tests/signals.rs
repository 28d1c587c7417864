//! Signals as launchers send them: to runs that are waited for by what they write, never by a clock.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A run that does not end by itself.
const ENDLESS: &str = "--dataset glyphs --model mlp --width 0.25 --train-limit 200 --test-limit 50 --batch 20 \
                       --epochs 1000000 --checkpoint-every 0 --probe-every 1 --threads 1";

fn command(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
    command.current_dir(dir).args(arguments.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// An endless run in a folder `run`, once it has done a step.
fn endless(mut command: Command, dir: &Path) -> Child {
    let mut child = command.spawn().expect("the binary runs");
    wait_for(&mut child, || std::fs::metadata(dir.join("run/probes.jsonl")).is_ok_and(|file| file.len() > 0));
    child
}

/// Waits until something holds, as long as a process lives.
fn wait_for(child: &mut Child, holds: impl Fn() -> bool) {
    while !holds() {
        assert!(child.try_wait().expect("a child").is_none(), "it ended: {:?}", child.wait());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kill(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir.join("run")).expect("a folder").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.extension().is_some_and(|end| end == "safetensors")).collect()
}

/// The end of a run that was asked to leave: its checkpoint is there, and how to go on is said.
fn has_left(child: Child, dir: &Path) {
    let Output { status, stderr, .. } = child.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("--resume --out run") && !checkpoints(dir).is_empty(), "{text}");
}

#[test]
fn every_request_to_leave_leaves_with_a_checkpoint_and_repeats_change_nothing() {
    for signals in [&["-TERM", "-TERM"] as &[_], &["-HUP"], &["-INT", "-INT"], &["-USR2"]] {
        let dir = tempfile::tempdir().expect("a folder");
        let child = endless(command(dir.path(), &format!("train {ENDLESS} --out run")), dir.path());
        signals.iter().for_each(|signal| kill(signal, &child));
        has_left(child, dir.path());
    }
}

/// What is said can be pasted into a shell, whatever the folder's name.
#[test]
fn a_run_that_is_stopped_tells_its_folder_in_quotes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = command(dir.path(), &format!("train {ENDLESS}"));
    let mut child = command.args(["--out", "it's a run"]).spawn().expect("the binary runs");
    let probes = dir.path().join("it's a run/probes.jsonl");
    wait_for(&mut child, || std::fs::metadata(&probes).is_ok_and(|file| file.len() > 0));
    kill("-TERM", &child);
    let output = child.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(r#"`--resume --out "it's a run"`"#), "{text}");
}

#[test]
fn a_warning_writes_a_checkpoint_and_the_run_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = endless(command(dir.path(), &format!("train {ENDLESS} --out run")), dir.path());
    for count in [1, 2] {
        kill("-USR1", &child);
        wait_for(&mut child, || checkpoints(dir.path()).len() >= count);
    }
    kill("-TERM", &child);
    has_left(child, dir.path());
}

#[test]
fn what_the_launcher_ignores_stays_ignored() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut nohup = Command::new("sh");
    let script = "trap '' HUP INT; exec \"$0\" \"$@\"";
    nohup.args(["-c", script, env!("CARGO_BIN_EXE_foregrad"), "train"]).args(ENDLESS.split_whitespace());
    nohup.args(["--out", "run"]).current_dir(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = endless(nohup, dir.path());
    kill("-HUP", &child);
    kill("-INT", &child);
    // A later signal is answered: the earlier ones would have ended the run before it.
    kill("-USR1", &child);
    wait_for(&mut child, || !checkpoints(dir.path()).is_empty());
    assert!(child.try_wait().expect("a child").is_none(), "it ended");
    let probes = || std::fs::metadata(dir.path().join("run/probes.jsonl")).expect("probes").len();
    let before = probes();
    wait_for(&mut child, || probes() > before);
    kill("-TERM", &child);
    has_left(child, dir.path());
}

/// A stop while test images are scored is answered there, and the evaluation is done again.
#[test]
fn an_evaluation_is_left_and_done_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let slow = "train --dataset glyphs --model small-net --width 0.5 --train-limit 16 --test-limit 20000 --batch 16 \
                --epochs 1 --probe-every 1 --checkpoint-steps 1 --threads 1 --out run";
    let mut child = command(dir.path(), slow).spawn().expect("the binary runs");
    // The checkpoint of the epoch's only step is written right before the scores.
    wait_for(&mut child, || dir.path().join("run").exists() && !checkpoints(dir.path()).is_empty());
    // It is seen before its folder is synced: without a moment more the stop would be answered before the scores begin.
    std::thread::sleep(Duration::from_millis(500));
    kill("-TERM", &child);
    has_left(child, dir.path());
    let metrics = dir.path().join("run/metrics.jsonl");
    assert_eq!(std::fs::read_to_string(&metrics).expect("metrics"), "", "the evaluation does not count");
}
