//! Writing to the terminal or whatever stands in its place.
//!
//! `println!` panics when its reader has gone (`foregrad data list | head -1`); a run must outlive its readers.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use log::{LevelFilter, Log, Metadata, Record};

/// A line of results on standard output; a reader that has gone is no error.
///
/// # Errors
/// A full disk and the like.
pub fn line(text: impl Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// A remark on standard error; if that cannot be written, nobody is there to be told.
pub fn remark(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Shows the library's warnings.
struct Warnings {
    /// The bar on the screen, which makes room for them.
    bar: Mutex<Option<ProgressBar>>,
}

static WARNINGS: Warnings = Warnings { bar: Mutex::new(None) };

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("foregrad")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let show = || remark(format_args!("{}: {}", record.level().as_str().to_lowercase(), record.args()));
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone();
        bar.map_or_else(show, |bar| bar.suspend(show));
    }

    fn flush(&self) {}
}

/// Shows the library's warnings on standard error from now on.
pub fn show_warnings() {
    // Only a second logger is refused, and there is none.
    if log::set_logger(&WARNINGS).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// The bar that makes room for warnings.
pub fn warn_beside(bar: &ProgressBar) {
    *WARNINGS.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
}
