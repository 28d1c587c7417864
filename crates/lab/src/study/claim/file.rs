//! Claims as files: `claim-N.json`, of which the highest number holds the run.
//!
//! A number is made once, by exclusive creation, and never again: taking over is making the next one, and of many that try
//! one succeeds. Nobody renames, replaces or removes a claim that may be alive. Giving back leaves the file with a note;
//! whoever holds the next number removes it.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::holder::Holder;
use crate::{Error, Result};
use foregrad::files::{self, File};

/// Bytes of a claim, so that one beat replaces the other whole.
const LENGTH: usize = 1024;

/// What stands in a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub holder: Holder,
    /// The file that its holder has locked beside it, as its kernel knows it; none where there are no locks.
    pub lock: Option<String>,
    /// Signs of life so far.
    pub beats: u64,
    /// Whether the run was given back.
    pub released: bool,
}

/// A claim as it was seen at one moment: another sight means that its holder is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    number: u64,
    digest: String,
}

/// The claim that holds a run's folder, as it is found there.
#[derive(Debug)]
pub(super) struct Found {
    pub number: u64,
    bytes: Vec<u8>,
}

impl Found {
    /// The newest claim of a folder, if there is any.
    pub fn newest(folder: &Path) -> Result<Option<Self>> {
        let Some(number) = numbers(folder)?.pop() else { return Ok(None) };
        // One that vanishes between two looks has no content that anybody could know.
        let bytes = files::read_if_there(&path_of(folder, number))?.unwrap_or_default();
        Ok(Some(Self { number, bytes }))
    }

    pub fn sighting(&self) -> Sighting {
        let digest = Md5::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Sighting { number: self.number, digest }
    }

    /// Its content; none while it is being written, or if it is damaged.
    pub fn content(&self) -> Option<Content> {
        serde_json::from_slice(&self.bytes).ok()
    }

    pub fn holder(&self) -> Holder {
        self.content().map_or_else(Holder::default, |content| content.holder)
    }

    /// Whether it is known to hold nothing any more, by one who would make `next`: it was given back, its process is gone,
    /// or the lock that it had is now the other's.
    pub fn is_over(&self, next: &Content) -> bool {
        self.content().is_some_and(|content| {
            let has_lost_lock = content.lock.is_some() && content.lock == next.lock;
            content.released || has_lost_lock || content.holder.is_gone(&next.holder)
        })
    }
}

/// The claim of this process.
#[derive(Debug)]
pub(super) struct Own {
    folder: PathBuf,
    number: u64,
    file: File,
    content: Content,
}

/// A claim as it stands in its file.
fn written(content: &Content) -> Vec<u8> {
    let text = serde_json::to_string(content).expect("a claim is plain values");
    format!("{text:<length$}\n", length = LENGTH - 1).into_bytes()
}

impl Own {
    /// Makes the claim that comes after a number; none if another was faster.
    pub fn make(folder: &Path, after: u64, content: Content) -> Result<Option<Self>> {
        let number = after + 1;
        let path = path_of(folder, number);
        let Some(file) = files::create_whole(&path, &written(&content))? else { return Ok(None) };
        let own = Self { folder: folder.to_path_buf(), number, file, content };
        // A number that was seen late may have been made and removed long ago: only the highest holds the run.
        if own.loss()?.is_some() {
            return Ok(None);
        }
        for number in numbers(folder)?.into_iter().filter(|other| *other < number) {
            // Tidiness only: lower numbers hold nothing.
            let _ = files::remove_if_there(&path_of(folder, number));
        }
        Ok(Some(own))
    }

    /// Why the run is not this process's any more, if so.
    pub fn loss(&self) -> Result<Option<String>> {
        let found = Found::newest(&self.folder)?;
        if let Some(heir) = found.as_ref().filter(|found| found.number > self.number) {
            return Ok(Some(format!(
                "{} took it over, since this one gave no sign of life for too long",
                heir.holder()
            )));
        }
        let is_own = |found: Found| {
            found.number == self.number && found.content().is_none_or(|content| content.holder == self.content.holder)
        };
        Ok((!found.is_some_and(is_own)).then(|| format!("{} was removed or replaced", self.file.path().display())))
    }

    /// A sign of life; why the run is lost, if it is.
    pub fn beat(&mut self) -> Result<Option<String>> {
        let loss = self.loss()?;
        if loss.is_none() {
            self.content.beats += 1;
            self.write()?;
        }
        Ok(loss)
    }

    /// Gives the run back.
    pub fn release(&mut self) -> Result<()> {
        self.content.released = true;
        self.write()
    }

    /// Writes into the file that was made, whatever its name may lead to by now.
    fn write(&mut self) -> Result<()> {
        let text = written(&self.content);
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(&text));
        written.map_err(Error::io("write", self.file.path()))?;
        self.file.sync()
    }
}

/// The numbers of a folder's claims, in order.
fn numbers(folder: &Path) -> Result<Vec<u64>> {
    let number =
        |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("claim-")?.strip_suffix(".json")?.parse().ok();
    let mut numbers: Vec<u64> = files::list_if_there(folder)?.unwrap_or_default().iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("claim-{number}.json"))
}
