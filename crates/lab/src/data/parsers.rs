//! The parsers of data sets' files by name, from bytes alone.

use std::io::Cursor;
use std::path::Path;

use zip::ZipArchive;

use super::pickle::Dictionary;
use super::{LoadOptions, archive, arrays, cifar, gzip, idx, imagenet32, numpy, photo, svhn, transfer};

/// A parser.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// What it reads.
    pub name: &'static str,
    /// Reads bytes, and drops what comes of it: a value or an error.
    pub parse: fn(&[u8]),
}

/// What stands for a file's name.
const NAME: &str = "bytes";

/// All of them.
pub(crate) const PARSERS: &[Format] = &[
    Format { name: "gzip", parse: |bytes| drop(gzip::unpacked(bytes.to_vec())) },
    Format { name: "tar", parse: tar },
    Format { name: "idx", parse: |bytes| drop(idx::parse(Path::new(NAME), bytes.to_vec(), 3)) },
    Format { name: "cifar", parse: |bytes| drop(cifar::parse(Path::new(NAME), bytes)) },
    Format { name: "matlab", parse: |bytes| drop(svhn::parse(Path::new(NAME), bytes)) },
    Format { name: "npy", parse: npy },
    Format { name: "npz", parse: npz },
    Format { name: "arrays", parse: |bytes| drop(arrays::parse(Path::new(NAME), bytes, &LoadOptions::default())) },
    Format { name: "pickle", parse: pickle },
    Format { name: "imagenet32", parse: batch },
    Format { name: "photo", parse: |bytes| drop(photo::decode(Path::new(NAME), bytes)) },
    Format { name: "range", parse: range },
];

fn tar(bytes: &[u8]) {
    let _ = archive::members(Path::new(NAME), bytes, |mut member| member.bytes().map(drop));
}

fn npy(bytes: &[u8]) {
    let _ = numpy::parse(bytes.to_vec()).map(|array| (array.numbers(), array.reals().sum::<f64>()));
}

fn npz(bytes: &[u8]) {
    if let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) {
        for name in ["data", "labels"] {
            let _ = numpy::member(&mut archive, name).map(|array| array.numbers());
        }
    }
}

fn pickle(bytes: &[u8]) {
    if let Ok(found) = Dictionary::parse(bytes) {
        let _ = (found.array("data"), found.numbers("labels"));
    }
}

fn batch(bytes: &[u8]) {
    let _ = imagenet32::add(&mut imagenet32::empty(), Path::new(NAME), bytes.to_vec(), usize::MAX);
}

fn range(bytes: &[u8]) {
    let _ = std::str::from_utf8(bytes).map(transfer::parse_range);
}
