//! MNIST, Fashion-MNIST and KMNIST: idx files, gzipped or not.
//!
//! Source: LeCun's format: a magic number (type 8, number of axes), the axes as big-endian 32-bit numbers, the bytes.

use std::path::{Path, PathBuf};

use super::verify::KnownFile;
use super::{Augmentation, Dataset, Entry, LoadOptions, files};
use crate::{Error, Result};

const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The files; their digests differ from set to set and from packing to packing, so only the structure is checked.
pub(super) fn known_files() -> Vec<KnownFile> {
    let places = |name: &str| vec![format!("{name}.gz"), name.to_string()];
    FILES.iter().map(|name| KnownFile { places: places(name), other: Vec::new(), size: None, md5: None }).collect()
}

/// Training and test images.
pub(super) fn load(entry: &Entry, options: &LoadOptions) -> Result<[Dataset; 2]> {
    let dir = options.dir(entry.name)?;
    let train = pair(entry, &dir, FILES[0], FILES[1])?;
    let test = pair(entry, &dir, FILES[2], FILES[3])?;
    Ok([train, test])
}

fn pair(entry: &Entry, dir: &Path, images: &str, labels: &str) -> Result<Dataset> {
    let (image_path, axes, pixels) = read(dir, images, 3)?;
    let (label_path, label_axes, labels) = read(dir, labels, 1)?;
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
fn read(dir: &Path, name: &str, rank: usize) -> Result<(PathBuf, Vec<usize>, Vec<u8>)> {
    let path = files::first_existing(&[dir.join(format!("{name}.gz")), dir.join(name)])?;
    let bytes = files::read(&path)?;
    let head = 4 + 4 * rank;
    let magic = [0, 0, 8, rank as u8];
    if bytes.len() < head || bytes[..4] != magic {
        let found = format!("{:?}", &bytes[..bytes.len().min(4)]);
        return Err(Error::bad_file(path, format!("an idx file that starts with {magic:?}"), found));
    }
    let axis = |axis: usize| {
        let start = 4 + 4 * axis;
        u32::from_be_bytes([bytes[start], bytes[start + 1], bytes[start + 2], bytes[start + 3]]) as usize
    };
    let axes: Vec<usize> = (0..rank).map(axis).collect();
    let expected = axes.iter().try_fold(1usize, |size, axis| size.checked_mul(*axis));
    let expected = expected.and_then(|size| size.checked_add(head));
    if expected != Some(bytes.len()) || axes.contains(&0) {
        let expected =
            expected.map_or("sizes that fit in memory".to_string(), |size| format!("{size} bytes for {axes:?}"));
        return Err(Error::bad_file(path, expected, format!("{} bytes", bytes.len())));
    }
    Ok((path, axes, bytes[head..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::entry;
    use std::io::Write;

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
        let packed = std::fs::File::create(dir.path().join(format!("{}.gz", FILES[2]))).expect("a file");
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed.write_all(&idx(&[1, 3, 4], &pixels[..12])).expect("bytes");
        packed.finish().expect("a file");
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
}
