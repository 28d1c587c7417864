//! Archives, unpacked to a folder that appears whole or not at all.

use std::io::Write;
use std::path::Path;

use tar::EntryType;

use super::archive::{Member, members};
use super::places;
use crate::{Error, Result};
use foregrad::files;

/// Unpacks the files of a `.tar.gz` that lie below `folder` in it to a folder of that name in `into`.
pub(super) fn unpack(archive: &Path, folder: &str, into: &Path) -> Result<()> {
    let scratch = files::scratch_folder(into)?;
    members(archive, &places::whole(archive)?, |member| write(member, scratch.path()))?;
    let (from, to) = (scratch.path().join(folder), into.join(folder));
    if !places::is_folder(&from)? {
        return Err(Error::bad_file(archive, format!("a folder {folder}"), "none"));
    }
    files::rename(&from, &to)
}

/// Writes a member; its bytes are read first, so that a damaged archive and a full disk are told apart.
fn write(mut member: Member, into: &Path) -> Result<()> {
    let place = into.join(&member.path);
    if member.kind == EntryType::Directory {
        return files::create_folder(&place);
    }
    if let Some(folder) = place.parent() {
        files::create_folder(folder)?;
    }
    let bytes = member.bytes()?;
    files::File::create(&place)?.write_all(&bytes).map_err(Error::io("write", &place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::archive::tests::tar;
    use crate::data::gzip::tests::packed;

    fn archive(path: &Path, members: &[(&str, EntryType, &[u8])]) {
        std::fs::write(path, packed(&tar(members))).expect("a file");
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
        header.set_size(crate::data::LARGEST + 1);
        header.set_path("set/a").expect("a name");
        header.set_cksum();
        std::fs::write(&path, packed(header.as_bytes())).expect("an archive");
        assert!(unpack(&path, "set", dir.path()).expect_err("too much").to_string().contains("found more"));
    }
}
