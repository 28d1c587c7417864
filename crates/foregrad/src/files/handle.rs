//! An open file, each of whose calls a test can make fail.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::fault::{Course, Operation};
use super::{attempt, attempt_part};
use crate::{Error, Result};

/// An open file that knows its name.
#[derive(Debug)]
pub struct File {
    file: std::fs::File,
    path: PathBuf,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// A file that is missing or cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::with(path, std::fs::File::options().read(true)).map_err(Error::io("read", path))
    }

    /// Makes a file, or empties the one that is there.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = std::fs::File::options();
        Self::with(path, options.write(true).create(true).truncate(true)).map_err(Error::io("write", path))
    }

    /// Makes a file; none if there is one already. Of many processes that try, one gets it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create_new(path: &Path) -> Result<Option<Self>> {
        match Self::with(path, std::fs::File::options().write(true).create_new(true)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(Error::io("write", path)(error)),
        }
    }

    /// Opens a file for reading and for writing at its end, and makes it if it is missing.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn append(path: &Path) -> Result<Self> {
        let mut options = std::fs::File::options();
        Self::with(path, options.read(true).append(true).create(true)).map_err(Error::io("write", path))
    }

    pub(super) fn with(path: &Path, options: &std::fs::OpenOptions) -> io::Result<Self> {
        let file = attempt(Operation::Open, path, || options.open(path))?;
        Ok(Self::of(file, path))
    }

    pub(super) fn of(file: std::fs::File, path: &Path) -> Self {
        Self { file, path: path.to_path_buf() }
    }

    /// Its name when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn into_inner(self) -> std::fs::File {
        self.file
    }

    /// The file as the system knows it.
    pub(super) fn inner(&self) -> &std::fs::File {
        &self.file
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// A file that is no longer there.
    pub fn length(&self) -> Result<u64> {
        let metadata = attempt(Operation::Inspect, &self.path, || self.file.metadata());
        Ok(metadata.map_err(Error::io("read", &self.path))?.len())
    }

    /// Cuts or lengthens it to so many bytes.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn set_length(&self, bytes: u64) -> Result<()> {
        attempt(Operation::Write, &self.path, || self.file.set_len(bytes)).map_err(Error::io("write", &self.path))
    }

    /// Brings its bytes to the disk. For a file system that cannot do that there is one warning.
    ///
    /// # Errors
    /// Bytes that did not get there.
    pub fn sync(&self) -> Result<()> {
        self.synced().map_err(Error::io("write", &self.path))
    }

    pub(super) fn synced(&self) -> io::Result<()> {
        match attempt(Operation::Sync, &self.path, || self.file.sync_all()) {
            Err(error) if super::is_unsupported(&error) => super::warn_unsynced(&self.path, &error),
            synced => return synced,
        }
        Ok(())
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = &mut self.file;
        attempt_part(Operation::Read, &self.path, |course| match course {
            Course::Short if buffer.len() > 1 => file.read(&mut buffer[..1]),
            _ => file.read(buffer),
        })
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = &mut self.file;
        attempt_part(Operation::Write, &self.path, |course| match course {
            Course::Short => file.write(&bytes[..bytes.len().div_ceil(2)]),
            Course::Whole => file.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
