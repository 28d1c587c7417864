//! Whether the files of a data set are there and whole.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{LoadOptions, entry, files, load};
use crate::{Error, Result};

/// A file, or folder of files, that a data set consists of.
pub(super) struct KnownFile {
    /// Where it may lie, below the folder.
    pub places: Vec<String>,
    /// Where its content may lie in another form, of which size and digest are not known.
    pub other: Vec<String>,
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
    let root = options.dir(name)?;
    let reports: Vec<FileReport> = known.iter().map(|file| report(&root, file)).collect::<Result<_>>()?;
    let archived = root.is_file() || reports.iter().all(|report| report.status == FileStatus::Missing);
    if archived || reports.iter().all(|report| report.status != FileStatus::Missing) {
        load(name, options)?;
    }
    Ok(reports)
}

fn report(root: &Path, file: &KnownFile) -> Result<FileReport> {
    let existing = |places: &[String]| places.iter().map(|place| root.join(place)).find(|path| path.exists());
    let (path, size, published) = match (existing(&file.places), existing(&file.other)) {
        (Some(path), _) => (path, file.size, file.md5),
        (None, Some(path)) => (path, None, None),
        (None, None) => {
            let path = file.places.first().map(|place| root.join(place)).unwrap_or_default();
            return Ok(FileReport { path, status: FileStatus::Missing, bytes: 0, md5: String::new(), expected: None });
        }
    };
    if path.is_dir() {
        let bytes = folder_size(&path)?;
        return Ok(FileReport { path, status: FileStatus::Present, bytes, md5: String::new(), expected: None });
    }
    let path = &path;
    let bytes = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    let md5 = files::digest(path)?;
    let wrong_size = size.filter(|size| *size != bytes).map(|size| format!("{size} bytes"));
    let wrong_digest = published.filter(|digest| *digest != md5).map(|digest| format!("MD5 {digest}"));
    let expected = wrong_size.or(wrong_digest);
    let status = match (&expected, published) {
        (Some(_), _) => FileStatus::Differs,
        (None, Some(_)) => FileStatus::Verified,
        (None, None) => FileStatus::Present,
    };
    Ok(FileReport { path: path.clone(), status, bytes, md5, expected })
}

/// The bytes of the files of a folder and of its folders.
fn folder_size(folder: &Path) -> Result<u64> {
    let read = || Error::io("read", folder);
    let mut bytes = 0;
    for item in std::fs::read_dir(folder).map_err(read())? {
        let item = item.map_err(read())?;
        let about = item.metadata().map_err(read())?;
        bytes += if about.is_dir() { folder_size(&item.path())? } else { about.len() };
    }
    Ok(bytes)
}
