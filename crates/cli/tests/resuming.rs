//! Going on with a run by the binary: which flags may change, jobs that are requeued, names of folders.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use std::ffi::OsStr;
use std::path::Path;

use common::{command, end_of, run};

const TINY: &str = "--dataset glyphs --model mlp --width 0.25 --train-limit 40 --test-limit 20 --batch 20 --threads 1";

fn epochs(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("run/metrics.jsonl")).expect("metrics").lines().count()
}

#[test]
fn numbers_out_of_range_are_refused_by_their_flags_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let values = ["nan", "inf", "-1"];
    let few = "--train-limit 150 --test-limit 20 --out run";
    for (flag, key) in [
        ("--lr", "optimizer.rate"),
        ("--momentum", "optimizer.momentum"),
        ("--weight-decay", "optimizer.weight-decay"),
        ("--clip", "optimizer.clip"),
        ("--gamma", "schedule.gamma"),
        ("--warm-up", "schedule.warm-up"),
        ("--width", "model.width"),
        ("--label-smoothing", "model.label-smoothing"),
        ("--checkpoint-minutes", "checkpoint-minutes"),
    ] {
        for value in values {
            let number = value.parse::<f64>().expect("a number");
            let shown = format!("{flag} is {number}");
            let (code, text) = run(dir.path(), &format!("train {flag} {value} {few}"));
            assert!(code == Some(2) && text.contains(&shown), "{flag} {value}: {code:?} {text}");
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
            let value = if value == "-1" { "-1.0" } else { value };
            let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
            std::fs::write(dir.path().join("c.toml"), format!("{header}{name} = {value}\n")).expect("a file");
            let (code, text) = run(dir.path(), &format!("train --config c.toml {few}"));
            assert!(code == Some(2) && text.contains(&shown), "{key} = {value}: {code:?} {text}");
        }
    }
    assert!(!dir.path().join("run").exists());
}

#[test]
fn a_run_that_goes_on_takes_its_own_flags_and_refuses_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, text) = run(dir.path(), &format!("train {TINY} --lr 0.02 --epochs 1 --out run"));
    assert_eq!(code, Some(0), "{text}");
    for (flags, named) in [
        ("--lr 0.05", ["--lr is 0.05", "0.02"]),
        ("--batch 10", ["--batch is 10", "20"]),
        ("--mix 2", ["--mix is 2", "is off"]),
    ] {
        let (code, text) = run(dir.path(), &format!("train --resume --epochs 2 {flags} --out run"));
        assert!(code == Some(2) && named.iter().all(|part| text.contains(part)), "{flags}: {code:?} {text}");
        assert_eq!(epochs(dir.path()), 1);
    }
    let (code, text) = run(dir.path(), &format!("train {TINY} --lr 0.02 --resume --epochs 2 --out run"));
    assert_eq!((code, epochs(dir.path())), (Some(0), 2), "{text}");
}

#[test]
fn one_command_starts_a_run_goes_on_with_it_and_leaves_it_when_it_is_done() {
    let dir = tempfile::tempdir().expect("a folder");
    let job = format!("train {TINY} --epochs 2 --resume-or-start --out run");
    let (code, text) = run(dir.path(), &job);
    assert_eq!((code, epochs(dir.path())), (Some(0), 2), "{text}");
    let (code, text) = run(dir.path(), &job);
    assert!(code == Some(0) && text.contains("done already"), "{text}");
    let (code, text) = run(dir.path(), &job.replace("--epochs 2", "--epochs 3"));
    assert_eq!((code, epochs(dir.path())), (Some(0), 3), "{text}");
    let (code, text) = run(dir.path(), &format!("{job} --lr 0.01"));
    assert!(code == Some(2) && text.contains("--lr is 0.01") && text.contains("0.05"), "{text}");
}

/// What a run leaves that was killed in its first epoch: settings and empty records.
#[test]
fn a_run_without_a_checkpoint_begins_again() {
    for again in ["train TINY --epochs 1 --checkpoint-every 3", "train TINY --epochs 1 --resume-or-start"] {
        let dir = tempfile::tempdir().expect("a folder");
        let (code, text) = run(dir.path(), &format!("train {TINY} --epochs 1 --out run"));
        assert_eq!(code, Some(0), "{text}");
        for entry in std::fs::read_dir(dir.path().join("run")).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "safetensors") {
                std::fs::remove_file(path).expect("removed");
            }
        }
        let (code, text) = run(dir.path(), "train --resume --out run");
        assert!(code == Some(2) && text.contains("--resume-or-start"), "{text}");
        let (code, text) = run(dir.path(), &format!("{} --out run", again.replace("TINY", TINY)));
        assert_eq!((code, epochs(dir.path())), (Some(0), 1), "{again}: {text}");
        let (code, text) = run(dir.path(), &format!("train {TINY} --lr 0.01 --out run"));
        assert!(code == Some(2) && text.contains("--overwrite"), "{text}");
    }
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(run(dir.path(), "train --resume --out new").0, Some(2), "there is no run to go on with");
}

#[test]
fn a_relative_folder_of_data_is_stored_absolute() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, text) = run(dir.path(), &format!("train {TINY} --epochs 1 --data-dir data --out run"));
    assert_eq!(code, Some(0), "{text}");
    let settings = std::fs::read_to_string(dir.path().join("run/config.toml")).expect("settings");
    let line = settings.lines().find(|line| line.starts_with("dir = ")).expect("a folder");
    assert!(Path::new(line["dir = ".len()..].trim_matches('"')).is_absolute(), "{line}");
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_works_or_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().expect("a folder");
    let name = OsStr::from_bytes(b"caf\xe9 d'or");
    let with = |flag: &str| {
        let mut command = command(dir.path(), &format!("train {TINY} --epochs 1"));
        command.arg(flag).arg(name);
        command
    };
    let ended = |command| {
        let ended = end_of(command);
        (ended.code, ended.said)
    };
    let (code, text) = ended(with("--out"));
    assert_eq!(code, Some(0), "{text}");
    let mut named = command(dir.path(), &format!("train {TINY} --epochs 1 --out run"));
    named.env("FOREGRAD_DATA", name);
    let mut given = with("--data-dir");
    given.args(["--out", "run"]);
    for command in [named, given] {
        let (code, text) = ended(command);
        assert!(code == Some(2) && text.contains("--data-dir") && text.contains("UTF-8"), "{code:?} {text}");
    }
    assert!(!dir.path().join("run").exists());
}
