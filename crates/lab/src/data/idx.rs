//! MNIST, Fashion-MNIST and KMNIST: idx files, gzipped or not.
//!
//! Source: LeCun's format: a magic number (type 8, number of axes), the axes as big-endian 32-bit numbers, the bytes.

use std::path::{Path, PathBuf};

use super::verify::KnownFile;
use super::{Augmentation, Dataset, Entry, LoadOptions, places};
use crate::{Error, Result};
use foregrad::files;

/// The element type of bytes without sign, the only one that these sets have, and all that there are.
const BYTES: u8 = 8;
const ELEMENTS: [(u8, &str); 6] = [
    (BYTES, "bytes"),
    (0x09, "bytes with sign"),
    (0x0b, "whole numbers of 16 bits"),
    (0x0c, "whole numbers of 32 bits"),
    (0x0d, "floating-point numbers of 32 bits"),
    (0x0e, "floating-point numbers of 64 bits"),
];

const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Where a file may lie: as published, as 7-Zip and old tools name it, in Kaggle's folder of its own name, in torchvision's
/// folders; packed or not.
fn places(name: &str, torchvision: &str) -> Vec<String> {
    let dotted = name.replace("-idx", ".idx");
    let names = [format!("{name}.gz"), name.to_string(), format!("{dotted}.gz"), dotted.clone()];
    let names = names.into_iter().chain([format!("{name}/{name}"), format!("{dotted}/{dotted}")]);
    let names: Vec<_> = names.collect();
    let folders = ["".to_string(), "raw/".to_string(), format!("{torchvision}/raw/")];
    folders.iter().flat_map(|folder| names.iter().map(move |name| format!("{folder}{name}"))).collect()
}

/// The folder that torchvision makes for a set.
fn torchvision(set: &str) -> &'static str {
    match set {
        "mnist" => "MNIST",
        "kmnist" => "KMNIST",
        _ => "FashionMNIST",
    }
}

/// The files; their digests differ from set to set and from packing to packing, so only the structure is checked.
pub(super) fn known_files(set: &str) -> Vec<KnownFile> {
    let file =
        |name: &&str| KnownFile { places: places(name, torchvision(set)), other: Vec::new(), size: None, md5: None };
    FILES.iter().map(file).collect()
}

/// Training and test images.
pub(super) fn load(entry: &Entry, options: &LoadOptions) -> Result<[Dataset; 2]> {
    let dir = options.dir(entry.name)?;
    let train = pair(entry, &dir, FILES[0], FILES[1])?;
    let test = pair(entry, &dir, FILES[2], FILES[3])?;
    Ok([train, test])
}

fn pair(entry: &Entry, dir: &Path, images: &str, labels: &str) -> Result<Dataset> {
    let (image_path, axes, pixels) = read(entry, dir, images, 3)?;
    let (label_path, label_axes, labels) = read(entry, dir, labels, 1)?;
    if axes[0] != label_axes[0] {
        let expected = format!("{} labels, as many as there are images in {}", axes[0], image_path.display());
        return Err(Error::bad_file(label_path, expected, label_axes[0].to_string()));
    }
    if let Some(position) = labels.iter().position(|label| *label > 9) {
        let found = format!("{} in record {position}", labels[position]);
        return Err(Error::bad_file(label_path, "labels below 10", found));
    }
    let (mean, deviation) = match entry.name {
        "mnist" => (0.1307, 0.3081),
        "kmnist" => (0.1918, 0.3483),
        _ => (0.2860, 0.3530),
    };
    let names = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];
    let fashion = entry.name == "fashion-mnist";
    let class = |class: usize| if fashion { names[class].to_string() } else { class.to_string() };
    Ok(Dataset {
        pixels,
        labels: labels.into_iter().map(u16::from).collect(),
        shape: [1, axes[1], axes[2]],
        classes: (0..10).map(class).collect(),
        mean: vec![mean],
        deviation: vec![deviation],
        augmentation: Augmentation::Shift,
    })
}

/// One file: where it was, its axes and its bytes.
fn read(entry: &Entry, dir: &Path, name: &str, rank: usize) -> Result<(PathBuf, Vec<usize>, Vec<u8>)> {
    let places = places(name, torchvision(entry.name));
    let path = places::first_file(dir, &places)?.ok_or_else(|| places::none_of(dir, &places))?;
    let (axes, bytes) = parse(&path, places::read(&path)?, rank)?;
    Ok((path, axes, bytes))
}

/// The axes and elements of a file.
pub(super) fn parse(path: &Path, mut bytes: Vec<u8>, rank: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let head = 4 + 4 * rank;
    let magic = [0, 0, BYTES, rank as u8];
    if bytes.len() < head || bytes[..4] != magic {
        let expected = format!("an idx file that starts with {magic:?}, bytes along {rank} axes");
        return Err(Error::bad_file(path, expected, start(&bytes)));
    }
    let axes: Vec<usize> =
        bytes[4..head].as_chunks::<4>().0.iter().map(|axis| u32::from_be_bytes(*axis) as usize).collect();
    let expected = axes.iter().try_fold(1usize, |size, axis| size.checked_mul(*axis));
    let expected = expected.and_then(|size| size.checked_add(head));
    if expected != Some(bytes.len()) || axes.contains(&0) {
        let expected =
            expected.map_or("sizes that fit in memory".to_string(), |size| format!("{size} bytes for {axes:?}"));
        return Err(Error::bad_file(path, expected, format!("{} bytes", bytes.len())));
    }
    Ok((axes, bytes.split_off(head)))
}

/// The first bytes in words.
fn start(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(4)];
    if let [0, 0, kind, rank @ 1..=4] = start
        && let Some((_, elements)) = ELEMENTS.iter().find(|(known, _)| known == kind)
    {
        return format!("{start:?}, {elements} along {rank} axes");
    }
    files::what_is(bytes).unwrap_or_else(|| format!("{start:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::entry;
    use crate::data::gzip::tests::packed;

    fn idx(axes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, axes.len() as u8];
        axes.iter().for_each(|axis| file.extend(axis.to_be_bytes()));
        [file, bytes.to_vec()].concat()
    }

    fn folder(labels: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let pixels: Vec<u8> = (0..24).collect();
        std::fs::write(dir.path().join(FILES[0]), idx(&[2, 3, 4], &pixels)).expect("a file");
        std::fs::write(dir.path().join(FILES[1]), idx(&[labels.len() as u32], labels)).expect("a file");
        let test = packed(&idx(&[1, 3, 4], &pixels[..12]));
        std::fs::write(dir.path().join(format!("{}.gz", FILES[2])), test).expect("a file");
        std::fs::write(dir.path().join(FILES[3]), idx(&[1], &[7])).expect("a file");
        dir
    }

    fn try_load(dir: &Path) -> Result<[Dataset; 2]> {
        let options = LoadOptions { dir: Some(dir.to_path_buf()), ..Default::default() };
        load(entry("mnist").expect("an entry"), &options)
    }

    #[test]
    fn plain_and_packed_files_are_read() {
        let [train, test] = try_load(folder(&[3, 9]).path()).expect("a set");
        assert_eq!((train.labels.as_slice(), train.shape), ([3u16, 9].as_slice(), [1, 3, 4]));
        assert_eq!(test.image(0), (0..12).collect::<Vec<u8>>());
    }

    #[test]
    fn wrong_labels_counts_and_lengths_are_errors() {
        let text = |labels: &[u8]| try_load(folder(labels).path()).expect_err("damage").to_string();
        assert!(text(&[3, 10]).contains("found 10 in record 1"));
        assert!(text(&[3]).contains("expected 2 labels"));
        let dir = folder(&[3, 9]);
        std::fs::write(dir.path().join(FILES[0]), idx(&[2, 3, 4], &[0; 23])).expect("a file");
        assert!(try_load(dir.path()).expect_err("damage").to_string().contains("40 bytes for [2, 3, 4], found 39"));
        std::fs::write(dir.path().join(FILES[0]), [1, 2, 3]).expect("a file");
        assert!(try_load(dir.path()).expect_err("damage").to_string().contains("found [1, 2, 3]"));
        std::fs::remove_file(dir.path().join(FILES[0])).expect("removed");
        assert!(try_load(dir.path()).expect_err("damage").to_string().contains("looked for"));
    }

    /// A set of which every file is put in place by a function.
    fn packed_as(put: impl Fn(&Path, &str, Vec<u8>)) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, bytes) in FILES.iter().zip([idx(&[1, 1, 2], &[5, 6]), idx(&[1], &[3])].iter().cycle()) {
            put(dir.path(), name, bytes.clone());
        }
        dir
    }

    fn write(path: PathBuf, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    #[test]
    fn other_packings_and_layouts_are_read() {
        let layouts = [
            packed_as(|dir, name, bytes| write(dir.join(format!("{name}.gz")), &bytes)),
            packed_as(|dir, name, bytes| write(dir.join(name), &packed(&bytes))),
            packed_as(|dir, name, bytes| write(dir.join(format!("{name}.gz")), &packed(&packed(&bytes)))),
            packed_as(|dir, name, bytes| {
                let (start, end) = bytes.split_at(5);
                write(dir.join(format!("{name}.gz")), &[packed(start), packed(end), vec![0; 99]].concat());
            }),
            packed_as(|dir, name, bytes| write(dir.join(name.replace("-idx", ".idx")), &bytes)),
            packed_as(|dir, name, bytes| write(dir.join(name).join(name), &bytes)),
            packed_as(|dir, name, bytes| write(dir.join("MNIST/raw").join(name), &bytes)),
        ];
        for (number, dir) in layouts.iter().enumerate() {
            let [train, test] = try_load(dir.path()).unwrap_or_else(|error| panic!("layout {number}: {error}"));
            assert_eq!((train.image(0), test.labels.as_slice()), ([5u8, 6].as_slice(), [3u16].as_slice()));
        }
    }

    #[test]
    fn other_files_are_told_for_what_they_are() {
        let error = |bytes: &[u8]| {
            let dir = packed_as(|dir, name, _| write(dir.join(format!("{name}.gz")), bytes));
            try_load(dir.path()).expect_err("refused").to_string()
        };
        assert!(error(b"<!DOCTYPE html><html><body>403</body></html>").contains("an HTML page"));
        assert!(error(&[0, 0, 12, 3, 0, 0]).contains("[0, 0, 12, 3], whole numbers of 32 bits along 3 axes"));
        assert!(error(&[0, 0, 8, 1, 0, 0]).contains("[0, 0, 8, 1], bytes along 1 axes"));
        assert!(error(b"").contains("an empty file"));
        let cut = packed(&[7; 99]);
        assert!(error(&cut[..cut.len() - 4]).contains("a damaged gzip file"));
    }
}
