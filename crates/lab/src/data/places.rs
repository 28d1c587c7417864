//! Finding and reading whole files of data sets, packed or not, and their digests.

use std::io::Read;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::gzip;
use crate::{Error, Result};
use foregrad::files::{self, File, Kind};

/// Whether a path is a folder.
pub(super) fn is_folder(path: &Path) -> Result<bool> {
    Ok(files::kind(path)? == Some(Kind::Folder))
}

/// Whether a path is there and no folder.
pub(super) fn is_file(path: &Path) -> Result<bool> {
    Ok(files::kind(path)?.is_some_and(|kind| kind != Kind::Folder))
}

/// The first of several places below a folder at which a file is.
pub(super) fn first_file(dir: &Path, places: &[String]) -> Result<Option<PathBuf>> {
    first(dir, places, is_file)
}

/// The first of several places below a folder that is as asked.
pub(super) fn first(dir: &Path, places: &[String], wanted: impl Fn(&Path) -> Result<bool>) -> Result<Option<PathBuf>> {
    for place in places {
        let path = dir.join(place);
        if wanted(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The error of a file that is at none of its places.
pub(super) fn none_of(dir: &Path, places: &[String]) -> Error {
    let first = places.first().map(|place| dir.join(place)).unwrap_or_default();
    Error::bad_file(first, "a file", format!("none (looked for {} in {})", places.join(", "), dir.display()))
}

/// A file's bytes, of whatever size a data set's may have.
pub(super) fn whole(path: &Path) -> Result<Vec<u8>> {
    match files::kind(path)? {
        Some(Kind::Folder) => Err(Error::bad_file(path, "a file", "a folder")),
        Some(Kind::File(bytes)) if bytes > super::LARGEST => {
            Err(Error::bad_file(path, format!("at most {} bytes", super::LARGEST), bytes.to_string()))
        }
        _ => files::read(path),
    }
}

/// A file's bytes, less its layers of gzip.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    gzip::unpacked(whole(path)?)
        .map_err(|error| Error::bad_file(path, "a whole file", format!("a damaged gzip file: {error}")))
}

/// A file's MD5 digest, as it is published: in hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String> {
    digest_of(&mut File::open(path)?).map_err(Error::io("read", path))
}

/// The MD5 digest of what is left to read.
pub(super) fn digest_of(reader: &mut impl Read) -> std::io::Result<String> {
    let mut state = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(state.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        state.update(&buffer[..count]);
    }
}
