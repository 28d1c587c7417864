//! Locks that the system holds for a process and releases however the process dies.

use std::fs::TryLockError;
use std::path::Path;

use super::fault::Operation;
use super::{File, attempt, is_unsupported};
use crate::{Error, Result};

/// What became of an attempt to lock a file.
#[derive(Debug)]
pub enum Locking {
    /// It is this process's until the lock is dropped.
    Held(Lock),
    /// Another process holds it (or this one, by another lock).
    Busy,
    /// The file system has no locks.
    Unsupported,
}

/// A lock on a file, released when it is dropped and when the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Said, not left to the file's end: a process that another thread is starting has the file too, until it runs its own
        // program, and the lock with it. If it cannot be said, that end will do.
        let _ = self.file.inner().unlock();
    }
}

impl Lock {
    /// The locked file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The number by which the running kernel knows the locked file, if it says: any other lock on the same number is excluded.
    ///
    /// # Errors
    /// A file that cannot be looked at.
    pub fn number(&self) -> Result<Option<String>> {
        let path = self.file.path();
        let metadata = attempt(Operation::Inspect, path, || self.file.inner().metadata());
        Ok(number(&metadata.map_err(Error::io("read", path))?))
    }

    /// Whether the locked file is still the one of its name: a lock on a file that was removed or replaced excludes no other.
    ///
    /// # Errors
    /// A file that cannot be looked at.
    pub fn is_current(&self) -> Result<bool> {
        let path = self.file.path();
        let same = || -> std::io::Result<bool> {
            let own = attempt(Operation::Inspect, path, || self.file.inner().metadata())?;
            let named = match attempt(Operation::Inspect, path, || std::fs::metadata(path)) {
                Err(error) if super::is_absent(&error) => return Ok(false),
                named => named?,
            };
            Ok(same_file(&own, &named))
        };
        same().map_err(Error::io("read", path))
    }
}

#[cfg(unix)]
fn number(metadata: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    Some(format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn number(_: &std::fs::Metadata) -> Option<String> {
    None
}

#[cfg(unix)]
fn same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Elsewhere a locked file can be neither removed nor replaced.
#[cfg(not(unix))]
fn same_file(_: &std::fs::Metadata, _: &std::fs::Metadata) -> bool {
    true
}

/// Locks a file, which is made if it is missing, or tells why not; it does not wait.
///
/// # Errors
/// A file that cannot be made, or that cannot be locked for another reason than those of [`Locking`].
pub fn try_lock(path: &Path) -> Result<Locking> {
    loop {
        let file = File::append(path)?;
        let locked = attempt(Operation::Lock, path, || match file.inner().try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match locked {
            Ok(false) => return Ok(Locking::Busy),
            Err(error) if is_unsupported(&error) => return Ok(Locking::Unsupported),
            Err(error) => return Err(Error::io("lock", path)(error)),
            Ok(true) => {}
        }
        let lock = Lock { file };
        // Whoever held the name before may have removed the file between the two calls.
        if lock.is_current()? {
            return Ok(Locking::Held(lock));
        }
    }
}
