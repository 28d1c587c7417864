//! Images in memory, and the three parts of a data set.

use super::Augmentation;

/// Labelled images, `[n, channels, height, width]` bytes, and how to normalise them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Pixels, image by image, channel by channel, row by row.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u16>,
    /// Channels, height and width of an image.
    pub shape: [usize; 3],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Mean of each channel, in units of 255.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in units of 255.
    pub deviation: Vec<f32>,
    /// How training images are varied, if they are.
    pub augmentation: Augmentation,
}

impl Dataset {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of one image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The images of given numbers.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let pixels = indices.iter().flat_map(|index| self.image(*index)).copied().collect();
        let labels = indices.iter().map(|index| self.labels[*index]).collect();
        Self { pixels, labels, ..self.without_images() }
    }

    fn without_images(&self) -> Self {
        Self {
            pixels: Vec::new(),
            labels: Vec::new(),
            shape: self.shape,
            classes: self.classes.clone(),
            mean: self.mean.clone(),
            deviation: self.deviation.clone(),
            augmentation: self.augmentation,
        }
    }

    /// At most the first `limit` images.
    pub(super) fn truncated(mut self, limit: usize) -> Self {
        let size: usize = self.shape.iter().product();
        self.labels.truncate(limit);
        self.pixels.truncate(limit.saturating_mul(size));
        self
    }
}

/// Training, validation and test images.
#[derive(Debug, Clone)]
pub struct Splits {
    /// Images to learn from.
    pub train: Dataset,
    /// Images held back from the training set; empty unless asked for.
    pub validation: Dataset,
    /// Images to judge by.
    pub test: Dataset,
}

/// What a reader of files gives.
pub(super) struct Parts {
    pub train: Dataset,
    /// Where the files have validation images of their own.
    pub validation: Option<Dataset>,
    pub test: Dataset,
}

impl From<[Dataset; 2]> for Parts {
    fn from([train, test]: [Dataset; 2]) -> Self {
        Self { train, validation: None, test }
    }
}
