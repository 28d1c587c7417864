//! This program's own process: started again for work that needs memory of its own, and asked to stop by signals.

use std::process::{Command, Stdio};

mod signals;

pub use signals::requests;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// A command that starts this program again.
///
/// # Errors
/// The program's file cannot be found.
pub fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot find this program's own file")?))
}

/// What this very command, with two more arguments, prints as JSON in a process of its own.
///
/// # Errors
/// The process cannot be started, it fails (with its own reason), or it prints something else.
pub fn result_of<T: DeserializeOwned>(more: [&str; 2]) -> Result<T> {
    let mut command = this_program()?;
    command.args(std::env::args_os().skip(1)).args(more);
    let output = command.stdin(Stdio::null()).output().context("cannot start a process")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{}", reason.trim().trim_start_matches("error: "));
    }
    serde_json::from_slice(&output.stdout).context("its process gave no result")
}
