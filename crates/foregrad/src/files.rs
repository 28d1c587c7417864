//! Writing files so that a crash, a full disk or a second process never leaves half of one.

use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// Writes a file whole or not at all: into a file beside it, which is then renamed.
///
/// # Errors
/// A file that cannot be written; what was there before is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file (less the umask), not for the owner alone as temporary files are.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(Error::io("write", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    // The name itself is safe only once the folder is on disk.
    #[cfg(unix)]
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("write", path))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        for content in ["first", "2nd"] {
            write_atomically(&path, content.as_bytes()).expect("a file");
            assert_eq!(std::fs::read_to_string(&path).expect("text"), content);
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
        assert!(!write_atomically(&path.join("below"), b"x").expect_err("no folder").is_usage());
    }
}
