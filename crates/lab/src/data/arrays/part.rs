//! One part of a file of arrays: inputs of one shape, and what is known of each.

use super::Arrays;
use crate::Result;
use crate::data::MOST_CLASSES;
use crate::data::numpy::Array;
use foregrad::losses::Labels;

/// Inputs, sample by sample, channel by channel.
#[derive(Debug, Clone)]
pub enum Inputs {
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
}

/// Samples with their labels.
#[derive(Debug, Clone)]
pub struct Part {
    pub inputs: Inputs,
    pub shape: [usize; 3],
    pub labels: Labels,
}

impl Part {
    /// Reads `PREFIXimages` with `PREFIXlabels` or `PREFIXvalues`.
    pub fn read(file: &mut Arrays, prefix: &str) -> Result<Self> {
        let [images, labels, values] = ["images", "labels", "values"].map(|name| format!("{prefix}{name}"));
        let has = [file.has(&labels), file.has(&values)];
        let array = file.array(&images)?;
        let (inputs, shape) = inputs(file, &images, &array)?;
        let samples = array.shape[0];
        let labels = match has {
            [true, false] => classes(file, &labels, samples)?,
            [false, true] => values_of(file, &values, samples)?,
            _ => return Err(file.wrong(format!("either `{labels}` or `{values}`"), &file.listed())),
        };
        Ok(Self { inputs, shape, labels })
    }

    /// The names of the classes: each from 0 on has to have a sample here. None for values.
    pub fn classes(&self, file: &Arrays, prefix: &str) -> Result<Vec<String>> {
        let Labels::Classes { indices, classes } = &self.labels else { return Ok(Vec::new()) };
        let mut seen = vec![false; *classes];
        indices.iter().for_each(|class| seen[*class] = true);
        let missing = seen.iter().position(|seen| !seen);
        if *classes < 2 || missing.is_some() {
            let found =
                missing.map_or("one class".into(), |class| format!("labels up to {}, none {class}", classes - 1));
            let expected = format!("`{prefix}labels` of two or more classes, numbered from 0 without gaps");
            return Err(file.wrong(expected, &found));
        }
        Ok((0..*classes).map(|class| class.to_string()).collect())
    }

    /// Refuses what does not go with the training samples.
    pub fn check_like(&self, train: &Self, file: &Arrays, prefix: &str) -> Result<()> {
        let kinds = [train, self].map(|part| match part.inputs {
            Inputs::Bytes(_) => "bytes",
            Inputs::Numbers(_) => "floating-point numbers",
        });
        let texts = [(train, kinds[0]), (self, kinds[1])].map(|(part, kind)| format!("{:?} of {kind}", part.shape));
        if texts[0] != texts[1] {
            return Err(file.wrong(format!("`{prefix}images` as `train_images`, {} a sample", texts[0]), &texts[1]));
        }
        match (&train.labels, &self.labels) {
            (Labels::Classes { classes, .. }, Labels::Classes { classes: own, .. }) if own <= classes => Ok(()),
            (Labels::Values { width, .. }, Labels::Values { width: own, .. }) if own == width => Ok(()),
            (train, own) => Err(file.wrong(
                format!("`{prefix}labels` or values as in training, {}", train.kind()),
                &own.kind().to_string(),
            )),
        }
    }

    /// The samples of given numbers.
    pub fn chosen(&self, samples: &[usize]) -> Self {
        let size = self.shape.iter().product();
        let inputs = match &self.inputs {
            Inputs::Bytes(bytes) => Inputs::Bytes(rows(bytes, size, samples)),
            Inputs::Numbers(numbers) => Inputs::Numbers(rows(numbers, size, samples)),
        };
        let labels = match &self.labels {
            Labels::Classes { indices, classes } => Labels::classes(rows(indices, 1, samples), *classes),
            Labels::Values { rows: all, width } => Labels::values(rows(all, *width, samples), *width),
        };
        Self { inputs, shape: self.shape, labels }
    }
}

fn rows<T: Copy>(all: &[T], width: usize, chosen: &[usize]) -> Vec<T> {
    chosen.iter().flat_map(|row| &all[row * width..(row + 1) * width]).copied().collect()
}

/// Inputs, and channels, height and width of each.
fn inputs(file: &Arrays, name: &str, array: &Array) -> Result<(Inputs, [usize; 3])> {
    let are_bytes = array.is_bytes();
    let expected = "uint8 [n, h, w], [n, h, w, c] or [n, c, h, w] with 1 or 3 channels, floating-point numbers [n, c, h, w] or \
                    [n, h, w], or features [n, d]";
    let wrong = |found: String| file.wrong(format!("`{name}` of {expected}"), &found);
    if array.shape.contains(&0) || (array.is_whole() && !are_bytes) {
        return Err(wrong(array.described()));
    }
    let is_colour = |axis: usize| axis == 1 || axis == 3;
    let shape = match array.shape[..] {
        [_, features] => [features, 1, 1],
        [_, height, width] => [1, height, width],
        [_, first, height, last] if is_colour(first) && !is_colour(last) => [first, height, last],
        [_, height, width, last] if is_colour(last) && !is_colour(height) && are_bytes => [last, height, width],
        [_, first, _, last] if !are_bytes && is_colour(last) && !is_colour(first) => {
            return Err(wrong(format!("{}: move the last axis, {last}", array.described())));
        }
        [_, channels, height, width] if !are_bytes => [channels, height, width],
        [_, first, _, last] if is_colour(first) && is_colour(last) => {
            return Err(wrong(format!("{}, whose channels could be {first} or {last}", array.described())));
        }
        _ => return Err(wrong(array.described())),
    };
    if are_bytes {
        let is_last = array.shape.len() == 4 && array.shape[1] != shape[0];
        let bytes = if is_last { planes(&array.bytes, shape) } else { array.bytes.to_vec() };
        return Ok((Inputs::Bytes(bytes), shape));
    }
    let size: usize = shape.iter().product();
    let numbers: Vec<f32> = array.reals().map(|number| number as f32).collect();
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(place) => {
            Err(file.wrong(format!("`{name}` of finite numbers"), &not_finite(numbers[place], place / size)))
        }
        None => Ok((Inputs::Numbers(numbers), shape)),
    }
}

fn not_finite(number: impl std::fmt::Display, sample: usize) -> String {
    format!("{number} in sample {sample}")
}

/// Images whose channels come last as planes.
fn planes(bytes: &[u8], [channels, height, width]: [usize; 3]) -> Vec<u8> {
    let plane =
        |image: &[u8], channel: usize| image.iter().skip(channel).step_by(channels).copied().collect::<Vec<_>>();
    let images = bytes.chunks(channels * height * width);
    images.flat_map(|image| (0..channels).flat_map(|channel| plane(image, channel)).collect::<Vec<_>>()).collect()
}

/// Classes `[n]` or `[n, 1]`: whole numbers from 0, of whatever type.
fn classes(file: &mut Arrays, name: &str, samples: usize) -> Result<Labels> {
    let array = file.array(name)?;
    check_rows(file, name, &array, samples, "whole numbers", |width| width == 1)?;
    let class = |(sample, number): (usize, f64)| {
        let is_class = number.fract() == 0.0 && (0.0..MOST_CLASSES as f64).contains(&number);
        is_class.then_some(number as usize).ok_or_else(|| {
            let expected = format!("`{name}` of whole numbers from 0 to {}", MOST_CLASSES - 1);
            file.wrong(expected, &format!("{number} of sample {sample}"))
        })
    };
    let indices = array.reals().enumerate().map(class).collect::<Result<Vec<_>>>()?;
    let classes = indices.iter().max().map_or(0, |last| last + 1);
    Ok(Labels::classes(indices, classes))
}

/// Values `[n]` or `[n, k]`, as they are.
fn values_of(file: &mut Arrays, name: &str, samples: usize) -> Result<Labels> {
    let array = file.array(name)?;
    check_rows(file, name, &array, samples, "numbers", |width| width > 0)?;
    let rows: Vec<f64> = array.reals().collect();
    let width = rows.len() / samples;
    match rows.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(file.wrong(format!("`{name}` of finite numbers"), &not_finite(rows[place], place / width))),
        None => Ok(Labels::values(rows, width)),
    }
}

/// Refuses an array that has no row of a good width for every sample.
fn check_rows(
    file: &Arrays,
    name: &str,
    array: &Array,
    samples: usize,
    what: &str,
    is_good: fn(usize) -> bool,
) -> Result<()> {
    match array.shape[..] {
        [rows] if rows == samples => Ok(()),
        [rows, width] if rows == samples && is_good(width) => Ok(()),
        _ => Err(file.wrong(format!("`{name}` of {what}, one row for each of {samples} samples"), &array.described())),
    }
}
