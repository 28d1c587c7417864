//! Whether the files of a data set are there and whole.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::registry::Origin;
use super::{Entry, LoadOptions, entry, load, places};
use crate::Result;
use foregrad::files::{self, Kind};

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
    /// It is there; no digest of it is published.
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
    /// Whether every image and label of it was decoded.
    pub decoded: bool,
}

/// Checks every file of a data set, then - once all are there - decodes every image and label of them.
///
/// # Errors
/// An unknown name, a file that cannot be read, or - once all files are there - one that does not load.
pub fn verify(name: &str, options: &LoadOptions) -> Result<Vec<FileReport>> {
    let entry = entry(name)?;
    if entry.is_own() {
        load(name, options)?;
        return Ok(vec![FileReport { decoded: true, ..checked(options.at(name).own_dir()?, None, None)? }]);
    }
    let known = (entry.files)();
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let root = options.dir(name)?;
    let mut reports: Vec<FileReport> = known.iter().map(|file| report(&root, file)).collect::<Result<_>>()?;
    if reports.iter().all(|report| report.status == FileStatus::Missing) {
        // An archive that is read as it is, or an error that says what was looked for.
        load(name, options)?;
        reports = vec![archive(&root, entry)?];
    } else if reports.iter().all(|report| report.status != FileStatus::Missing) {
        load(name, options)?;
    } else {
        return Ok(reports);
    }
    reports.iter_mut().for_each(|report| report.decoded = true);
    Ok(reports)
}

/// The archive of a set that was read from one: the path itself, or the file of its official name in the folder.
fn archive(root: &Path, entry: &Entry) -> Result<FileReport> {
    let official = match entry.origin {
        Origin::Published(source) => source.files.first(),
        Origin::Generated | Origin::Own => None,
    };
    let (place, published) = match (places::is_file(root)?, official) {
        (false, Some((name, digest))) => (name.to_string(), Some(*digest)),
        _ => (String::new(), None),
    };
    let path = if place.is_empty() { root.to_path_buf() } else { root.join(&place) };
    checked(path, None, published)
}

fn report(root: &Path, file: &KnownFile) -> Result<FileReport> {
    let there = |path: &Path| Ok(files::kind(path)?.is_some());
    let wanted = |places: &[String]| match places::first_file(root, places)? {
        Some(path) => Ok(Some(path)),
        None => places::first(root, places, there),
    };
    let (path, size, published) = match (wanted(&file.places)?, wanted(&file.other)?) {
        (Some(path), _) => (path, file.size, file.md5),
        (None, Some(path)) => (path, None, None),
        (None, None) => {
            let path = file.places.first().map(|place| root.join(place)).unwrap_or_default();
            return Ok(found(path, FileStatus::Missing, 0));
        }
    };
    checked(path, size, published)
}

/// A file or folder that is there.
fn checked(path: PathBuf, size: Option<u64>, published: Option<&str>) -> Result<FileReport> {
    let Some(Kind::File(bytes)) = files::kind(&path)? else {
        let bytes = folder_size(&path)?;
        return Ok(found(path, FileStatus::Present, bytes));
    };
    let md5 = places::digest(&path)?;
    let wrong_size = size.filter(|size| *size != bytes).map(|size| format!("{size} bytes"));
    let wrong_digest = published.filter(|digest| *digest != md5).map(|digest| format!("MD5 {digest}"));
    let expected = wrong_size.or(wrong_digest);
    let status = match (&expected, published) {
        (Some(_), _) => FileStatus::Differs,
        (None, Some(_)) => FileStatus::Verified,
        (None, None) => FileStatus::Present,
    };
    Ok(FileReport { md5, expected, ..found(path, status, bytes) })
}

fn found(path: PathBuf, status: FileStatus, bytes: u64) -> FileReport {
    FileReport { path, status, bytes, md5: String::new(), expected: None, decoded: false }
}

/// The bytes of the files of a folder and of its folders.
fn folder_size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in files::list(folder)? {
        bytes += match files::kind(&path)? {
            Some(Kind::Folder) => folder_size(&path)?,
            Some(Kind::File(bytes)) => bytes,
            _ => 0,
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::archive::tests::tar;
    use ::tar::EntryType;

    /// What is found when one training image is enough, so that a test need not write all batches.
    fn status(dir: &Path) -> Result<Vec<(FileStatus, bool)>> {
        let options = LoadOptions { dir: Some(dir.to_path_buf()), train_limit: Some(1), ..Default::default() };
        Ok(verify("cifar10", &options)?.iter().map(|report| (report.status, report.decoded)).collect())
    }

    #[test]
    fn an_archive_is_checked_as_a_whole_and_what_is_missing_is_not_vouched_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let batch = vec![0; 10_000 * 3073];
        let members = ["x/data_batch_1.bin", "x/test_batch.bin"].map(|name| (name, EntryType::Regular, &batch[..]));
        let path = dir.path().join("mine.tar");
        std::fs::write(&path, tar(&members)).expect("a file");
        assert_eq!(status(&path).expect("reports"), [(FileStatus::Present, true)]);
        std::fs::write(&path, tar(&members[1..])).expect("a file");
        assert!(status(&path).expect_err("a missing member").to_string().contains("data_batch_1.bin"));
        let loose = tempfile::tempdir().expect("a folder");
        std::fs::write(loose.path().join("test_batch.bin"), &batch).expect("a file");
        let found = status(loose.path()).expect("reports");
        assert_eq!(found[..5], [(FileStatus::Missing, false); 5]);
        assert_eq!(found[5], (FileStatus::Present, false));
    }
}
