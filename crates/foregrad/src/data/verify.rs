//! Whether the files of a data set are there and whole.

use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use serde::Serialize;

use super::{LoadOptions, entry, load};
use crate::{Error, Result};

/// A file that a data set consists of.
pub(super) struct KnownFile {
    /// Where it may lie, below the folder.
    pub places: Vec<String>,
    /// Its size in bytes, if that is fixed.
    pub size: Option<u64>,
    /// Its published MD5 digest, if there is one.
    pub md5: Option<&'static str>,
}

/// What was found of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileStatus {
    /// Its size and published digest are right.
    Verified,
    /// Its size is right; no digest is published.
    Present,
    /// It differs from what was published.
    Differs,
    /// It is not there.
    Missing,
}

/// One file of a data set.
#[derive(Debug, Clone, Serialize)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// What was found.
    pub status: FileStatus,
    /// Its size in bytes, 0 if it is missing.
    pub bytes: u64,
    /// Its MD5 digest, empty if it is missing.
    pub md5: String,
    /// What was expected, where it differs.
    pub expected: Option<String>,
}

/// Checks every file of a data set, then that it loads.
///
/// # Errors
/// An unknown name, a file that cannot be read, or - once all files are there - one that does not load.
pub fn verify(name: &str, options: &LoadOptions) -> Result<Vec<FileReport>> {
    let known = (entry(name)?.files)();
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let dir = options.dir(name)?;
    let nested = dir.join(name);
    let root = if nested.is_dir() { nested.as_path() } else { dir };
    let reports: Vec<FileReport> = known.iter().map(|file| report(root, file)).collect::<Result<_>>()?;
    let archived = root.is_file() || reports.iter().all(|report| report.status == FileStatus::Missing);
    if archived || reports.iter().all(|report| report.status != FileStatus::Missing) {
        load(name, options)?;
    }
    Ok(reports)
}

fn report(root: &Path, file: &KnownFile) -> Result<FileReport> {
    let places: Vec<PathBuf> = file.places.iter().map(|place| root.join(place)).collect();
    let Some(path) = places.iter().find(|path| path.is_file()) else {
        let path = places.into_iter().next().unwrap_or_default();
        return Ok(FileReport { path, status: FileStatus::Missing, bytes: 0, md5: String::new(), expected: None });
    };
    let content = std::fs::read(path).map_err(Error::io("read", path))?;
    let md5: String = Md5::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = content.len() as u64;
    let wrong_size = file.size.filter(|size| *size != bytes).map(|size| format!("{size} bytes"));
    let wrong_digest = file.md5.filter(|digest| *digest != md5).map(|digest| format!("MD5 {digest}"));
    let expected = wrong_size.or(wrong_digest);
    let status = match (&expected, file.md5) {
        (Some(_), _) => FileStatus::Differs,
        (None, Some(_)) => FileStatus::Verified,
        (None, None) => FileStatus::Present,
    };
    Ok(FileReport { path: path.clone(), status, bytes, md5, expected })
}
