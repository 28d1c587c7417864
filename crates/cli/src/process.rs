//! This program's own process: started again for work that needs memory of its own, and asked to stop by signals.

use std::io::{ErrorKind, Write};
use std::process::{Child, Command, Stdio};

mod signals;

pub use signals::requests;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::commands::work;

/// The exit code of a program that was stopped, or that Ctrl-C ended at once.
pub const STOPPED: u8 = 130;

/// Ends the program at once. Nothing is run that libraries keep for the end: a device's driver would take apart there what its own threads
/// still work with.
pub fn leave(code: u8) -> ! {
    #[cfg(unix)]
    signal_hook::low_level::exit(code.into());
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

/// Starts this program again with a task of its own: the first line on its standard input, which stays open. The words of a launcher start
/// several of it.
///
/// # Errors
/// The program's file cannot be found or started, or cannot be given its task.
pub fn start(task: &work::Task, launcher: &[String]) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = match launcher {
        [] => Command::new(program),
        [name, words @ ..] => {
            let mut command = Command::new(name);
            command.args(words).arg(program);
            command
        }
    };
    let joined = (!launcher.is_empty()).then_some("--joined");
    command.arg(work::NAME).args(joined).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = launcher.first().map_or("a process".to_string(), |name| format!("`{name}`, the study's launcher"));
    let mut child = command.spawn().with_context(|| format!("cannot start {what}"))?;
    let line = serde_json::to_string(task).context("a task is plain values")?;
    let input = child.stdin.as_mut().context("a child without input")?;
    match writeln!(input, "{line}") {
        // A child that is gone already tells why when it is waited for.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = child.kill().and_then(|()| child.wait());
            Err(foregrad::Error::io("write", "the input of a child process")(error).into())
        }
        _ => Ok(child),
    }
}

/// What a task prints as JSON in a process of its own.
///
/// # Errors
/// The process cannot be started, it fails (with its own reason), or it prints something else.
pub fn result_of<T: DeserializeOwned>(task: &work::Task) -> Result<T> {
    let mut child = start(task, &[])?;
    // Its end would tell the child that this process is gone.
    let _input = child.stdin.take();
    let output = child.wait_with_output().context("cannot wait for a process")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{}", reason.trim().trim_start_matches("error: "));
    }
    serde_json::from_slice(&output.stdout).context("its process gave no result")
}
