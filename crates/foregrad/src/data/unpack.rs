//! Archives, unpacked to a folder that appears whole or not at all.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use tar::EntryType;

use super::files;
use crate::{Error, Result};

/// No archive of a known data set has more members than this.
const MEMBERS: usize = 100_000;

/// Refuses a member whose path leads out of the folder it is unpacked to.
pub(super) fn inside(archive: &Path, member: &Path) -> Result<()> {
    if member.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Ok(());
    }
    let found = format!("{}, which points outside", member.display());
    Err(Error::bad_file(archive, "members inside the archive's folder", found))
}

/// Unpacks the files of a `.tar.gz` that lie below `folder` in it to a folder of that name in `into`.
pub(super) fn unpack(archive: &Path, folder: &str, into: &Path) -> Result<()> {
    let damaged = |error: std::io::Error| {
        Error::bad_file(archive, "a whole .tar.gz archive", format!("a damaged one: {error}; remove it and try again"))
    };
    let scratch = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(into).map_err(Error::io("write", into))?;
    let file = File::open(archive).map_err(Error::io("read", archive))?;
    let mut members = tar::Archive::new(GzDecoder::new(file));
    let mut room = files::LARGEST;
    for (count, member) in members.entries().map_err(damaged)?.enumerate() {
        let mut member = member.map_err(damaged)?;
        let path = member.path().map_err(damaged)?.into_owned();
        inside(archive, &path)?;
        room = room.checked_sub(member.size()).filter(|_| count < MEMBERS).ok_or_else(|| {
            let expected = format!("at most {} bytes in {MEMBERS} files", files::LARGEST);
            Error::bad_file(archive, expected, "more")
        })?;
        let kind = member.header().entry_type();
        let place = scratch.path().join(&path);
        match kind {
            EntryType::Directory => std::fs::create_dir_all(&place).map_err(Error::io("write", &place))?,
            EntryType::Regular => write(&mut member, &place, damaged)?,
            EntryType::XGlobalHeader => {}
            _ => {
                let found = format!("{}, which is of type {kind:?}", path.display());
                return Err(Error::bad_file(archive, "files and folders", found));
            }
        }
    }
    let (from, to) = (scratch.path().join(folder), into.join(folder));
    if !from.is_dir() {
        return Err(Error::bad_file(archive, format!("a folder {folder}"), "none"));
    }
    std::fs::rename(from, &to).map_err(Error::io("write", &to))
}

fn write(member: &mut impl Read, place: &Path, damaged: impl Fn(std::io::Error) -> Error) -> Result<()> {
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
    }
    let mut file = File::create(place).map_err(Error::io("write", place))?;
    let mut bytes = Vec::new();
    // In memory first, so that a damaged archive and a full disk are told apart: members are small.
    member.read_to_end(&mut bytes).map_err(damaged)?;
    std::io::copy(&mut bytes.as_slice(), &mut file).map_err(Error::io("write", place))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn archive(path: &Path, members: &[(&str, EntryType, &[u8])]) {
        let mut builder = tar::Builder::new(GzEncoder::new(File::create(path).expect("a file"), Compression::fast()));
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
        builder.into_inner().expect("a stream").finish().expect("an archive");
    }

    /// The error of unpacking members; nothing may be left beside the archive.
    fn refused(members: &[(&str, EntryType, &[u8])]) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.tar.gz");
        archive(&path, members);
        let error = unpack(&path, "set", dir.path()).expect_err("refused").to_string();
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1, "{error}");
        error
    }

    #[test]
    fn files_come_out_in_a_folder_of_their_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.tar.gz");
        let file = EntryType::Regular;
        archive(&path, &[("set/", EntryType::Directory, b""), ("./set/a/1", file, b"one"), ("set/2", file, b"two")]);
        unpack(&path, "set", dir.path()).expect("unpacked");
        assert_eq!(std::fs::read(dir.path().join("set/a/1")).expect("a file"), b"one");
        assert_eq!(std::fs::read(dir.path().join("set/2")).expect("a file"), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 2);
    }

    #[test]
    fn members_that_lead_outside_links_and_other_folders_are_refused() {
        assert!(refused(&[("set/../../a", EntryType::Regular, b"x")]).contains("points outside"));
        assert!(refused(&[("/a", EntryType::Regular, b"x")]).contains("points outside"));
        assert!(refused(&[("set/a", EntryType::Symlink, b"")]).contains("Symlink"));
        assert!(refused(&[("other/a", EntryType::Regular, b"x")]).contains("expected a folder set, found none"));
    }

    #[test]
    fn archives_that_are_cut_or_endless_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.tar.gz");
        archive(&path, &[("set/a", EntryType::Regular, &[7; 5000])]);
        let whole = std::fs::read(&path).expect("bytes");
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("a file");
        assert!(unpack(&path, "set", dir.path()).expect_err("damage").to_string().contains("damaged"));
        let mut header = tar::Header::new_gnu();
        header.set_size(files::LARGEST + 1);
        header.set_path("set/a").expect("a name");
        header.set_cksum();
        let mut packed = GzEncoder::new(File::create(&path).expect("a file"), Compression::fast());
        std::io::Write::write_all(&mut packed, header.as_bytes()).expect("a header");
        packed.finish().expect("an archive");
        assert!(unpack(&path, "set", dir.path()).expect_err("too much").to_string().contains("found more"));
    }
}
