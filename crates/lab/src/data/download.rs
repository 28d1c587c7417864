//! Data sets fetched from where their authors publish them.

use std::path::{Path, PathBuf};

use super::registry::Origin;
use super::sources::{Kind, Source};
use super::transfer::{self, Patience, Progress, Transferred, Wanted};
use super::unpack::unpack;
use super::{entry, places};
use crate::{Error, Result};
use foregrad::files;

/// Where a data set comes from and goes to.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// The folder that gets a folder of the data set's name.
    pub dir: PathBuf,
    /// An address that replaces the official one, before the files' names.
    pub mirror: Option<String>,
    /// When a transfer is given up.
    pub patience: Patience,
}

/// What became of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Downloaded {
    /// The data set is in this folder.
    There(PathBuf),
    /// The data set is generated: there is nothing to fetch.
    Generated,
    /// The data set needs an account: it is for the user to fetch.
    ByHand(ByHand),
}

/// What to fetch by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// The page.
    pub address: &'static str,
    /// The folder for the files.
    pub dir: PathBuf,
    /// The files and their MD5 digests.
    pub files: &'static [(&'static str, &'static str)],
}

/// Fetches the files of a data set that are not there yet, checks their digests and unpacks archives.
///
/// An interrupted download goes on where it stopped; `progress` is told of every piece that arrives.
///
/// # Errors
/// Unknown names, servers that fail or are silent for too long, wrong digests, folders that cannot be written.
pub fn download(
    name: &str,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(Transferred<'_>),
) -> Result<Downloaded> {
    match entry(name)?.origin {
        Origin::Generated => Ok(Downloaded::Generated),
        Origin::Own => {
            Err(Error::out_of_range("data.dataset", name, "a published data set; data of your own are where they are"))
        }
        Origin::Published(source) => obtain(source, &options.dir.join(name), options, progress),
    }
}

fn obtain(source: &Source, dir: &Path, options: &DownloadOptions, progress: &mut Progress) -> Result<Downloaded> {
    let base = match &options.mirror {
        Some(mirror) if !mirror.starts_with("http://") && !mirror.starts_with("https://") => {
            return Err(Error::out_of_range("mirror", mirror, "an address that begins with https:// or http://"));
        }
        Some(mirror) => format!("{}/", mirror.trim_end_matches('/')),
        None if source.kind == Kind::Account => {
            let (address, files) = (source.base, source.files);
            return Ok(Downloaded::ByHand(ByHand { address, dir: dir.to_path_buf(), files }));
        }
        None => source.base.to_string(),
    };
    files::create_folder(dir)?;
    for (file, md5) in source.files {
        let path = dir.join(file);
        let wanted = Wanted { address: &format!("{base}{file}"), path: &path, md5 };
        match source.kind {
            // A folder appears whole or not at all.
            Kind::Archive(folder) if places::is_folder(&dir.join(folder))? => {}
            Kind::Archive(folder) => {
                one(&wanted, options, progress)?;
                unpack(&path, folder, dir)?;
                files::remove(&path)?;
            }
            Kind::Plain | Kind::Account => one(&wanted, options, progress)?,
        }
    }
    Ok(Downloaded::There(dir.to_path_buf()))
}

/// One file, unless it is there; a file that is there and differs is the user's.
fn one(wanted: &Wanted, options: &DownloadOptions, progress: &mut Progress) -> Result<()> {
    if files::kind(wanted.path)?.is_none() {
        return transfer::fetch(wanted, &options.patience, progress);
    }
    let found = places::digest(wanted.path)?;
    if found == wanted.md5 {
        return Ok(());
    }
    let found = format!("MD5 {found}; move the file away to download it");
    Err(Error::bad_file(wanted.path, format!("MD5 {}", wanted.md5), found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> DownloadOptions {
        DownloadOptions { dir: dir.to_path_buf(), mirror: None, patience: Patience::default() }
    }

    #[test]
    fn what_is_there_is_not_fetched_and_what_differs_is_the_users() {
        const MD5_OF_ABC: &str = "900150983cd24fb0d6963f7d28e17f72";
        let source = Source { base: "http://none.invalid/", files: &[("abc", MD5_OF_ABC)], kind: Kind::Plain };
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("abc"), b"abc").expect("a file");
        let there = obtain(&source, dir.path(), &options(dir.path()), &mut |_| panic!("a transfer"));
        assert_eq!(there.expect("a set"), Downloaded::There(dir.path().to_path_buf()));
        std::fs::write(dir.path().join("abc"), b"abd").expect("a file");
        let error = obtain(&source, dir.path(), &options(dir.path()), &mut |_| {}).expect_err("another").to_string();
        assert!(error.contains(MD5_OF_ABC) && error.contains("move the file away"), "{error}");
        assert_eq!(std::fs::read(dir.path().join("abc")).expect("a file"), b"abd");
    }

    #[test]
    fn an_unpacked_archive_is_not_fetched_again() {
        let source = Source { base: "http://none.invalid/", files: &[("a.tar.gz", "0")], kind: Kind::Archive("a") };
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("a")).expect("a folder");
        obtain(&source, dir.path(), &options(dir.path()), &mut |_| panic!("a transfer")).expect("a set");
    }

    #[test]
    fn some_sets_are_generated_some_fetched_by_hand_and_mirrors_are_addresses() {
        let dir = tempfile::tempdir().expect("a folder");
        let outcome = |name: &str| download(name, &options(dir.path()), &mut |_| {});
        assert_eq!(outcome("glyphs").expect("an outcome"), Downloaded::Generated);
        let Ok(Downloaded::ByHand(by_hand)) = outcome("imagenet32") else { panic!("no account is needed") };
        assert_eq!((by_hand.files.len(), by_hand.dir), (11, dir.path().join("imagenet32")));
        let options = DownloadOptions { mirror: Some("ftp://x".into()), ..options(dir.path()) };
        assert!(download("mnist", &options, &mut |_| {}).expect_err("no address").to_string().contains("mirror"));
    }

    #[test]
    fn every_digest_is_one_and_every_archive_can_be_unpacked() {
        let published = super::super::DATASETS.iter().filter_map(|entry| match entry.origin {
            Origin::Published(source) => Some(source),
            Origin::Generated | Origin::Own => None,
        });
        for source in published {
            for (name, md5) in source.files {
                assert!(md5.len() == 32 && md5.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
                let packed = name.ends_with(".tar.gz") || name.ends_with(".tgz");
                assert_eq!(packed, matches!(source.kind, Kind::Archive(_)), "{name}");
            }
        }
    }
}
