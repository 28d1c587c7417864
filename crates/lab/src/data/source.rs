//! What a run needs of data: a [`Source`] of samples to learn from, and two to judge by.
//!
//! Order, batches, the thread that makes them ahead and what a checkpoint remembers of the data follow from the trait's four methods:
//!
//! ```
//! use foregrad::{losses::LabelKind, rng::Stream};
//! use foregrad_lab::data::{Label, Source, Splits};
//!
//! /// Points in the square, to be told by the sign of their product.
//! #[derive(Debug)]
//! struct Quadrants(usize);
//!
//! impl Source for Quadrants {
//!     fn len(&self) -> usize { self.0 }
//!     fn shape(&self) -> [usize; 3] { [2, 1, 1] }
//!     fn kind(&self) -> LabelKind { LabelKind::Classes(2) }
//!     fn sample(&self, index: usize, _vary: Option<Stream>, input: &mut [f32]) -> foregrad::Result<Label> {
//!         let point = Stream::new(0, "quadrants").at(index as u64).uniform(2, -1.0, 1.0);
//!         input.copy_from_slice(&[point[0] as f32, point[1] as f32]);
//!         Ok(Label::Class(usize::from(point[0] * point[1] > 0.0)))
//!     }
//! }
//! let splits = Splits::new(Quadrants(200), Quadrants(50));
//! assert_eq!([splits.train.len(), splits.validation.len(), splits.test.len()], [200, 0, 50]);
//! ```

use std::fmt;
use std::sync::Arc;

use super::dataset::stretched;
use super::{Normalisation, digest};
use crate::Result;
use foregrad::losses::LabelKind;
use foregrad::rng::Stream;

/// What is known of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// Its class, from 0.
    Class(usize),
    /// Its values, for regression.
    Values(Vec<f64>),
}

/// A set of samples. Four methods are enough; the others say more about the data, or do it faster.
pub trait Source: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Channels, height and width of an input; of features their number, 1 and 1.
    fn shape(&self) -> [usize; 3];

    /// What the labels are.
    fn kind(&self) -> LabelKind;

    /// Writes the input of a sample as the network gets it, and gives its label. `vary` is there when it is learnt from: what is drawn to
    /// vary it (crops, noise) comes from this stream, which depends on the run's seed, the epoch and the sample.
    ///
    /// # Errors
    /// A sample that cannot be had; the run ends.
    fn sample(&self, index: usize, vary: Option<Stream>, input: &mut [f32]) -> Result<Label>;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The order of an epoch, as many numbers of samples as there are samples: by default each once.
    fn order(&self, draws: Stream) -> Vec<usize> {
        draws.permutation(self.len())
    }

    /// The names of the classes: by default their numbers; none for values.
    fn classes(&self) -> Vec<String> {
        match self.kind() {
            LabelKind::Classes(classes) => (0..classes).map(|class| class.to_string()).collect(),
            LabelKind::Values(_) => Vec::new(),
        }
    }

    /// How the inputs are normalised, if they are: a run keeps it beside its weights.
    fn normalisation(&self) -> Option<Normalisation> {
        None
    }

    /// What tells these samples from others, so that a run is not resumed on them: by default that of 64 samples.
    ///
    /// # Errors
    /// A sample that cannot be had.
    fn digest(&self) -> Result<String> {
        digest::of_some(self)
    }

    /// An input as a person looks at it, a byte a number: by default from the least to the greatest.
    ///
    /// # Errors
    /// A sample that cannot be had.
    fn picture(&self, index: usize) -> Result<Vec<u8>> {
        let mut input = vec![0.0; self.shape().iter().product()];
        self.sample(index, None, &mut input)?;
        Ok(stretched(&input))
    }
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples of {:?} with {}", self.len(), self.shape(), self.kind())
    }
}

/// Samples to learn from, and to judge by.
#[derive(Debug, Clone)]
pub struct Splits {
    /// Samples to learn from.
    pub train: Arc<dyn Source>,
    /// Samples held back from them; may be empty.
    pub validation: Arc<dyn Source>,
    /// Samples to judge by.
    pub test: Arc<dyn Source>,
    /// Whether training samples are varied unless a run says otherwise.
    pub augment: bool,
}

impl Splits {
    /// Without validation samples; a source decides itself whether it varies its samples.
    pub fn new(train: impl Source + 'static, test: impl Source + 'static) -> Self {
        let train: Arc<dyn Source> = Arc::new(train);
        let validation = Arc::new(Subset::new(train.clone(), Vec::new()));
        Self { train, validation, test: Arc::new(test), augment: true }
    }

    /// The same with samples to choose settings by.
    pub fn with_validation(self, validation: impl Source + 'static) -> Self {
        Self { validation: Arc::new(validation), ..self }
    }
}

/// Some samples of another source.
#[derive(Debug)]
pub struct Subset {
    all: Arc<dyn Source>,
    chosen: Vec<usize>,
}

impl Subset {
    /// The samples of given numbers, in their order.
    pub fn new(all: Arc<dyn Source>, chosen: Vec<usize>) -> Self {
        Self { all, chosen }
    }
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.all.shape()
    }

    fn kind(&self) -> LabelKind {
        self.all.kind()
    }

    fn sample(&self, index: usize, vary: Option<Stream>, input: &mut [f32]) -> Result<Label> {
        self.all.sample(self.chosen[index], vary, input)
    }

    fn classes(&self) -> Vec<String> {
        self.all.classes()
    }

    fn normalisation(&self) -> Option<Normalisation> {
        self.all.normalisation()
    }

    fn digest(&self) -> Result<String> {
        // Of no sample, the others are not looked at.
        let all = if self.chosen.is_empty() { String::new() } else { self.all.digest()? };
        Ok(digest::of_chosen(&all, &self.chosen))
    }

    fn picture(&self, index: usize) -> Result<Vec<u8>> {
        self.all.picture(self.chosen[index])
    }
}

/// Inputs with values in place of their classes.
#[derive(Debug)]
pub struct Valued<S> {
    inputs: S,
    rows: Vec<f64>,
    width: usize,
}

impl<S: Source> Valued<S> {
    /// `width` values a sample, sample by sample.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn new(inputs: S, rows: Vec<f64>, width: usize) -> Self {
        assert_eq!(inputs.len() * width, rows.len(), "{width} values a sample");
        Self { inputs, rows, width }
    }
}

impl<S: Source> Source for Valued<S> {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.inputs.shape()
    }

    fn kind(&self) -> LabelKind {
        LabelKind::Values(self.width)
    }

    fn sample(&self, index: usize, vary: Option<Stream>, input: &mut [f32]) -> Result<Label> {
        self.inputs.sample(index, vary, input)?;
        Ok(Label::Values(self.rows[index * self.width..(index + 1) * self.width].to_vec()))
    }

    fn normalisation(&self) -> Option<Normalisation> {
        self.inputs.normalisation()
    }

    fn digest(&self) -> Result<String> {
        Ok(digest::of_values(&self.inputs.digest()?, &self.rows))
    }

    fn picture(&self, index: usize) -> Result<Vec<u8>> {
        self.inputs.picture(index)
    }
}
