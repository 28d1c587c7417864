//! Reports: tables, charts and one self-contained page, made from nothing but a study's [`Results`].
//!
//! ```no_run
//! use foregrad_lab::{report, study::Results};
//! let folder = std::path::Path::new("runs/quick");
//! report::write(&Results::read(folder)?, folder)?;
//! # Ok::<(), foregrad_lab::Error>(())
//! ```

mod charts;
mod escape;
mod field;
mod fronts;
mod latex;
mod markdown;
mod order;
mod page;
mod parquet;
mod rows;

mod spread;
mod stacks;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod variant;

pub use fronts::Fronts;
pub use latex::latex;
pub use markdown::markdown;
pub use order::{Contradiction, Order};
pub use page::{Page, failure, html, library};
pub use rows::{parquet_rows, rows};

pub use spread::Spread;
pub use stacks::{Stack, stacks};
pub use summary::{Failure, Summary};
pub use table::{Cell, Column, Table};
pub use variant::{Reference, Variant};

use std::path::{Path, PathBuf};

use crate::Result;
use crate::study::{Ending, Results, RunResult};
use crate::train::Score;
use foregrad::files;

/// Writes `report.html`, `report.md`, `report.tex`, `rows.csv` and `rows.parquet` into a folder, which is made if there is none.
///
/// # Errors
/// A file that cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<Vec<PathBuf>> {
    files::create_folder(folder)?;
    let summary = Summary::of(results);
    let files = [
        ("report.html", html(results, Page::File).into_bytes()),
        ("report.md", markdown(&summary).into_bytes()),
        ("report.tex", latex(&summary).into_bytes()),
        ("rows.csv", rows(results)),
        ("rows.parquet", parquet_rows(results)),
    ];
    let written = files.into_iter().map(|(name, content)| {
        let path = folder.join(name);
        files::write_atomically(&path, &content)?;
        Ok(path)
    });
    written.collect()
}

/// A run's last scores, by block, the network's last.
struct LastScores<'a> {
    train: &'a [Option<Score>],
    test: &'a [Option<Score>],
    validation: &'a [Option<Score>],
}

/// The scores a run ended with, or those of its last epoch so far.
fn last_scores(run: &RunResult) -> LastScores<'_> {
    if let Some(Ending::Done { train, test, validation, .. }) = run.row.as_ref().map(|row| &row.ending) {
        return LastScores { train, test, validation };
    }
    match run.epochs.last() {
        Some(epoch) => LastScores { train: &epoch.train, test: &epoch.test, validation: &epoch.validation },
        None => LastScores { train: &[], test: &[], validation: &[] },
    }
}
