//! A run's folder: settings, metrics, events, checkpoints.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::{self, Checkpoint};
use super::{Difference, EpochRecord, ProbeRecord, RunConfig, events::Events};
use crate::{Error, Result};
use foregrad::files::{self, File, Lock, Locking};
use foregrad::rng::Placement;

const METRICS: &str = "metrics.jsonl";
const PROBES: &str = "probes.jsonl";
const CONFIG: &str = "config.toml";
/// Held by the process that trains in the folder, where the file system has locks.
const LOCK: &str = "run.lock";

/// A run's folder, open for writing.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    probes: File,
    events: Events,
    _lock: Option<Lock>,
}

impl RunFolder {
    /// Starts a run's folder; one that already holds a run is refused unless it may be overwritten. The same run is started
    /// again if it has no checkpoint, as one that was killed in its first epoch.
    ///
    /// # Errors
    /// A folder that holds a run, or in which another process trains, or that cannot be written.
    pub fn create(path: &Path, config: &RunConfig, overwrite: bool) -> Result<Self> {
        files::create_folder(path)?;
        let lock = lock(path)?;
        if !overwrite {
            check_free(path, config)?;
        }
        files::remove_unfinished(path)?;
        remove_run(path)?;
        files::write_atomically(&path.join(CONFIG), config.to_toml().as_bytes())?;
        Self::open(path, lock)
    }

    /// Opens the folder of a run that goes on after a number of whole epochs and of steps. Later lines are cut off, and
    /// later checkpoints are set aside under another name, so that none of them is taken for the run's newest.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn resume(path: &Path, config: &RunConfig, epochs: u64, step: u64) -> Result<Self> {
        let lock = lock(path)?;
        files::remove_unfinished(path)?;
        // All is read before anything is changed: what cannot be read stays as it is.
        let (metrics, epochs) = kept::<EpochRecord>(&path.join(METRICS), |record| record.epoch <= epochs)?;
        // A probe comes before its step: that of the next step is made again.
        let (probes, probed) = kept::<ProbeRecord>(&path.join(PROBES), |record| record.step < step)?;
        for (_, file) in checkpoint::list(path)?.into_iter().filter(|(later, _)| *later > step) {
            files::rename(&file, &file.with_extension("safetensors.superseded"))?;
        }
        files::write_atomically(&path.join(METRICS), metrics.as_bytes())?;
        files::write_atomically(&path.join(PROBES), probes.as_bytes())?;
        files::write_atomically(&path.join(CONFIG), config.to_toml().as_bytes())?;
        // Event files cannot be cut; they hold nothing that the other two do not, and are written again.
        for file in Events::list(path)? {
            files::remove(&file)?;
        }
        let mut folder = Self::open(path, lock)?;
        epochs.iter().try_for_each(|record| folder.events.epoch(record))?;
        probed.iter().try_for_each(|record| folder.events.probe(record))?;
        Ok(folder)
    }

    fn open(path: &Path, lock: Option<Lock>) -> Result<Self> {
        let [metrics, probes] = [METRICS, PROBES].map(|name| File::append(&path.join(name)));
        let (metrics, probes) = (metrics?, probes?);
        Ok(Self { path: path.to_path_buf(), metrics, probes, events: Events::create(path)?, _lock: lock })
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
        append(&mut self.metrics, record)?;
        self.events.epoch(record)
    }

    /// Adds a probe.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn probe(&mut self, record: &ProbeRecord) -> Result<()> {
        append(&mut self.probes, record)?;
        self.events.probe(record)
    }

    /// Writes a checkpoint and removes those beyond the number to keep, oldest first.
    ///
    /// # Errors
    /// A file that cannot be written; older checkpoints are then left alone.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        // The lines that a checkpoint counts on reach the disk before it.
        self.metrics.sync()?;
        self.probes.sync()?;
        let path = checkpoint::path_of(&self.path, checkpoint.position.step);
        checkpoint.save(&path)?;
        let all = checkpoint::list(&self.path)?;
        let surplus = all.len().saturating_sub(checkpoint.config.keep_checkpoints);
        for (_, old) in &all[..surplus] {
            files::remove(old)?;
        }
        Ok(path)
    }

    /// The newest checkpoint of a folder. A damaged one is not passed over in silence: the error names the one before it.
    ///
    /// # Errors
    /// No checkpoint, or a damaged one.
    pub fn newest(path: &Path, placement: &Placement) -> Result<Checkpoint> {
        let all = checkpoint::list(path)?;
        let Some((_, newest)) = all.last() else {
            return Err(Error::bad_file(path, "a run with a checkpoint", "no checkpoint"));
        };
        Checkpoint::load(newest, placement).map_err(|error| {
            let before = all.iter().rev().skip(1).find(|(_, older)| Checkpoint::load(older, placement).is_ok());
            match (error, before) {
                (Error::BadFile { path, expected, found }, Some((_, before))) => {
                    let advice = format!("{found}; the one before is whole: --resume={}", files::pasted(before));
                    Error::bad_file(path, expected, advice)
                }
                (error, _) => error,
            }
        })
    }

    /// Whether there is a checkpoint in a folder, so that its run can go on.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn has_checkpoint(path: &Path) -> Result<bool> {
        Ok(!checkpoint::list(path)?.is_empty())
    }

    /// Whether there are a run's settings in a folder: the first that is written.
    ///
    /// # Errors
    /// A folder that cannot be looked at.
    pub fn has_settings(path: &Path) -> Result<bool> {
        Ok(files::kind(&path.join(CONFIG))?.is_some())
    }

    /// The newest checkpoint's file, to be named in messages.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn newest_file(&self) -> Result<Option<PathBuf>> {
        Ok(checkpoint::list(&self.path)?.pop().map(|(_, file)| file))
    }
}

/// Claims a folder for this process, for as long as the lock lives; none where the file system has no locks.
fn lock(path: &Path) -> Result<Option<Lock>> {
    match files::try_lock(&path.join(LOCK))? {
        Locking::Held(lock) => Ok(Some(lock)),
        Locking::Unsupported => Ok(None),
        Locking::Busy => Err(Error::bad_file(path, "a folder in which no other process trains", "one that does")),
    }
}

/// Refuses a folder that holds a run, unless it is the same one and has nothing to go on from.
fn check_free(path: &Path, config: &RunConfig) -> Result<()> {
    let advice = "an empty or new folder (or `--resume` to go on, `--overwrite` to start again)";
    if RunFolder::has_checkpoint(path)? {
        return Err(Error::bad_file(path, advice, "a run"));
    }
    if !RunFolder::has_settings(path)? {
        return Ok(());
    }
    let saved = RunFolder::config(path)?;
    let mut differences = saved.differences(config).into_iter();
    let different = differences.find(|difference| difference.setting != "epochs" && !difference.is_of_keeping());
    different.map_or(Ok(()), |Difference { setting, own, other }| {
        let found = format!("a run without a checkpoint whose {setting} is {own}, not {other}");
        Err(Error::bad_file(path, advice, found))
    })
}

/// Removes the files of a run, and nothing else.
fn remove_run(path: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> = checkpoint::list(path)?.into_iter().map(|(_, file)| file).collect();
    files.extend([METRICS, PROBES, CONFIG].map(|name| path.join(name)));
    files.extend(Events::list(path)?);
    files.iter().try_for_each(|file| files::remove_if_there(file).map(drop))
}

/// Adds one line and hands it to the system at once.
fn append(file: &mut File, record: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(record).expect("a record is plain values");
    line.push(b'\n');
    file.write_all(&line).and_then(|()| file.flush()).map_err(Error::io("write", file.path()))
}

/// The records of a file, one a line, each with its text; none if there is no file. A last line without an end is one that is
/// being written, or that a crash cut short: it is passed over.
fn lines<R: DeserializeOwned>(path: &Path) -> Result<Vec<(String, R)>> {
    let Some(bytes) = files::read_if_there(path)? else { return Ok(Vec::new()) };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &bytes[..end]);
    let record = |(number, line): (usize, &[u8])| {
        let parsed = std::str::from_utf8(line).map_err(|error| error.to_string()).and_then(|text| {
            let record = serde_json::from_str(text).map_err(|error| error.to_string())?;
            Ok((format!("{text}\n"), record))
        });
        parsed.map_err(|found| Error::bad_file(format!("{}:{}", path.display(), number + 1), "a record", found))
    };
    let is_empty = whole.is_empty();
    whole.split(|byte| *byte == b'\n').enumerate().filter(|_| !is_empty).map(record).collect()
}

/// The records of a file; none if there is no file.
fn records<R: DeserializeOwned>(path: &Path) -> Result<Vec<R>> {
    Ok(lines(path)?.into_iter().map(|(_, record)| record).collect())
}

/// The lines that are wanted, as they are, and their records.
fn kept<R: DeserializeOwned>(path: &Path, wanted: impl Fn(&R) -> bool) -> Result<(String, Vec<R>)> {
    Ok(lines(path)?.into_iter().filter(|(_, record)| wanted(record)).unzip())
}
