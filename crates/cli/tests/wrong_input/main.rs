//! Every command with wrong input of every kind: exit code 2, a message that names what is wrong, nothing written.
//!
//! The inputs are lines of `cases.txt`; to add one, add a line.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]
#![cfg(target_os = "linux")]

mod given;
mod table;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use given::Given;
use rayon::prelude::*;
use table::{Case, Table};

/// Cases that run at once.
const AT_ONCE: usize = 2;

/// Seconds after which a command counts as hanging.
const PATIENCE: &str = "60";

/// KiB of address space a command gets: what takes more was not refused.
const MEMORY: u64 = 8 << 20;

#[test]
fn wrong_input_is_refused_with_its_name_and_nothing_is_written() {
    let table = Table::read();
    let given = Given::make();
    let before = given.digest();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(AT_ONCE).build().expect("threads");
    let faults: Vec<String> = pool.install(|| table.cases.par_iter().filter_map(|case| fault(case, &given)).collect());
    // Past the test harness, which holds back what a test that passes prints.
    writeln!(std::io::stderr(), "{}", counts(&table)).expect("a place for counts");
    assert!(faults.is_empty(), "{} of {} cases:\n\n{}", faults.len(), table.cases.len(), faults.join("\n\n"));
    assert_eq!(given.digest(), before, "what was given has changed");
}

#[test]
fn every_kind_is_tried_three_times_with_every_command_that_can_get_it() {
    let table = Table::read();
    let mut wrong = Vec::new();
    for command in table::COMMANDS {
        for kind in table::KINDS {
            let count = table.cases.iter().filter(|case| case.command == *command && case.kind == *kind).count();
            if (count < 3) != table.has_few(command, kind) {
                wrong.push(format!("{command}: {count} of kind {kind}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not as the `few` lines say:\n{}", wrong.join("\n"));
    let stray = table
        .cases
        .iter()
        .find(|case| !(table::COMMANDS.contains(&&*case.command) && table::KINDS.contains(&&*case.kind)));
    assert!(stray.is_none(), "{stray:?}");
}

#[test]
fn no_command_is_left_out() {
    let output = Command::new(env!("CARGO_BIN_EXE_foregrad")).arg("--help").output().expect("the binary runs");
    let help = String::from_utf8_lossy(&output.stdout).to_string();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> =
        listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.len() > 10, "{help}");
    for name in names {
        let is_tried = table::COMMANDS.iter().any(|command| command.split(' ').next() == Some(name));
        assert!(is_tried, "no wrong input for `{name}`");
    }
}

/// What is wrong about the answer to a case, if anything.
fn fault(case: &Case, given: &Given) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let limited = format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"");
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", PATIENCE, "sh", "-c", &limited, env!("CARGO_BIN_EXE_foregrad")]);
    command.args(case.command.split(' ')).args(given.arguments(case));
    command.current_dir(folder.path()).env_remove("FOREGRAD_DATA").stdin(Stdio::null());
    let output = command.output().expect("the binary runs");
    let problem = problem(case, &output, folder.path())?;
    let said = String::from_utf8_lossy(&output.stderr);
    Some(format!("line {}: {} {}\n{problem}\n{}", case.line, case.command, case.arguments, said.trim()))
}

fn problem(case: &Case, output: &Output, folder: &Path) -> Option<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(2) {
        return Some(format!("it ends with {}", output.status));
    }
    if said.contains("panicked") || !said.starts_with("error: ") {
        return Some("standard error is no message of an error".into());
    }
    if let Some(word) = case.words.iter().find(|word| !said.contains(*word)) {
        return Some(format!("standard error lacks `{word}`"));
    }
    if !output.stdout.is_empty() {
        return Some(format!("standard output holds `{}`", String::from_utf8_lossy(&output.stdout)));
    }
    first_file(folder).map(|file| format!("it has made {file}"))
}

fn first_file(folder: &Path) -> Option<String> {
    let file = std::fs::read_dir(folder).expect("a folder").next()?;
    Some(file.expect("a file").file_name().to_string_lossy().to_string())
}

/// Cases by command and kind.
fn counts(table: &Table) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for case in &table.cases {
        *counts.entry((&case.command, &case.kind)).or_default() += 1;
    }
    let row = |command: &&str| {
        let kinds = table::KINDS.iter().map(|kind| {
            let count = counts.get(&(*command, *kind)).copied().unwrap_or_default();
            format!("{kind} {count}")
        });
        format!("{command:<14} {}", kinds.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = table::COMMANDS.iter().map(row).collect();
    format!("{} wrong inputs\n{}", table.cases.len(), rows.join("\n"))
}
