//! Places to write to, looked at before anything is computed for them.

use std::path::Path;

use anyhow::{Context, Result};
use foregrad::Error;
use foregrad::files::{self, Kind};

/// Refuses a place that no file can be written to.
pub fn for_file(flag: &str, path: &Path) -> Result<()> {
    let wrong = |expected: &str| Err(Error::out_of_range(flag, path.display(), expected).into());
    let kind = |path: &Path| files::kind(path).with_context(|| flag.to_string());
    if let Some(Kind::Folder) = kind(path)? {
        return wrong("a file's name, not that of a folder");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match kind(folder)? {
        Some(Kind::Folder) => Ok(()),
        _ => wrong("a file in a folder that is there"),
    }
}

/// Refuses a place where no folder is or can be made.
pub fn for_folder(flag: &str, path: &Path) -> Result<()> {
    for above in path.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        match files::kind(above).with_context(|| flag.to_string())? {
            Some(Kind::Folder) => return Ok(()),
            Some(_) => return Err(Error::out_of_range(flag, path.display(), "a folder, not what is a file").into()),
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_into_folders_and_folders_where_no_file_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let inside = |name: &str| dir.path().join(name);
        std::fs::write(inside("file"), "").expect("a file");
        for path in ["file", "new"] {
            for_file("--out", &inside(path)).expect("a place");
        }
        for path in ["", "none/new", "file/new"] {
            assert!(format!("{:#}", for_file("--out", &inside(path)).expect_err(path)).starts_with("--out"), "{path}");
        }
        for path in ["", "new", "new/and/new"] {
            for_folder("--out", &inside(path)).expect("a place");
        }
        for path in ["file", "file/new"] {
            assert!(
                format!("{:#}", for_folder("--out", &inside(path)).expect_err(path)).starts_with("--out"),
                "{path}"
            );
        }
        for_file("--out", Path::new("no-folder-before-it")).expect("a place");
        for_folder("--out", Path::new("no-folder-before-it")).expect("a place");
    }
}
