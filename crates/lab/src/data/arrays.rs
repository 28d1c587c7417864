//! Arrays of one's own in a file: `images` with `labels` or `values`, in an `.npz` archive or a safetensors file.
//!
//! `train_images` and `test_images` (perhaps `val_images`) with their labels or values are parts; of `images` alone, or `train_images`
//! alone, a part is the test set. What could be read in two ways is refused.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use zip::ZipArchive;

use super::dataset::{Parts, Pixel};
use super::numpy::{self, Array};
use super::options::TEST_PART;
use super::parts::{in_turn, parted};
use super::{Augmentation, Dataset, Entry, LoadOptions, Normalisation, Source, Valued, places};
use crate::{Error, Result};
use foregrad::files;
use foregrad::losses::Labels;

mod part;

use part::{Inputs, Part};

/// Training, test and perhaps validation samples.
pub(super) fn load(_: &Entry, options: &LoadOptions) -> Result<Parts> {
    let path = options.own_dir()?;
    parse(&path, &places::whole(&path)?, options)
}

/// As [`load`], of a file's bytes.
pub(super) fn parse(path: &Path, bytes: &[u8], options: &LoadOptions) -> Result<Parts> {
    let mut file = Arrays::open(path, bytes)?;
    let prefix = match [file.has("images"), file.has("train_images")] {
        [true, false] => "",
        [false, true] => "train_",
        _ => return Err(file.wrong("either `images` or `train_images`", &file.listed())),
    };
    let train = Part::read(&mut file, prefix)?;
    let classes = train.classes(&file, prefix)?;
    let validation = if prefix.is_empty() { None } else { part_like(&mut file, "val_", &train)? };
    let test = if prefix.is_empty() { None } else { part_like(&mut file, "test_", &train)? };
    let (train, test) = match (test, options.test_part) {
        (Some(test), None) => (train, test),
        (Some(_), Some(part)) => {
            let expected = format!("off: `test_images` of {} are the test set", path.display());
            return Err(Error::out_of_range("data.test-part", part, expected));
        }
        (None, part) => split(&file, &train, part.unwrap_or(TEST_PART), options.seed)?,
    };
    match train.inputs {
        Inputs::Bytes(_) => built::<u8>(train, validation, test, &classes, options),
        Inputs::Numbers(_) => built::<f32>(train, validation, test, &classes, options),
    }
}

/// A part that goes with the training samples; none if the file has none of its name.
fn part_like(file: &mut Arrays, prefix: &str, train: &Part) -> Result<Option<Part>> {
    let names = ["images", "labels", "values"].map(|name| format!("{prefix}{name}"));
    if !names.iter().any(|name| file.has(name)) {
        return Ok(None);
    }
    let part = Part::read(file, prefix)?;
    part.check_like(train, file, prefix)?;
    Ok(Some(part))
}

/// Training samples, and those that are held out.
fn split(file: &Arrays, all: &Part, part: f64, seed: u64) -> Result<(Part, Part)> {
    let classes: Vec<u16> = match &all.labels {
        Labels::Classes { indices, .. } => indices.iter().map(|class| *class as u16).collect(),
        Labels::Values { .. } => vec![0; all.labels.len()],
    };
    let [kept, held] = parted(&classes, part, seed);
    if held.is_empty() {
        return Err(file.wrong("a class of two or more samples, so that one can be held out", "none"));
    }
    Ok((all.chosen(&kept), all.chosen(&held)))
}

/// Sources of the parts, all normalised as the training samples are, or as a run has begun.
fn built<P: OfInputs>(
    train: Part,
    validation: Option<Part>,
    test: Part,
    classes: &[String],
    options: &LoadOptions,
) -> Result<Parts> {
    let (shape, inputs) = (train.shape, P::seen(&train.inputs));
    let normalisation = options.normalisation_of(shape[0], || Normalisation::of(inputs, shape))?;
    let source = |part, limit| source::<P>(part, classes, &normalisation, limit);
    Ok(Parts {
        validation: validation.map(|part| source(part, None)),
        test: source(test, options.test_limit),
        train: source(train, options.train_limit),
    })
}

/// At most `limit` samples of a part: of classes the first of each, the second of each and so on, for a file may be sorted by them.
fn limited(part: Part, limit: Option<usize>) -> Part {
    match (&part.labels, limit) {
        (Labels::Classes { indices, classes }, Some(limit)) if limit < indices.len() => {
            let chosen = in_turn(indices, *classes, limit);
            part.chosen(&chosen)
        }
        _ => part,
    }
}

/// At most `limit` samples of a part, as a source.
fn source<P: OfInputs>(
    part: Part,
    classes: &[String],
    normalisation: &Normalisation,
    limit: Option<usize>,
) -> Arc<dyn Source> {
    let Part { inputs, shape, labels } = limited(part, limit);
    let Normalisation { mean, deviation } = normalisation.clone();
    let (count, pixels, augmentation) = (labels.len(), P::of(inputs), Augmentation::Shift);
    let dataset = |labels: Vec<u16>| {
        let classes = classes.to_vec();
        Dataset { pixels, labels, shape, classes, mean, deviation, augmentation }.truncated(limit)
    };
    match labels {
        Labels::Classes { indices, .. } => Arc::new(dataset(indices.into_iter().map(|class| class as u16).collect())),
        Labels::Values { mut rows, width } => {
            let inputs = dataset(vec![0; count]);
            rows.truncate(inputs.len() * width);
            Arc::new(Valued::new(inputs, rows, width))
        }
    }
}

/// Numbers out of inputs that are of their type.
trait OfInputs: Pixel {
    fn of(inputs: Inputs) -> Vec<Self>;

    fn seen(inputs: &Inputs) -> &[Self];
}

impl OfInputs for u8 {
    fn of(inputs: Inputs) -> Vec<u8> {
        if let Inputs::Bytes(bytes) = inputs { bytes } else { Vec::new() }
    }

    fn seen(inputs: &Inputs) -> &[u8] {
        if let Inputs::Bytes(bytes) = inputs { bytes } else { &[] }
    }
}

impl OfInputs for f32 {
    fn of(inputs: Inputs) -> Vec<f32> {
        if let Inputs::Numbers(numbers) = inputs { numbers } else { Vec::new() }
    }

    fn seen(inputs: &Inputs) -> &[f32] {
        if let Inputs::Numbers(numbers) = inputs { numbers } else { &[] }
    }
}

/// The arrays of a file by their names.
struct Arrays<'a> {
    path: &'a Path,
    names: BTreeSet<String>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Npz(ZipArchive<Cursor<&'a [u8]>>),
    Tensors(SafeTensors<'a>),
}

impl<'a> Arrays<'a> {
    fn open(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let damaged = |what: &str, error: String| {
            Error::bad_file(
                path,
                format!("a whole {what} file"),
                format!("a damaged one, {} bytes: {error}", bytes.len()),
            )
        };
        if bytes.starts_with(b"PK") {
            let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(".npz", error.to_string()))?;
            // A name that is no text is the name of no array that is asked for.
            let name = |name: &str| name.strip_suffix(".npy").map(String::from);
            let names = archive.file_names().filter_map(|own| own.ok().as_deref().and_then(name)).collect();
            return Ok(Self { path, names, kind: Kind::Npz(archive) });
        }
        // A header of safetensors begins with its brace.
        if bytes.get(8) != Some(&b'{') {
            let found = format!("{} bytes that are neither", bytes.len());
            return Err(files::unlike(path, "an .npz or safetensors file", bytes, found));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged("safetensors", error.to_string()))?;
        Ok(Self { path, names: tensors.names().into_iter().map(String::from).collect(), kind: Kind::Tensors(tensors) })
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn listed(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if names.is_empty() { "no array".into() } else { names.join(", ") }
    }

    fn wrong(&self, expected: impl Into<String>, found: &str) -> Error {
        Error::bad_file(self.path, expected, found)
    }

    fn array(&mut self, name: &str) -> Result<Array<'a>> {
        if !self.has(name) {
            return Err(self.wrong(format!("an array `{name}`"), &self.listed()));
        }
        let read = match &mut self.kind {
            Kind::Npz(archive) => numpy::member(archive, name),
            Kind::Tensors(tensors) => tensor(tensors, name),
        };
        read.map_err(|found| self.wrong(format!("`{name}` of numbers"), &found))
    }
}

fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str) -> std::result::Result<Array<'a>, String> {
    let view = tensors.tensor(name).map_err(|error| error.to_string())?;
    let kind = match view.dtype() {
        Dtype::BOOL => "|b1",
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
        Dtype::U16 => "<u2",
        Dtype::I16 => "<i2",
        Dtype::U32 => "<u4",
        Dtype::I32 => "<i4",
        Dtype::U64 => "<u8",
        Dtype::I64 => "<i8",
        Dtype::F16 => "<f2",
        Dtype::BF16 => numpy::BFLOAT,
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        other => return Err(format!("numbers of type {other:?}")),
    };
    Array::new(kind, false, view.shape().to_vec(), Cow::Borrowed(view.data()))
}

#[cfg(test)]
mod tests;
