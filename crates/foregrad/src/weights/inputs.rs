//! What a single step is given in files: a batch and guesses.

use std::path::Path;

use burn::tensor::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{each, floats, from_bytes, parse, wrong_type};
use crate::losses::Labels;
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Error, Result};

/// The tensors of a batch, by their names in the file.
const IMAGES: &str = "images";
const LABELS: &str = "labels";
const VALUES: &str = "values";

/// `images` `[n, channels, height, width]` and what is wanted of them: `labels`, a class each, or a row with a single 1 each; or `values`,
/// `[n]` or `[n, k]`.
///
/// # Errors
/// A file of something else, tensors that are missing or of other numbers or shapes, labels beyond the classes.
pub fn read_batch(path: &Path, bytes: &[u8], classes: usize, placement: &Placement) -> Result<(Tensor<4>, Labels)> {
    let file = parse(path, bytes)?;
    let images = images(path, &tensor(path, &file, IMAGES)?, placement)?;
    let has = |name: &str| file.names().contains(&name);
    let labels = match (has(LABELS), has(VALUES)) {
        (true, true) => return Err(Error::bad_file(path, "`labels` or `values`", "both")),
        (false, true) => values(path, &tensor(path, &file, VALUES)?)?,
        _ => Labels::classes(classes_of(path, &tensor(path, &file, LABELS)?, classes)?, classes),
    };
    let count = images.dims()[0];
    if labels.len() != count {
        return Err(Error::bad_file(path, format!("{count} labels, one an image"), labels.len().to_string()));
    }
    Ok((images, labels))
}

/// A class an image, each of which is known.
fn classes_of(path: &Path, view: &TensorView, classes: usize) -> Result<Vec<usize>> {
    let found = labels(path, view)?;
    if let Some(image) = found.iter().position(|label| !(0..classes as i64).contains(label)) {
        let expected = format!("labels from 0 to {}", classes.saturating_sub(1));
        return Err(Error::bad_file(path, expected, format!("{} of image {image}", found[image])));
    }
    Ok(found.into_iter().map(|label| label as usize).collect())
}

/// Values, a row an image.
fn values(path: &Path, view: &TensorView) -> Result<Labels> {
    let width = match *view.shape() {
        [_] => 1,
        [_, width] if width > 0 => width,
        _ => return Err(Error::bad_file(path, "`values` of shape [n] or [n, k]", format!("shape {:?}", view.shape()))),
    };
    let rows = floats(view).ok_or_else(|| wrong_type(path, VALUES, "floating-point numbers", view))?;
    if let Some(place) = rows.iter().position(|value| !value.is_finite()) {
        return Err(Error::bad_file(path, "finite `values`", format!("{} of image {}", rows[place], place / width)));
    }
    Ok(Labels::values(rows, width))
}

fn tensor<'a>(path: &Path, file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>> {
    file.tensor(name).map_err(|_| {
        let mut names = file.names();
        names.sort_unstable();
        names.truncate(5);
        Error::bad_file(path, "`images` and `labels` (or `values`)", format!("no `{name}` (but {})", names.join(", ")))
    })
}

fn images(path: &Path, view: &TensorView, placement: &Placement) -> Result<Tensor<4>> {
    let wanted = "`images` of shape [n, channels, height, width]";
    let shape: [usize; 4] = match view.shape().try_into() {
        Ok(shape) if !view.shape().contains(&0) => shape,
        _ => return Err(Error::bad_file(path, wanted, format!("shape {:?}", view.shape()))),
    };
    let [_, channels, height, width] = shape;
    if channels > 4 && width <= 4 && width < height {
        let found = format!("shape {shape:?}, which looks like [n, height, width, channels]: move the last axis");
        return Err(Error::bad_file(path, wanted, found));
    }
    let normalised = "floating-point numbers, normalised as for training";
    let values = floats(view).ok_or_else(|| wrong_type(path, IMAGES, normalised, view))?;
    Ok(placement.tensor(values, shape))
}

/// A class an image.
fn labels(path: &Path, view: &TensorView) -> Result<Vec<i64>> {
    let numbers = whole_numbers(view).ok_or_else(|| wrong_type(path, LABELS, "whole numbers", view))?;
    match *view.shape() {
        [_] | [_, 1] => Ok(numbers),
        [_, classes] if classes > 1 => {
            let rows = numbers.chunks(classes).map(single).collect::<Option<_>>();
            rows.ok_or_else(|| Error::bad_file(path, "rows of `labels` with a single 1 each", "other rows"))
        }
        _ => Err(Error::bad_file(path, "`labels` of shape [n]", format!("shape {:?}", view.shape()))),
    }
}

/// Where a row has its only 1 among zeros.
fn single(row: &[i64]) -> Option<i64> {
    let ones = row.iter().filter(|number| **number == 1).count();
    let zeros = row.iter().filter(|number| **number == 0).count();
    let place = row.iter().position(|number| *number == 1)?;
    (ones == 1 && zeros == row.len() - 1).then_some(place as i64)
}

/// Whole numbers of whatever type.
fn whole_numbers(view: &TensorView) -> Option<Vec<i64>> {
    let numbers: Vec<Option<i64>> = match view.dtype() {
        Dtype::BOOL | Dtype::U8 => each(view, |bytes| Some(u8::from_le_bytes(bytes).into())),
        Dtype::I8 => each(view, |bytes| Some(i8::from_le_bytes(bytes).into())),
        Dtype::U16 => each(view, |bytes| Some(u16::from_le_bytes(bytes).into())),
        Dtype::I16 => each(view, |bytes| Some(i16::from_le_bytes(bytes).into())),
        Dtype::U32 => each(view, |bytes| Some(u32::from_le_bytes(bytes).into())),
        Dtype::I32 => each(view, |bytes| Some(i32::from_le_bytes(bytes).into())),
        Dtype::U64 => each(view, |bytes| i64::try_from(u64::from_le_bytes(bytes)).ok()),
        Dtype::I64 => each(view, |bytes| Some(i64::from_le_bytes(bytes))),
        _ => floats(view)?.into_iter().map(whole).collect(),
    };
    numbers.into_iter().collect()
}

/// A floating-point number that is whole; up to 2^53 each of them is.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < (1u64 << 53) as f64).then_some(number as i64)
}

/// The guesses of a file: `guess/D/PATH` as `D.PATH`.
///
/// # Errors
/// A file of something else, or without guesses.
pub fn read_guesses(path: &Path, bytes: &[u8], placement: &Placement) -> Result<ParamVector> {
    let (tensors, _) = from_bytes(path, bytes, placement)?;
    let mut guesses = ParamVector::default();
    for (name, entry) in tensors.iter() {
        match name.strip_prefix("guess/").and_then(|rest| rest.split_once('/')) {
            Some((direction, inner)) => {
                // Older files call the output of a block `block.J`.
                let inner = inner.strip_prefix("block.").map_or(inner.into(), |block| format!("blocks.{block}"));
                guesses.insert_entry(format!("{direction}.{inner}"), entry.clone());
            }
            // What a step writes beside its guesses.
            None if ["update/", "scalar/", "loss/", "state/"].iter().any(|beside| name.starts_with(beside)) => {}
            None => return Err(Error::bad_file(path, "tensors named guess/D/PATH", format!("`{name}`"))),
        }
    }
    if guesses.is_empty() {
        return Err(Error::bad_file(path, "tensors named guess/D/PATH", "none"));
    }
    Ok(guesses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    fn batch(images: (Dtype, &[usize], &[u8]), labels: (Dtype, &[usize], &[u8])) -> Vec<u8> {
        let images = TensorView::new(images.0, images.1.to_vec(), images.2).expect("a tensor");
        let labels = TensorView::new(labels.0, labels.1.to_vec(), labels.2).expect("a tensor");
        safetensors::serialize([("images", images), ("labels", labels)], None).expect("a file")
    }

    fn read(bytes: &[u8]) -> std::result::Result<Vec<usize>, String> {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let read = read_batch(Path::new("b"), bytes, 3, &placement);
        let indices = |labels| match labels {
            Labels::Classes { indices, .. } => indices,
            values => panic!("{values:?}"),
        };
        read.map(|(_, labels)| indices(labels)).map_err(|error| error.to_string())
    }

    /// Two images of one element, in half precision.
    const HALVES: (Dtype, &[usize], &[u8]) = (Dtype::F16, &[2, 1, 1, 1], &[0, 60, 0, 188]);

    #[test]
    fn labels_of_every_type_are_read_if_they_are_clear() {
        let f32_row: Vec<u8> = [0.0f32, 0.0, 1.0, 0.0, 1.0, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let cases: [(Dtype, &[usize], &[u8]); 6] = [
            (Dtype::U8, &[2], &[2, 1]),
            (Dtype::I8, &[2, 1], &[2, 1]),
            (Dtype::I32, &[2], &[2, 0, 0, 0, 1, 0, 0, 0]),
            (Dtype::U64, &[2], &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
            (Dtype::BF16, &[2], &[0, 64, 128, 63]),
            (Dtype::F32, &[2, 3], &f32_row),
        ];
        for labels in cases {
            assert_eq!(read(&batch(HALVES, labels)), Ok(vec![2, 1]), "{labels:?}");
        }
    }

    #[test]
    fn what_is_not_clear_is_named() {
        let error = |images, labels| read(&batch(images, labels)).expect_err("refused");
        let labels: (Dtype, &[usize], &[u8]) = (Dtype::U8, &[2], &[0, 1]);
        assert!(error(HALVES, (Dtype::I8, &[2], &[0, 255])).contains("labels from 0 to 2, found -1 of image 1"));
        assert!(error(HALVES, (Dtype::U8, &[2, 2], &[1, 1, 0, 1])).contains("single 1"));
        assert!(error(HALVES, (Dtype::F16, &[2], &[0, 56, 0, 60])).contains("`labels` of whole numbers"));
        assert!(error((Dtype::U8, &[2, 1, 1, 1], &[1, 2]), labels).contains("without sign (U8)"));
        assert!(error((Dtype::F32, &[2], &[0; 8]), labels).contains("shape [2]"));
        assert!(error((Dtype::F16, &[1, 8, 8, 1], &[0; 128]), labels).contains("move the last axis"));
        let alone = TensorView::new(Dtype::F32, vec![1], &[0; 4]).expect("a tensor");
        let alone = safetensors::serialize([("x", alone)], None).expect("a file");
        assert!(read(&alone).expect_err("refused").contains("no `images` (but x)"));
    }

    #[test]
    fn values_stand_for_labels_and_are_finite_rows() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let bytes = |names: &[&str], shape: &[usize], values: &[f32]| {
            let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let view = TensorView::new(Dtype::F32, shape.to_vec(), &data).expect("a tensor");
            let images = TensorView::new(HALVES.0, HALVES.1.to_vec(), HALVES.2).expect("a tensor");
            let all = names.iter().map(|name| (*name, view.clone())).chain([("images", images)]);
            safetensors::serialize(all, None).expect("a file")
        };
        let read = |bytes: &[u8]| read_batch(Path::new("b"), bytes, 3, &placement).map(|(_, labels)| labels);
        let found = read(&bytes(&["values"], &[2, 2], &[1.0, 2.0, -3.0, 0.5])).expect("values");
        assert_eq!(found, Labels::values(vec![1.0, 2.0, -3.0, 0.5], 2));
        let refused = |bytes: &[u8]| read(bytes).expect_err("refused").to_string();
        assert!(refused(&bytes(&["values"], &[2], &[1.0, f32::NAN])).contains("finite `values`, found NaN of image 1"));
        assert!(refused(&bytes(&["values"], &[3], &[1.0; 3])).contains("2 labels, one an image, found 3"));
        assert!(refused(&bytes(&["values"], &[2, 1, 1], &[1.0; 2])).contains("shape [2, 1, 1]"));
        assert!(refused(&bytes(&["values", "labels"], &[2], &[1.0; 2])).contains("found both"));
    }
}
