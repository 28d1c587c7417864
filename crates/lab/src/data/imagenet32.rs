//! ImageNet32x32: `train_data_batch_1` to `_10` and `val_data`, pickled or as `.npz`.
//!
//! Source: Chrabaszcz et al., *A downsampled variant of ImageNet as an alternative to the CIFAR datasets* (2017). A batch holds
//! `data`, `[n, 3072]` bytes - red, green and blue planes, row by row - and `labels` from 1 to 1000.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::numpy::{self, Array};
use super::pickle::Dictionary;
use super::verify::KnownFile;
use super::{Augmentation, Dataset, Entry, LoadOptions, places, sources};
use crate::{Error, Result};
use foregrad::files;

const PIXELS: usize = 3 * 32 * 32;
const CLASSES: i64 = 1000;

/// Folders that the official archives unpack to.
const FOLDERS: [&str; 3] = ["Imagenet32_train", "Imagenet32_val", ""];

/// The files; digests are known of the pickled ones.
pub(super) fn known_files() -> Vec<KnownFile> {
    let file = |(name, md5): &(&str, &'static str)| {
        let places = |name: &str| FOLDERS.map(|folder| below(folder, name)).to_vec();
        KnownFile { places: places(name), other: places(&format!("{name}.npz")), size: None, md5: Some(*md5) }
    };
    sources::IMAGENET32.files.iter().map(file).collect()
}

/// Training images - of as many batches as are needed - and test images.
pub(super) fn load(entry: &Entry, options: &LoadOptions) -> Result<[Dataset; 2]> {
    let dir = options.dir(entry.name)?;
    let (mut train, mut test) = (empty(), empty());
    for number in 1..=10 {
        let wanted = options.train_limit.unwrap_or(usize::MAX) - train.len();
        if wanted > 0 {
            append(&mut train, &place(&dir, &format!("train_data_batch_{number}"))?, wanted)?;
        }
    }
    append(&mut test, &place(&dir, "val_data")?, options.test_limit.unwrap_or(usize::MAX))?;
    Ok([train, test])
}

pub(super) fn empty() -> Dataset {
    Dataset {
        pixels: Vec::new(),
        labels: Vec::new(),
        shape: [3, 32, 32],
        classes: (1..=CLASSES).map(|class| class.to_string()).collect(),
        mean: vec![0.4810, 0.4574, 0.4078],
        deviation: vec![0.2605, 0.2533, 0.2683],
        augmentation: Augmentation::Shift,
    }
}

/// Where a batch may lie: pickled or as `.npz`.
fn places(name: &str) -> Vec<String> {
    let folders = FOLDERS.iter().rev();
    folders.flat_map(|folder| [name.to_string(), format!("{name}.npz")].map(|file| below(folder, &file))).collect()
}

fn below(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_string() } else { format!("{folder}/{file}") }
}

fn place(dir: &Path, name: &str) -> Result<PathBuf> {
    let places = places(name);
    places::first_file(dir, &places)?.ok_or_else(|| places::none_of(dir, &places))
}

/// Adds at most the first `wanted` images of a batch.
fn append(set: &mut Dataset, path: &Path, wanted: usize) -> Result<()> {
    add(set, path, places::read(path)?, wanted)
}

/// Adds at most the first `wanted` images of a batch, which is a pickle or an archive by its content.
pub(super) fn add(set: &mut Dataset, path: &Path, bytes: Vec<u8>, wanted: usize) -> Result<()> {
    let damaged = |found: String| Error::bad_file(path, "a batch of ImageNet32 (data and labels)", found);
    if bytes.starts_with(b"PK") {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(format!("no .npz: {error}")))?;
        let data = numpy::member(&mut archive, "data").map_err(damaged)?;
        let labels = numpy::member(&mut archive, "labels").and_then(|labels| labels.numbers()).map_err(damaged)?;
        return take(set, path, &data, &labels, wanted);
    }
    let batch = Dictionary::parse(&bytes).map_err(|found| match files::what_is(&bytes) {
        Some(what) if !what.contains("pickle") => damaged(what),
        _ => damaged(found),
    })?;
    take(set, path, &batch.array("data").map_err(damaged)?, &batch.numbers("labels").map_err(damaged)?, wanted)
}

fn take(set: &mut Dataset, path: &Path, data: &Array, labels: &[i64], wanted: usize) -> Result<()> {
    let count = match data.shape[..] {
        [count, PIXELS] if data.is_bytes() => count,
        _ => return Err(Error::bad_file(path, format!("data of n x {PIXELS} bytes"), data.described())),
    };
    if labels.len() != count {
        return Err(Error::bad_file(path, format!("{count} labels, as many as images"), labels.len().to_string()));
    }
    if let Some(place) = labels.iter().position(|label| !(1..=CLASSES).contains(label)) {
        let found = format!("{} of image {place}", labels[place]);
        return Err(Error::bad_file(path, format!("labels from 1 to {CLASSES}"), found));
    }
    set.labels.extend(labels.iter().take(wanted).map(|label| (label - 1) as u16));
    set.pixels.extend_from_slice(&data.bytes[..count.min(wanted) * PIXELS]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::entry;
    use crate::data::numpy::tests::written;
    use std::io::Write;

    fn pixels(labels: &[u16]) -> Vec<u8> {
        labels.iter().flat_map(|label| vec![(label % 256) as u8; PIXELS]).collect()
    }

    /// A pickle as numpy writes it in protocol 3.
    fn pickled(labels: &[u16], pixels: &[u8]) -> Vec<u8> {
        let mut file = b"\x80\x03}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02".to_vec();
        file.extend(b"cnumpy\nndarray\nq\x03K\x00\x85q\x04C\x01bq\x05\x87q\x06Rq\x07(K\x01K");
        file.extend([(pixels.len() / PIXELS) as u8]);
        file.extend(b"M\x00\x0c\x86q\x08cnumpy\ndtype\nq\x09X\x02\x00\x00\x00u1q\x0aK\x00K\x01\x87q\x0bRq\x0c(K\x03");
        file.extend(b"X\x01\x00\x00\x00|q\x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89B");
        file.extend((pixels.len() as u32).to_le_bytes());
        file.extend(pixels);
        file.extend(b"tq\x0fbX\x06\x00\x00\x00labelsq\x10]q\x11(");
        labels.iter().for_each(|label| file.extend([&b"M"[..], &label.to_le_bytes()].concat()));
        file.extend(b"eu.");
        file
    }

    fn zipped(labels: &[u16], pixels: &[u8]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let numbers: Vec<u8> = labels.iter().flat_map(|label| i64::from(*label).to_le_bytes()).collect();
        let arrays = [
            ("data", written("|u1", &format!("({}, {PIXELS})", pixels.len() / PIXELS), pixels)),
            ("labels", written("<i8", &format!("({},)", labels.len()), &numbers)),
        ];
        for (name, bytes) in arrays {
            archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).expect("a member");
            archive.write_all(&bytes).expect("bytes");
        }
        archive.finish().expect("an archive").into_inner()
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("Imagenet32_train")).expect("a folder");
        for number in 1..=10u16 {
            let labels = [number, 1000];
            let (name, bytes) = match number % 2 {
                0 => (format!("train_data_batch_{number}.npz"), zipped(&labels, &pixels(&labels))),
                _ => (format!("Imagenet32_train/train_data_batch_{number}"), pickled(&labels, &pixels(&labels))),
            };
            std::fs::write(dir.path().join(name), bytes).expect("a file");
        }
        std::fs::write(dir.path().join("val_data"), pickled(&[300], &pixels(&[300]))).expect("a file");
        dir
    }

    fn try_load(dir: &Path, train_limit: Option<usize>) -> Result<[Dataset; 2]> {
        let options = LoadOptions { dir: Some(dir.into()), train_limit, ..Default::default() };
        load(entry("imagenet32").expect("an entry"), &options)
    }

    #[test]
    fn pickles_and_archives_are_read_in_order() {
        let dir = folder();
        let [train, test] = try_load(dir.path(), None).expect("a set");
        assert_eq!(train.labels[..6], [0, 999, 1, 999, 2, 999]);
        assert_eq!((train.len(), train.image(18)[0], train.image(19)[7]), (20, 10, 232));
        assert_eq!((test.labels.as_slice(), test.image(0)), ([299u16].as_slice(), [44; PIXELS].as_slice()));
    }

    #[test]
    fn a_limit_reads_no_more_batches_than_it_needs() {
        let dir = folder();
        std::fs::remove_file(dir.path().join("train_data_batch_4.npz")).expect("removed");
        let [train, _] = try_load(dir.path(), Some(5)).expect("a set");
        assert_eq!((train.labels.as_slice(), train.pixels.len()), ([0u16, 999, 1, 999, 2].as_slice(), 5 * PIXELS));
        assert!(try_load(dir.path(), None).expect_err("a batch is missing").to_string().contains("train_data_batch_4"));
    }

    #[test]
    fn damaged_batches_name_the_file() {
        let dir = folder();
        let text = |bytes: Vec<u8>| {
            std::fs::write(dir.path().join("val_data"), bytes).expect("a file");
            try_load(dir.path(), None).expect_err("damage").to_string()
        };
        assert!(
            text(pickled(&[1, 1001], &pixels(&[1, 1])))
                .contains("val_data: expected labels from 1 to 1000, found 1001")
        );
        assert!(text(pickled(&[0], &pixels(&[1]))).contains("found 0 of image 0"));
        assert!(text(pickled(&[1, 2], &pixels(&[1]))).contains("expected 1 labels"));
        assert!(text(b"}.".to_vec()).contains("found no data"));
        assert!(text(pickled(&[1], &pixels(&[1]))[..999].to_vec()).contains("cut short"));
        std::fs::remove_file(dir.path().join("val_data")).expect("removed");
        let whole = zipped(&[1], &pixels(&[1]));
        std::fs::write(dir.path().join("val_data.npz"), &whole[..whole.len() / 2]).expect("a file");
        assert!(try_load(dir.path(), None).expect_err("damage").to_string().contains("val_data.npz"));
    }
}
