//! CIFAR-10 and CIFAR-100, binary versions.
//!
//! A record is one label byte (CIFAR-100: coarse, then fine), then 1,024 red, green and blue bytes each, row by row.
//! Source: Krizhevsky, *Learning multiple layers of features from tiny images* (2009).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::verify::KnownFile;
use super::{Augmentation, Dataset, LoadOptions, archive, places};
use crate::{Error, Result};
use foregrad::files;

const PIXELS: usize = 3 * 32 * 32;

/// One of the two sets.
pub(super) struct Variant {
    name: &'static str,
    folder: &'static str,
    archive: &'static str,
    /// Folder and archive of the version for Python, which is not read.
    python: [&'static str; 2],
    /// Bytes before the pixels; the last of them is the label.
    label_bytes: usize,
    classes: usize,
    /// Training files, their records and published MD5 digests.
    train: &'static [(&'static str, usize, Option<&'static str>)],
    test: (&'static str, usize),
    names: &'static [&'static str],
    mean: [f32; 3],
    deviation: [f32; 3],
}

pub(super) const CIFAR10: Variant = Variant {
    name: "cifar10",
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    python: ["cifar-10-batches-py", "cifar-10-python.tar.gz"],
    label_bytes: 1,
    classes: 10,
    train: &[
        ("data_batch_1.bin", 10_000, Some("5dd7e06a14cb22eb9f671a540d1b7c25")),
        ("data_batch_2.bin", 10_000, Some("5ea93a67294ea407fff1d09f752e9692")),
        ("data_batch_3.bin", 10_000, Some("942cd6a4bcdd0dd3c604fbe906cb4421")),
        ("data_batch_4.bin", 10_000, Some("ae636b3ba5c66a11e91e8cb52e771fcb")),
        ("data_batch_5.bin", 10_000, Some("53f37980c15c3d472c316c40844f3f0d")),
    ],
    test: ("test_batch.bin", 10_000),
    names: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    mean: [0.4914, 0.4822, 0.4465],
    deviation: [0.2470, 0.2435, 0.2616],
};

pub(super) const CIFAR100: Variant = Variant {
    name: "cifar100",
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    python: ["cifar-100-python", "cifar-100-python.tar.gz"],
    label_bytes: 2,
    classes: 100,
    train: &[("train.bin", 50_000, None)],
    test: ("test.bin", 10_000),
    names: &[],
    mean: [0.5071, 0.4865, 0.4409],
    deviation: [0.2673, 0.2564, 0.2762],
};

impl Variant {
    fn record(&self) -> usize {
        self.label_bytes + PIXELS
    }
}

/// The files with their sizes and digests.
pub(super) fn known_files(variant: &Variant) -> Vec<KnownFile> {
    let file = |name: &str, records: usize, md5: Option<&'static str>| KnownFile {
        places: vec![format!("{}/{name}", variant.folder), name.to_string()],
        other: Vec::new(),
        size: Some((records * variant.record()) as u64),
        md5,
    };
    let train = variant.train.iter().map(|(name, records, md5)| file(name, *records, *md5));
    train.chain([file(variant.test.0, variant.test.1, None)]).collect()
}

/// Training and test images.
pub(super) fn load(options: &LoadOptions, variant: &Variant) -> Result<[Dataset; 2]> {
    let source = Source::open(&options.dir(variant.name)?, variant)?;
    let limit = options.train_limit.unwrap_or(usize::MAX);
    let mut train = empty(variant);
    for (name, records, _) in variant.train {
        if train.len() >= limit {
            break;
        }
        source.append(&mut train, name, *records, variant)?;
    }
    let mut test = empty(variant);
    source.append(&mut test, variant.test.0, variant.test.1, variant)?;
    Ok([train, test])
}

fn empty(variant: &Variant) -> Dataset {
    let names = variant.names.iter().map(|name| name.to_string());
    let numbers = (names.len()..variant.classes).map(|class| class.to_string());
    Dataset {
        pixels: Vec::new(),
        labels: Vec::new(),
        shape: [3, 32, 32],
        classes: names.clone().chain(numbers).collect(),
        mean: variant.mean.to_vec(),
        deviation: variant.deviation.to_vec(),
        augmentation: Augmentation::Shift,
    }
}

/// Where the files come from.
enum Source {
    Folder(PathBuf),
    Archive { path: PathBuf, members: HashMap<String, Vec<u8>> },
}

impl Source {
    fn open(dir: &Path, variant: &Variant) -> Result<Self> {
        if places::is_file(dir)? {
            return read_archive(dir, &places::whole(dir)?, variant);
        }
        let nested = dir.join(variant.folder);
        if places::is_folder(&nested)? {
            return Ok(Source::Folder(nested));
        }
        let archive = dir.join(variant.archive);
        match places::is_file(&archive)? {
            true => read_archive(&archive, &places::whole(&archive)?, variant),
            false => Ok(Source::Folder(dir.to_path_buf())),
        }
    }

    fn append(&self, set: &mut Dataset, name: &str, records: usize, variant: &Variant) -> Result<()> {
        let (path, bytes) = match self {
            Source::Folder(dir) => {
                let place = [name.to_string()];
                let path = match places::first_file(dir, &place)? {
                    Some(path) => path,
                    None if is_for_python(dir, variant)? => return Err(for_python(dir, variant)),
                    None => return Err(places::none_of(dir, &place)),
                };
                let bytes = places::read(&path)?;
                (path, bytes)
            }
            Source::Archive { path, members } => {
                let found = members.get(name).cloned();
                let missing = || Error::bad_file(path, format!("a member {name}"), "none");
                (path.join(name), found.ok_or_else(missing)?)
            }
        };
        add_records(set, &path, &bytes, records, variant)
    }
}

/// Adds the records of a file.
fn add_records(set: &mut Dataset, path: &Path, bytes: &[u8], records: usize, variant: &Variant) -> Result<()> {
    let expected = records * variant.record();
    if bytes.len() != expected {
        let expected = format!("{records} records, {expected} bytes");
        return Err(files::unlike(path, expected, bytes, format!("{} bytes", bytes.len())));
    }
    for (number, record) in bytes.chunks(variant.record()).enumerate() {
        let label = record[variant.label_bytes - 1];
        if usize::from(label) >= variant.classes {
            let expected = format!("labels below {}", variant.classes);
            return Err(Error::bad_file(path, expected, format!("{label} in record {number}")));
        }
        set.labels.push(u16::from(label));
        set.pixels.extend_from_slice(&record[variant.label_bytes..]);
    }
    Ok(())
}

/// The records of a file of whatever number of them.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Dataset> {
    let mut set = empty(&CIFAR10);
    add_records(&mut set, path, bytes, (bytes.len() / CIFAR10.record()).max(1), &CIFAR10)?;
    Ok(set)
}

/// Whether a folder holds the version for Python: its folder, its archive or its batches.
fn is_for_python(dir: &Path, variant: &Variant) -> Result<bool> {
    let [folder, archive] = variant.python;
    let batch = variant.test.0.trim_end_matches(".bin");
    let there = places::first_file(dir, &[archive.to_string(), batch.to_string()])?.is_some();
    Ok(there || places::is_folder(&dir.join(folder))?)
}

fn for_python(path: &Path, variant: &Variant) -> Error {
    let (name, archive) = (variant.name, variant.archive);
    let expected = format!("the binary version, {archive} (`foregrad data download {name}` fetches it)");
    Error::bad_file(path, expected, "the version for Python, which holds pickles")
}

/// Reads the members of an archive into memory; nothing is written.
fn read_archive(path: &Path, bytes: &[u8], variant: &Variant) -> Result<Source> {
    let wanted: Vec<&str> = variant.train.iter().map(|(name, ..)| *name).chain([variant.test.0]).collect();
    let mut members = HashMap::new();
    archive::members(path, bytes, |mut member| {
        if member.path.components().any(|part| part.as_os_str() == variant.python[0]) {
            return Err(for_python(path, variant));
        }
        let name = member.path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
        if wanted.contains(&name.as_str()) {
            members.insert(name, member.bytes()?);
        }
        Ok(())
    })?;
    Ok(Source::Archive { path: path.to_path_buf(), members })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::archive::tests::tar;
    use crate::data::gzip::tests::packed;
    use ::tar::EntryType;

    const TINY: Variant = Variant { train: &[("a.bin", 3, None), ("b.bin", 2, None)], test: ("t.bin", 2), ..CIFAR10 };

    fn records(first: usize, count: usize) -> Vec<u8> {
        (first..first + count).flat_map(|i| [vec![(i % 10) as u8], vec![(i * 7) as u8; PIXELS]].concat()).collect()
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, bytes) in [("a.bin", records(0, 3)), ("b.bin", records(3, 2)), ("t.bin", records(5, 2))] {
            std::fs::write(dir.path().join(name), bytes).expect("a file");
        }
        dir
    }

    fn options(dir: &Path) -> LoadOptions {
        LoadOptions { dir: Some(dir.to_path_buf()), ..Default::default() }
    }

    #[test]
    fn a_folder_is_read_in_order() {
        let dir = folder();
        let [train, test] = load(&options(dir.path()), &TINY).expect("a set");
        assert_eq!(train.labels, [0, 1, 2, 3, 4]);
        assert_eq!(train.image(3), [21; PIXELS]);
        assert_eq!(test.labels, [5, 6]);
    }

    #[test]
    fn a_missing_batch_is_an_error_unless_the_limit_fits() {
        let dir = folder();
        std::fs::remove_file(dir.path().join("b.bin")).expect("removed");
        let error = load(&options(dir.path()), &TINY).expect_err("a missing file").to_string();
        assert!(error.contains("b.bin"), "{error}");
        let limited = LoadOptions { train_limit: Some(3), ..options(dir.path()) };
        assert_eq!(load(&limited, &TINY).expect("enough")[0].len(), 3);
    }

    #[test]
    fn damaged_files_are_named_with_what_was_expected_and_found() {
        let dir = folder();
        std::fs::write(dir.path().join("b.bin"), &records(3, 2)[1..]).expect("a file");
        let error = load(&options(dir.path()), &TINY).expect_err("a short file").to_string();
        assert!(error.contains("b.bin: expected 2 records, 6146 bytes, found 6145 bytes"), "{error}");
        let mut bad = records(3, 2);
        bad[3073] = 77;
        std::fs::write(dir.path().join("b.bin"), bad).expect("a file");
        let error = load(&options(dir.path()), &TINY).expect_err("a wrong label").to_string();
        assert!(error.contains("expected labels below 10, found 77 in record 1"), "{error}");
    }

    fn archive(path: &Path, names: &[(&str, Vec<u8>)]) {
        let members: Vec<_> = names.iter().map(|(name, bytes)| (*name, EntryType::Regular, bytes.as_slice())).collect();
        std::fs::write(path, packed(&tar(&members))).expect("a file");
    }

    #[test]
    fn an_archive_is_read_like_a_folder_and_may_not_point_outside() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(TINY.archive);
        let members = [("x/a.bin", records(0, 3)), ("x/b.bin", records(3, 2)), ("x/t.bin", records(5, 2))];
        archive(&path, &members);
        assert_eq!(load(&options(dir.path()), &TINY).expect("a set")[0].labels, [0, 1, 2, 3, 4]);
        archive(&path, &[("../a.bin", records(0, 3))]);
        let error = load(&options(dir.path()), &TINY).expect_err("an escape").to_string();
        assert!(error.contains("points outside"), "{error}");
        let whole = std::fs::read(&path).expect("bytes");
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("a file");
        assert!(load(&options(dir.path()), &TINY).is_err());
    }

    #[test]
    fn the_version_for_python_is_told_for_what_it_is() {
        let text = |dir: &Path| load(&options(dir), &CIFAR10).expect_err("another version").to_string();
        let told = |text: String| {
            assert!(text.contains("the version for Python") && text.contains("cifar-10-binary.tar.gz"), "{text}");
        };
        let dir = tempfile::tempdir().expect("a folder");
        let batches = dir.path().join("cifar-10-batches-py");
        std::fs::create_dir(&batches).expect("a folder");
        std::fs::write(batches.join("test_batch"), b"\x80\x02}.").expect("a file");
        told(text(dir.path()));
        told(text(&batches));
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path().join("cifar-10-python.tar.gz");
        archive(&path, &[("cifar-10-batches-py/test_batch", b"\x80\x02}.".to_vec())]);
        told(text(above.path()));
        told(text(&path));
    }
}
