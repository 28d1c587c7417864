//! SVHN, cropped digits: `train_32x32.mat` and `test_32x32.mat`.
//!
//! Source: Netzer et al., *Reading digits in natural images with unsupervised feature learning* (2011). `X` is
//! `[row, column, channel, image]` with the rows fastest; `y` holds 1 to 10, where 10 is the digit 0.

use std::path::Path;

use super::verify::KnownFile;
use super::{Augmentation, Dataset, Entry, LoadOptions, matlab, places, sources};
use crate::{Error, Result};

const SIDE: usize = 32;

/// The files and their digests.
pub(super) fn known_files() -> Vec<KnownFile> {
    let file = |(name, md5): &(&str, &'static str)| KnownFile {
        places: vec![name.to_string()],
        other: Vec::new(),
        size: None,
        md5: Some(*md5),
    };
    sources::SVHN.files.iter().map(file).collect()
}

/// Training and test images.
pub(super) fn load(entry: &Entry, options: &LoadOptions) -> Result<[Dataset; 2]> {
    let dir = options.dir(entry.name)?;
    let read = |name: &str| {
        let places = [name.to_string()];
        let path = places::first_file(&dir, &places)?.ok_or_else(|| places::none_of(&dir, &places))?;
        parse(&path, &places::read(&path)?)
    };
    Ok([read("train_32x32.mat")?, read("test_32x32.mat")?])
}

/// The images of a file.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Dataset> {
    let [images, labels] = matlab::read(path, bytes, ["X", "y"])?;
    let count = match images.dimensions[..] {
        [SIDE, SIDE, 3, count] if count > 0 => count,
        _ => return Err(Error::bad_file(path, "X of 32x32x3 and the images", format!("{:?}", images.dimensions))),
    };
    let labels = digits(path, &labels.numbers(), count)?;
    let mut pixels = images.into_bytes().ok_or_else(|| Error::bad_file(path, "X of bytes", "other numbers"))?;
    pixels.chunks_mut(SIDE * SIDE).for_each(transpose);
    Ok(Dataset {
        pixels,
        labels,
        shape: [3, SIDE, SIDE],
        classes: (0..10).map(|digit| digit.to_string()).collect(),
        mean: vec![0.4377, 0.4438, 0.4728],
        deviation: vec![0.1980, 0.2010, 0.1970],
        augmentation: Augmentation::Shift,
    })
}

fn digits(path: &Path, labels: &[f64], count: usize) -> Result<Vec<u16>> {
    if labels.len() != count {
        return Err(Error::bad_file(path, format!("{count} labels, as many as images"), labels.len().to_string()));
    }
    let digit = |(place, label): (usize, &f64)| {
        let known = (1..=10).find(|known| f64::from(*known) == *label);
        known
            .map(|known| known % 10)
            .ok_or_else(|| Error::bad_file(path, "labels from 1 to 10", format!("{label} of image {place}")))
    };
    labels.iter().enumerate().map(digit).collect()
}

/// Turns a square plane from columns to rows.
fn transpose(plane: &mut [u8]) {
    for row in 0..SIDE {
        for column in 0..row {
            plane.swap(row * SIDE + column, column * SIDE + row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::entry;
    use crate::data::matlab::tests::{file, packed, written};

    fn images(count: usize) -> Vec<u8> {
        packed(&written(
            b'X',
            9,
            &[32, 32, 3, count as u32],
            2,
            &(0..count * 3072).map(|i| (i % 253) as u8).collect::<Vec<_>>(),
        ))
    }

    fn try_load(images: Vec<u8>, labels: &[u8]) -> Result<[Dataset; 2]> {
        let dir = tempfile::tempdir().expect("a folder");
        let labels = packed(&written(b'y', 9, &[labels.len() as u32, 1], 2, labels));
        for name in ["train_32x32.mat", "test_32x32.mat"] {
            std::fs::write(dir.path().join(name), file(&[images.clone(), labels.clone()])).expect("a file");
        }
        load(entry("svhn").expect("an entry"), &LoadOptions { dir: Some(dir.path().into()), ..Default::default() })
    }

    #[test]
    fn columns_become_rows_and_ten_becomes_nought() {
        let [train, _] = try_load(images(2), &[10, 3]).expect("a set");
        assert_eq!((train.labels.as_slice(), train.shape), ([0u16, 3].as_slice(), [3, 32, 32]));
        let (row, column, channel) = (5, 7, 2);
        let stored = row + 32 * (column + 32 * (channel + 3));
        assert_eq!(train.image(1)[channel * 1024 + row * 32 + column], (stored % 253) as u8);
    }

    #[test]
    fn wrong_labels_counts_and_shapes_name_the_file() {
        let text = |images, labels: &[u8]| try_load(images, labels).expect_err("damage").to_string();
        assert!(
            text(images(2), &[10, 11]).contains("train_32x32.mat: expected labels from 1 to 10, found 11 of image 1")
        );
        assert!(text(images(2), &[0, 1]).contains("found 0 of image 0"));
        assert!(text(images(2), &[1]).contains("expected 2 labels"));
        assert!(text(written(b'X', 9, &[4, 1], 2, &[0; 4]), &[1]).contains("found [4, 1]"));
        assert!(text(written(b'z', 9, &[4, 1], 2, &[0; 4]), &[1]).contains("without an array X"));
    }
}
