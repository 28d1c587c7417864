//! A study's folder: its definition, and the folders of its runs.
//!
//! ```text
//! STUDY/study.toml        the definition
//! STUDY/runs/NAME/        a run's folder, with `row.json` once it has ended
//! ```

use std::path::{Path, PathBuf};

use super::planned::Planned;
use super::{Row, Study};
use crate::files;
use crate::train::{EpochRecord, ProbeRecord, RunFolder};
use crate::{Error, Result};

const STUDY: &str = "study.toml";

/// What there is of one run.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// Its settings.
    pub planned: Planned,
    /// Its row, once it has ended.
    pub row: Option<Row>,
    /// Its epochs so far.
    pub epochs: Vec<EpochRecord>,
    /// Its probes so far.
    pub probes: Vec<ProbeRecord>,
}

/// All there is in a study's folder.
#[derive(Debug, Clone)]
pub struct Results {
    /// The definition.
    pub study: Study,
    /// Every run, in the order of the definition.
    pub runs: Vec<RunResult>,
}

impl Results {
    /// Reads a study's folder.
    ///
    /// # Errors
    /// A folder that holds no study, damaged rows and records.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(STUDY);
        if !file.exists() {
            let found = format!("no {STUDY} in it; `foregrad study` makes one");
            return Err(Error::bad_file(folder, "the folder of a study", found));
        }
        let study = Study::read(&file)?;
        let result = |planned: Planned| {
            let own = run_folder(folder, &planned.name);
            let row = Row::read(&own)?;
            let (epochs, probes) = (RunFolder::epochs(&own)?, RunFolder::probes(&own)?);
            Ok(RunResult { planned, row, epochs, probes })
        };
        let runs = study.runs()?.into_iter().map(result).collect::<Result<_>>()?;
        Ok(Self { study, runs })
    }
}

/// Makes the folder of a study, or checks that it is this study's.
///
/// # Errors
/// The folder of another study, one that cannot be written.
pub fn prepare(folder: &Path, study: &Study) -> Result<()> {
    let file = folder.join(STUDY);
    match std::fs::read_to_string(&file) {
        Ok(text) if text == study.text() => Ok(()),
        Ok(text) => {
            let line = text.lines().zip(study.text().lines()).take_while(|(a, b)| a == b).count() + 1;
            let found = format!("another, which differs from line {line} on; use another --out");
            Err(Error::bad_file(file, format!("the results of this very study, `{}`", study.name), found))
        }
        Err(_) => {
            std::fs::create_dir_all(folder.join("runs")).map_err(Error::io("create", folder))?;
            files::write_atomically(&file, study.text().as_bytes())
        }
    }
}

/// The folder of a run.
pub fn run_folder(study: &Path, run: &str) -> PathBuf {
    study.join("runs").join(run)
}
