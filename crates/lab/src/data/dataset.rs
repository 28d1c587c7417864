//! Inputs in memory with their classes.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Augmentation, Label, LoadOptions, Normalisation, Source, augment, digest};
use crate::Result;
use foregrad::losses::LabelKind;
use foregrad::rng::Stream;

/// A number of an input: a byte of a picture, or any number.
pub trait Pixel: Copy + Default + Into<f32> + Into<f64> + Send + Sync + 'static {
    /// What stands for 1 in means and deviations.
    const UNIT: f32;

    /// The bytes of numbers, for digests.
    fn bytes(pixels: &[Self]) -> Cow<'_, [u8]>;

    /// Numbers as a person sees them, if that is known without the others.
    fn levels(pixels: &[Self]) -> Option<Vec<u8>>;
}

impl Pixel for u8 {
    const UNIT: f32 = 255.0;

    fn bytes(pixels: &[Self]) -> Cow<'_, [u8]> {
        pixels.into()
    }

    fn levels(pixels: &[Self]) -> Option<Vec<u8>> {
        Some(pixels.to_vec())
    }
}

impl Pixel for f32 {
    const UNIT: f32 = 1.0;

    fn bytes(pixels: &[Self]) -> Cow<'_, [u8]> {
        pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect()
    }

    fn levels(_: &[Self]) -> Option<Vec<u8>> {
        None
    }
}

/// Labelled images, `[n, channels, height, width]` bytes or numbers, and how to normalise them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset<P = u8> {
    /// Pixels, image by image, channel by channel, row by row.
    pub pixels: Vec<P>,
    /// The class of each image.
    pub labels: Vec<u16>,
    /// Channels, height and width of an image.
    pub shape: [usize; 3],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Mean of each channel; of bytes in units of 255.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel; of bytes in units of 255.
    pub deviation: Vec<f32>,
    /// How training images are varied, if they are.
    pub augmentation: Augmentation,
}

impl<P> Dataset<P> {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The numbers of one image.
    pub fn image(&self, index: usize) -> &[P] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// At most the first `limit` images.
    pub(super) fn truncated(mut self, limit: Option<usize>) -> Self {
        let (limit, size) = (limit.unwrap_or(usize::MAX), self.shape.iter().product());
        self.labels.truncate(limit);
        self.pixels.truncate(limit.saturating_mul(size));
        self
    }
}

impl<P: Pixel> Source for Dataset<P> {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn kind(&self) -> LabelKind {
        LabelKind::Classes(self.classes.len())
    }

    fn sample(&self, index: usize, vary: Option<Stream>, input: &mut [f32]) -> Result<Label> {
        augment::write(self, index, vary, input);
        Ok(Label::Class(self.labels[index].into()))
    }

    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }

    fn normalisation(&self) -> Option<Normalisation> {
        Some(Normalisation { mean: self.mean.clone(), deviation: self.deviation.clone() })
    }

    fn digest(&self) -> Result<String> {
        Ok(digest::of_all((0..self.len()).map(|index| P::bytes(self.image(index))), &self.labels))
    }

    fn picture(&self, index: usize) -> Result<Vec<u8>> {
        Ok(P::levels(self.image(index)).unwrap_or_else(|| stretched(self.image(index))))
    }
}

/// Numbers as levels, from the least to the greatest.
pub(super) fn stretched<P: Pixel>(numbers: &[P]) -> Vec<u8> {
    let numbers: Vec<f32> = numbers.iter().map(|number| (*number).into()).collect();
    let [least, most] = [f32::min, f32::max].map(|pick| numbers.iter().copied().fold(f32::NAN, pick));
    let range = if most > least { most - least } else { 1.0 };
    numbers.iter().map(|number| (255.0 * (number - least) / range).round() as u8).collect()
}

/// What a reader of files gives.
pub(super) struct Parts {
    pub train: Arc<dyn Source>,
    /// Where the files have validation images of their own.
    pub validation: Option<Arc<dyn Source>>,
    pub test: Arc<dyn Source>,
}

impl Parts {
    /// As many training and test images as are wanted; what is not is given back to the system.
    pub fn of<P: Pixel>([train, test]: [Dataset<P>; 2], options: &LoadOptions) -> Self {
        let (train, test) = (train.truncated(options.train_limit), test.truncated(options.test_limit));
        Self { train: Arc::new(train), validation: None, test: Arc::new(test) }
    }
}
