//! Reading whole files, plain or gzipped, with the sizes that are expected, and their digests.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use md5::{Digest, Md5};

use crate::{Error, Result};

/// No file of a known data set is larger than this once unpacked: a guard against archives that never end.
pub(super) const LARGEST: u64 = 1 << 30;

/// The first of several places that exists, or an error that names the first and what was tried.
pub(super) fn first_existing(candidates: &[PathBuf]) -> Result<PathBuf> {
    candidates.iter().find(|path| path.exists()).cloned().ok_or_else(|| {
        let tried: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
        Error::bad_file(&candidates[0], "a file", format!("none (looked for {})", tried.join(", ")))
    })
}

/// A file's bytes, unpacked if its name ends in `.gz`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    let unpacked = if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        file.take(LARGEST + 1).read_to_end(&mut bytes)
    };
    unpacked.map_err(|error| Error::bad_file(path, "a whole file", format!("a damaged one: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::bad_file(path, format!("at most {LARGEST} bytes"), "more"));
    }
    Ok(bytes)
}

/// A file's MD5 digest, as it is published: in hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String> {
    File::open(path).and_then(|mut file| digest_of(&mut file)).map_err(Error::io("read", path))
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
