//! Writing to the terminal or whatever stands in its place.
//!
//! `println!` panics when its reader has gone (`foregrad data list | head -1`); a run must outlive its readers.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

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
