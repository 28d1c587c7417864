//! Tar archives, gzipped or not, member by member.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::gzip;
use crate::{Error, Result};
use foregrad::files;

/// No archive of a known data set has more members than this.
const MEMBERS: usize = 100_000;

/// A member of an archive.
pub(super) struct Member<'a> {
    archive: &'a Path,
    /// Its name, which does not lead out of the archive's folder.
    pub path: PathBuf,
    pub kind: EntryType,
    reader: &'a mut dyn Read,
}

impl Member<'_> {
    /// Its bytes; members are small.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).map_err(|error| damaged(self.archive, &error))?;
        Ok(bytes)
    }
}

/// Shows every member of an archive to a function; files and folders only, and none whose path leads outside.
pub(super) fn members(path: &Path, bytes: &[u8], mut visit: impl FnMut(Member) -> Result<()>) -> Result<()> {
    let broken = |error: std::io::Error| match files::what_is(bytes) {
        Some(what) if !is_archive(bytes) => Error::bad_file(path, "a .tar.gz archive", what),
        _ => damaged(path, &error),
    };
    let mut archive = tar::Archive::new(gzip::stream(bytes).map_err(broken)?);
    let mut room = super::LARGEST;
    for (count, member) in archive.entries().map_err(broken)?.enumerate() {
        let mut member = member.map_err(broken)?;
        let name = member.path().map_err(broken)?.into_owned();
        inside(path, &name)?;
        room = room.checked_sub(member.size()).filter(|_| count < MEMBERS).ok_or_else(|| {
            let expected = format!("at most {} bytes in {MEMBERS} files", super::LARGEST);
            Error::bad_file(path, expected, "more")
        })?;
        let kind = member.header().entry_type();
        match kind {
            EntryType::Directory | EntryType::Regular => {
                visit(Member { archive: path, path: name, kind, reader: &mut member })?;
            }
            EntryType::XGlobalHeader => {}
            _ => {
                let found = format!("{}, which is of type {kind:?}", name.display());
                return Err(Error::bad_file(path, "files and folders", found));
            }
        }
    }
    Ok(())
}

/// Whether the beginning is that of an archive, so that the damage lies further on.
fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b") || bytes.get(257..262) == Some(b"ustar")
}

fn damaged(archive: &Path, error: &std::io::Error) -> Error {
    let found = format!("a damaged one: {error}; remove it and fetch it again");
    Error::bad_file(archive, "a whole .tar.gz archive", found)
}

/// Refuses a member whose path leads out of the folder it is unpacked to.
fn inside(archive: &Path, member: &Path) -> Result<()> {
    if member.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Ok(());
    }
    let found = format!("{}, which points outside", member.display());
    Err(Error::bad_file(archive, "members inside the archive's folder", found))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::gzip::tests::packed;

    /// An archive of members, whatever their names.
    pub fn tar(members: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            // Written as bytes, because the safe setter refuses the very names that are tested here.
            header.as_gnu_mut().expect("a header").name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).expect("a member");
        }
        builder.into_inner().expect("an archive")
    }

    fn names(bytes: &[u8]) -> std::result::Result<Vec<(String, Vec<u8>)>, String> {
        let mut found = Vec::new();
        let shown = members(Path::new("x.tar.gz"), bytes, |mut member| {
            found.push((member.path.display().to_string(), member.bytes()?));
            Ok(())
        });
        shown.map(|()| found).map_err(|error| error.to_string())
    }

    #[test]
    fn archives_are_read_in_whatever_layers_of_gzip() {
        let plain = tar(&[("a/1", EntryType::Regular, b"one"), ("a/2", EntryType::Regular, b"two")]);
        let (start, end) = plain.split_at(700);
        for bytes in [plain.clone(), packed(&plain), packed(&packed(&plain)), [packed(start), packed(end)].concat()] {
            let found = names(&bytes).expect("members");
            assert_eq!(found, [("a/1".to_string(), b"one".to_vec()), ("a/2".to_string(), b"two".to_vec())]);
        }
    }

    #[test]
    fn what_is_no_archive_is_told_for_what_it_is() {
        assert!(names(b"<html>403</html>").expect_err("refused").contains("an HTML page"));
        assert!(names(b"PK\x03\x04").expect_err("refused").contains("a zip archive"));
        let whole = packed(&tar(&[("a/1", EntryType::Regular, &[7; 5000])]));
        assert!(names(&whole[..whole.len() / 2]).expect_err("refused").contains("a damaged one"));
        // A hole of 8 GiB that takes no room in the file.
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        let gnu = header.as_gnu_mut().expect("a header");
        gnu.name[0] = b'a';
        gnu.set_real_size(1 << 33);
        gnu.sparse[0].set_offset(1 << 33);
        gnu.sparse[0].set_length(0);
        header.set_size(0);
        header.set_cksum();
        let sparse = [header.as_bytes().to_vec(), vec![0; 1024]].concat();
        assert!(names(&sparse).expect_err("refused").contains("at most"), "{:?}", names(&sparse));
    }
}
