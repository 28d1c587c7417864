//! A run's folder: settings, metrics, events, checkpoints.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::{self, Checkpoint};
use super::{EpochRecord, ProbeRecord, RunConfig, events::Events};
use crate::files;
use crate::rng::Placement;
use crate::{Error, Result};

const METRICS: &str = "metrics.jsonl";
const PROBES: &str = "probes.jsonl";
const CONFIG: &str = "config.toml";

/// A run's folder, open for writing.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    probes: File,
    events: Events,
}

impl RunFolder {
    /// Starts a run's folder; one that already holds a run is refused unless it may be overwritten.
    ///
    /// # Errors
    /// A folder that holds a run, or that cannot be written.
    pub fn create(path: &Path, config: &RunConfig, overwrite: bool) -> Result<Self> {
        if path.join(CONFIG).exists() || !checkpoint::list(path).is_empty() {
            if !overwrite {
                let expected = "an empty or new folder (or `--resume` to go on, `--overwrite` to start again)";
                return Err(Error::bad_file(path, expected, "a run"));
            }
            remove_run(path)?;
        }
        std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
        files::write_atomically(&path.join(CONFIG), config.to_toml().as_bytes())?;
        Self::open(path)
    }

    /// Opens the folder of a run that goes on after a number of whole epochs and of steps. Later lines are cut off, and
    /// later checkpoints are set aside under another name, so that none of them is taken for the run's newest.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn resume(path: &Path, config: &RunConfig, epochs: u64, step: u64) -> Result<Self> {
        let later = checkpoint::list(path).into_iter().filter(|file| *file > checkpoint::path_of(path, step));
        for file in later {
            let aside = file.with_extension("safetensors.superseded");
            std::fs::rename(&file, aside).map_err(Error::io("write", file))?;
        }
        let epochs = cut::<EpochRecord>(&path.join(METRICS), |record| record.epoch <= epochs)?;
        // A probe comes before its step: that of the next step is made again.
        let probes = cut::<ProbeRecord>(&path.join(PROBES), |record| record.step < step)?;
        files::write_atomically(&path.join(CONFIG), config.to_toml().as_bytes())?;
        // Event files cannot be cut; they hold nothing that the other two do not, and are written again.
        for file in Events::list(path) {
            std::fs::remove_file(&file).map_err(Error::io("write", &file))?;
        }
        let mut folder = Self::open(path)?;
        epochs.iter().try_for_each(|record| folder.events.epoch(record))?;
        probes.iter().try_for_each(|record| folder.events.probe(record))?;
        Ok(folder)
    }

    fn open(path: &Path) -> Result<Self> {
        let append = |name: &str| {
            let file = path.join(name);
            OpenOptions::new().create(true).append(true).open(&file).map_err(Error::io("write", file))
        };
        Ok(Self {
            path: path.to_path_buf(),
            metrics: append(METRICS)?,
            probes: append(PROBES)?,
            events: Events::create(path)?,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings of the run in a folder.
    ///
    /// # Errors
    /// No run there, or damaged settings.
    pub fn config(path: &Path) -> Result<RunConfig> {
        RunConfig::read(&path.join(CONFIG))
    }

    /// The epochs in a folder so far; none if there is no such file.
    ///
    /// # Errors
    /// A damaged record: the message names the line.
    pub fn epochs(path: &Path) -> Result<Vec<EpochRecord>> {
        records(&path.join(METRICS))
    }

    /// The probes in a folder so far; none if there is no such file.
    ///
    /// # Errors
    /// A damaged record: the message names the line.
    pub fn probes(path: &Path) -> Result<Vec<ProbeRecord>> {
        records(&path.join(PROBES))
    }

    /// Adds an epoch.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        append(&mut self.metrics, &self.path.join(METRICS), record)?;
        self.events.epoch(record)
    }

    /// Adds a probe.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn probe(&mut self, record: &ProbeRecord) -> Result<()> {
        append(&mut self.probes, &self.path.join(PROBES), record)?;
        self.events.probe(record)
    }

    /// Writes a checkpoint and removes those beyond the number to keep, oldest first.
    ///
    /// # Errors
    /// A file that cannot be written; older checkpoints are then left alone.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        let path = checkpoint::path_of(&self.path, checkpoint.position.step);
        checkpoint.save(&path)?;
        let all = checkpoint::list(&self.path);
        let surplus = all.len().saturating_sub(checkpoint.config.keep_checkpoints);
        for old in &all[..surplus] {
            std::fs::remove_file(old).map_err(Error::io("write", old))?;
        }
        Ok(path)
    }

    /// The newest checkpoint of a folder. A damaged one is not passed over in silence: the error names the one before it.
    ///
    /// # Errors
    /// No checkpoint, or a damaged one.
    pub fn newest(path: &Path, placement: &Placement) -> Result<Checkpoint> {
        let all = checkpoint::list(path);
        let Some(newest) = all.last() else {
            return Err(Error::bad_file(path, "a run with a checkpoint", "no checkpoint"));
        };
        Checkpoint::load(newest, placement).map_err(|error| {
            let before = all.iter().rev().skip(1).find(|older| Checkpoint::load(older, placement).is_ok());
            match (error, before) {
                (Error::BadFile { path, expected, found }, Some(before)) => {
                    let advice = format!("{found}; the one before is whole: --resume={}", before.display());
                    Error::bad_file(path, expected, advice)
                }
                (error, _) => error,
            }
        })
    }

    /// Whether there is a checkpoint in a folder, so that its run can go on.
    pub fn has_checkpoint(path: &Path) -> bool {
        !checkpoint::list(path).is_empty()
    }

    /// The newest checkpoint's file, to be named in messages.
    pub fn newest_file(&self) -> Option<PathBuf> {
        checkpoint::list(&self.path).pop()
    }
}

/// Removes the files of a run, and nothing else.
fn remove_run(path: &Path) -> Result<()> {
    let mut files = checkpoint::list(path);
    files.extend([CONFIG, METRICS, PROBES].map(|name| path.join(name)));
    files.extend(Events::list(path));
    for file in files.iter().filter(|file| file.exists()) {
        std::fs::remove_file(file).map_err(Error::io("write", file))?;
    }
    Ok(())
}

/// Adds one line and hands it to the system at once.
fn append(file: &mut File, path: &Path, record: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(record).expect("a record is plain values");
    line.push(b'\n');
    file.write_all(&line).and_then(|()| file.flush()).map_err(Error::io("write", path))
}

/// The records of a file, one a line; none if there is no file. A last line that is being written is passed over.
fn records<R: DeserializeOwned>(path: &Path) -> Result<Vec<R>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Vec::new()) };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let record = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let place = format!("{}:{}", path.display(), number + 1);
            Error::bad_file(place, "a record", format!("{error}"))
        })
    };
    whole.lines().enumerate().map(record).collect()
}

/// Keeps the records that are wanted, and gives them back; a line that was cut short goes too.
fn cut<R: DeserializeOwned>(path: &Path, wanted: impl Fn(&R) -> bool) -> Result<Vec<R>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Vec::new()) };
    let record = |line: &str| serde_json::from_str::<R>(line).ok().filter(&wanted);
    let (lines, records): (String, Vec<R>) =
        text.lines().filter_map(|line| Some((format!("{line}\n"), record(line)?))).unzip();
    files::write_atomically(path, lines.as_bytes())?;
    Ok(records)
}
