//! The only module that calls the file system: every file of the library and of the program is read, written, renamed and locked here.
//!
//! What it is for:
//! * a file is written whole or not at all, and a name that has changed stays changed ([`write_atomically`]);
//! * only "not found" means not found: functions that end in `_if_there` give nothing for a missing file, and every other
//!   error as it is;
//! * calls that a signal interrupted are made again, and errors name the file;
//! * tests make any one call fail ([`fault`]).
#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

pub mod fault;
mod handle;
mod known;
mod lock;

pub use handle::File;
pub use known::{unlike, what_is};
pub use lock::{Lock, Locking, try_lock};

use crate::{Error, Result};
use fault::{Course, Operation};

/// How the name of a file begins that is still being written.
const UNFINISHED: &str = ".writing-";

/// The most that is read of what has no length of its own (a pipe, a device).
const LARGEST_STREAM: u64 = 1 << 30;

/// No file that is read as a whole is larger.
const LARGEST_FILE: u64 = 1 << 36;

/// What a path is, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file of so many bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A pipe, a device, a socket.
    Other,
}

/// Makes a call, again if a signal interrupted it.
fn attempt<T>(operation: Operation, path: &Path, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    attempt_part(operation, path, |_| call())
}

/// Makes a call that may be asked to take a part of its bytes only, again if a signal interrupted it.
fn attempt_part<T>(operation: Operation, path: &Path, mut call: impl FnMut(Course) -> io::Result<T>) -> io::Result<T> {
    loop {
        match fault::before(operation, path).and_then(&mut call) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether an error says that there is nothing of this name; below a file there is nothing either.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether an error says that the file system does not know the call: `ENOSYS`, `EOPNOTSUPP`, `EINVAL`, and `ENOLCK` of a
/// network file system whose lock service does not run.
fn is_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    const UNKNOWN: &[i32] = &[libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOTSUP, libc::EINVAL, libc::ENOLCK];
    #[cfg(not(unix))]
    const UNKNOWN: &[i32] = &[];
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error().is_some_and(|number| UNKNOWN.contains(&number))
}

fn if_there<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>> {
    match result {
        Err(error) if is_absent(&error) => Ok(None),
        result => result.map(Some).map_err(Error::io("read", path)),
    }
}

/// Reads a whole file.
///
/// # Errors
/// A file that is missing or cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    whole(path).map_err(Error::io("read", path))
}

/// Reads a whole file; none if it is missing.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    if_there(whole(path), path)
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::with(path, std::fs::File::options().read(true))?;
    let metadata = attempt(Operation::Inspect, path, || file.inner().metadata())?;
    let mut bytes = Vec::new();
    if metadata.is_file() {
        // What the system would promise, and not have, ends the process in the middle of reading.
        if metadata.len() > LARGEST_FILE {
            return Err(io::Error::other(format!("{} bytes, more than {LARGEST_FILE}", metadata.len())));
        }
        // Room for all of it at once, so that the number of calls does not depend on how often the room would have to be doubled.
        bytes.try_reserve_exact(usize::try_from(metadata.len()).unwrap_or(usize::MAX)).map_err(io::Error::other)?;
        file.read_to_end(&mut bytes)?;
    } else {
        file.take(LARGEST_STREAM + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_STREAM {
            return Err(io::Error::other(format!("no end after {LARGEST_STREAM} bytes")));
        }
    }
    Ok(bytes)
}

/// Reads a file of text: UTF-8, with or without a byte-order mark.
///
/// # Errors
/// A file that is missing, cannot be read, or is in another encoding, which is named.
pub fn read_text(path: &Path) -> Result<String> {
    text(read(path)?, path)
}

/// Reads a file of text; none if it is missing.
///
/// # Errors
/// As [`read_text`], but for a missing file.
pub fn read_text_if_there(path: &Path) -> Result<Option<String>> {
    read_if_there(path)?.map(|bytes| text(bytes, path)).transpose()
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    let utf_16 = matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    let bytes = if bytes.starts_with(b"\xef\xbb\xbf") { bytes[3..].to_vec() } else { bytes };
    String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let found = if utf_16 { "UTF-16".to_string() } else { format!("a byte that is no UTF-8, at {byte}") };
        Error::bad_file(path, "text in UTF-8", format!("{found}; save it as UTF-8"))
    })
}

/// What a path is; none if there is nothing.
///
/// # Errors
/// A path that cannot be looked at.
pub fn kind(path: &Path) -> Result<Option<Kind>> {
    let metadata = if_there(attempt(Operation::Inspect, path, || std::fs::metadata(path)), path)?;
    Ok(metadata.map(|metadata| match metadata.file_type() {
        kind if kind.is_file() => Kind::File(metadata.len()),
        kind if kind.is_dir() => Kind::Folder,
        _ => Kind::Other,
    }))
}

/// Where a link leads; none if there is nothing of this name.
///
/// # Errors
/// A path that is no link, or cannot be looked at.
pub fn link_target(path: &Path) -> Result<Option<PathBuf>> {
    if_there(attempt(Operation::Inspect, path, || std::fs::read_link(path)), path)
}

/// The paths in a folder, in order.
///
/// # Errors
/// A folder that is missing or cannot be read to its end.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    entries(folder).map_err(Error::io("read", folder))
}

/// The paths in a folder, in order; none if it is missing.
///
/// # Errors
/// A folder that is there and cannot be read to its end.
pub fn list_if_there(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    if_there(entries(folder), folder)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let read = || std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = attempt(Operation::List, folder, read)?;
    paths.sort();
    Ok(paths)
}

/// Makes a folder and those above it; one that is there already is left as it is.
///
/// # Errors
/// A folder that cannot be made.
pub fn create_folder(folder: &Path) -> Result<()> {
    attempt(Operation::CreateFolder, folder, || std::fs::create_dir_all(folder)).map_err(Error::io("create", folder))
}

/// A folder for unfinished work inside another, removed when it is dropped.
///
/// # Errors
/// A folder that cannot be made.
pub fn scratch_folder(inside: &Path) -> Result<tempfile::TempDir> {
    let make = || tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(inside);
    attempt(Operation::CreateFolder, inside, make).map_err(Error::io("write", inside))
}

/// Removes a file.
///
/// # Errors
/// A file that is missing or cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    attempt(Operation::Remove, path, || std::fs::remove_file(path)).map_err(Error::io("remove", path))
}

/// Removes a file; whether there was one.
///
/// # Errors
/// A file that is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> Result<bool> {
    match attempt(Operation::Remove, path, || std::fs::remove_file(path)) {
        Err(error) if is_absent(&error) => Ok(false),
        removed => removed.map(|()| true).map_err(Error::io("remove", path)),
    }
}

/// Gives a file or folder another name, for good; a file of that name is replaced.
///
/// # Errors
/// A name that cannot be given; nothing has changed then.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    attempt(Operation::Rename, to, || std::fs::rename(from, to)).map_err(Error::io("write", to))?;
    sync_folder_of(to);
    Ok(())
}

/// Writes a file whole or not at all: into a file beside it, which is then renamed.
///
/// # Errors
/// A file that cannot be written; what was there before is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = || {
        let (_, mut temporary) = written_beside(path, bytes)?;
        let renamed = attempt(Operation::Rename, path, || std::fs::rename(&temporary, path));
        // What was renamed is not temporary any more; a process that died left its file behind.
        temporary.disable_cleanup(renamed.is_ok() || fault::is_dead(path));
        renamed
    };
    written().map_err(Error::io("write", path))?;
    sync_folder_of(path);
    Ok(())
}

/// Makes a file with all it holds at once; none if there is one already. Of many processes that try, one gets it, and no
/// process that dies leaves an empty one.
///
/// # Errors
/// A file that cannot be written.
pub fn create_whole(path: &Path, bytes: &[u8]) -> Result<Option<File>> {
    let (file, temporary) = written_beside(path, bytes).map_err(Error::io("write", path))?;
    let mut temporary = Some(temporary);
    let named = attempt(Operation::Rename, path, || {
        let own = temporary.take().expect("it comes back with every error");
        own.persist_noclobber(path).map_err(|failed| {
            temporary = Some(failed.path);
            failed.error
        })
    });
    match named {
        Ok(()) => Ok(Some(File::of(file, path))),
        // Missing: whoever was faster has tidied the folder up.
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Ok(None),
        Err(error) if is_unsupported(&error) => {
            let Some(mut file) = File::create_new(path)? else { return Ok(None) };
            if let Err(error) = file.write_all(bytes) {
                // Told is the error that came first; half a file is none.
                let _ = remove_if_there(path);
                return Err(Error::io("write", path)(error));
            }
            Ok(Some(file))
        }
        Err(error) => {
            if let Some(temporary) = &mut temporary {
                temporary.disable_cleanup(fault::is_dead(path));
            }
            Err(Error::io("write", path)(error))
        }
    }
}

/// A file beside another, with the bytes that the other shall hold, on the disk.
fn written_beside(path: &Path, bytes: &[u8]) -> io::Result<(std::fs::File, tempfile::TempPath)> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file (less the umask), not for the owner alone as temporary files are.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let make = || builder.tempfile_in(folder_of(path));
    let (file, mut temporary) = attempt(Operation::Open, path, make)?.into_parts();
    let mut file = File::of(file, &temporary);
    let written = file.write_all(bytes).and_then(|()| file.synced());
    temporary.disable_cleanup(fault::is_dead(path));
    written?;
    Ok((file.into_inner(), temporary))
}

/// Removes what a process that died left unfinished in a folder that is this process's own.
///
/// # Errors
/// A folder that cannot be read, a file that cannot be removed.
pub fn remove_unfinished(folder: &Path) -> Result<()> {
    let is_unfinished = |path: &&PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()))
    };
    for path in list_if_there(folder)?.unwrap_or_default().iter().filter(is_unfinished) {
        remove_if_there(path)?;
    }
    Ok(())
}

/// A path as it can be pasted into a shell, whatever bytes its name has.
pub fn pasted(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let plain = shlex::try_quote(path.to_str().unwrap_or_default()).ok();
    match plain.filter(|text| path.to_str().is_some() && !text.contains(char::is_control)) {
        Some(quoted) => quoted.into_owned(),
        None => format!("$'{}'", bytes.escape_ascii()),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name is safe only once its folder is on disk. The name is given already, and some file systems cannot sync a folder: a
/// failure is one warning and changes nothing.
fn sync_folder_of(path: &Path) {
    #[cfg(unix)]
    {
        let folder = folder_of(path);
        let sync = || std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        if let Err(error) = attempt(Operation::SyncFolder, folder, sync) {
            warn_unsynced(folder, &error);
        }
    }
}

fn warn_unsynced(path: &Path, error: &io::Error) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let path = path.display();
        log::warn!("{path} cannot be brought to the disk at once ({error}): a power cut may lose the last seconds");
    });
}

#[cfg(test)]
mod tests;
