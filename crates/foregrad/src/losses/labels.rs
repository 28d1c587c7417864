//! What is wanted of the outputs of a mini-batch.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::rng::Placement;
use crate::{Error, Result};

/// What is wanted of a mini-batch's outputs: a class or some values a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// A class a sample.
    Classes {
        /// The class of each sample, below `classes`.
        indices: Vec<usize>,
        /// The number of classes.
        classes: usize,
    },
    /// Values a sample, for regression.
    Values {
        /// `width` numbers a sample, sample by sample.
        rows: Vec<f64>,
        /// Values a sample.
        width: usize,
    },
}

/// What the outputs of a network stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// One output a class, of so many.
    Classes(usize),
    /// One output a value, of so many.
    Values(usize),
}

impl LabelKind {
    /// The number of outputs.
    pub fn outputs(self) -> usize {
        match self {
            LabelKind::Classes(outputs) | LabelKind::Values(outputs) => outputs,
        }
    }
}

/// Classes, of so many.
impl From<usize> for LabelKind {
    fn from(classes: usize) -> Self {
        LabelKind::Classes(classes)
    }
}

impl std::fmt::Display for LabelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LabelKind::Classes(classes) => write!(f, "{classes} classes"),
            LabelKind::Values(1) => f.write_str("1 value"),
            LabelKind::Values(width) => write!(f, "{width} values"),
        }
    }
}

impl Labels {
    /// A class a sample, each below `classes`.
    pub fn classes(indices: Vec<usize>, classes: usize) -> Self {
        Labels::Classes { indices, classes }
    }

    /// `width` values a sample, sample by sample.
    pub fn values(rows: Vec<f64>, width: usize) -> Self {
        Labels::Values { rows, width }
    }

    /// What outputs these labels are for.
    pub fn kind(&self) -> LabelKind {
        match self {
            Labels::Classes { classes, .. } => LabelKind::Classes(*classes),
            Labels::Values { width, .. } => LabelKind::Values(*width),
        }
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        match self {
            Labels::Classes { indices, .. } => indices.len(),
            Labels::Values { rows, width } => rows.len().checked_div(*width).unwrap_or(0),
        }
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels of one sample.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn of_sample(&self, sample: usize) -> Self {
        self.of_samples(sample..sample + 1)
    }

    /// The labels of some consecutive samples.
    ///
    /// # Panics
    /// If there are no such samples.
    pub fn of_samples(&self, samples: Range<usize>) -> Self {
        match self {
            Labels::Classes { indices, classes } => Self::classes(indices[samples].to_vec(), *classes),
            Labels::Values { rows, width } => {
                Self::values(rows[samples.start * width..samples.end * width].to_vec(), *width)
            }
        }
    }

    /// Refuses labels that are not one a sample, classes beyond their number, and values that are not finite.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn validate(&self, samples: usize) -> Result<()> {
        if self.len() != samples {
            return Err(Error::out_of_range("the number of labels", self.len(), format!("{samples}, one a sample")));
        }
        let wrong = |sample: usize, found: String, expected: String| {
            Err(Error::out_of_range(format!("the label of sample {sample}"), found, expected))
        };
        match self {
            Labels::Classes { indices, classes } => match indices.iter().position(|index| index >= classes) {
                Some(sample) => wrong(sample, indices[sample].to_string(), format!("a class below {classes}")),
                None => Ok(()),
            },
            Labels::Values { rows, width } if rows.len() != samples * width => {
                let expected = format!("{}, {width} a sample", samples * width);
                Err(Error::out_of_range("the number of values", rows.len(), expected))
            }
            Labels::Values { rows, width } => match rows.iter().position(|value| !value.is_finite()) {
                Some(place) => wrong(place / width, rows[place].to_string(), "a finite value".into()),
                None => Ok(()),
            },
        }
    }

    /// One row a sample: 1 at its class and 0 elsewhere, or its values; `[n, outputs]`.
    ///
    /// # Panics
    /// If the labels are not valid.
    pub fn rows(&self, placement: &Placement) -> Tensor<2> {
        self.validate(self.len()).unwrap_or_else(|error| panic!("{error}"));
        let shape @ [_, outputs] = [self.len(), self.kind().outputs()];
        let values = match self {
            Labels::Values { rows, .. } => rows.clone(),
            Labels::Classes { indices, .. } => {
                let mut values = vec![0.0; shape[0] * outputs];
                indices.iter().enumerate().for_each(|(row, index)| values[row * outputs + index] = 1.0);
                values
            }
        };
        placement.tensor(values, shape)
    }

    /// The rows that outputs `z`, `[n, outputs]`, are compared with.
    pub(super) fn wanted(&self, z: &Tensor<2>) -> Tensor<2> {
        assert_eq!(z.dims(), [self.len(), self.kind().outputs()], "outputs against labels");
        self.rows(&Placement::of(z))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn wrong_labels_are_refused_with_what_was_expected() {
        let refused = |labels: Labels, samples| labels.validate(samples).expect_err("refused").to_string();
        let classes = || Labels::classes(vec![0, 3, 1], 3);
        assert!(refused(classes(), 3).contains("the label of sample 1 is 3; expected a class below 3"));
        assert!(refused(classes(), 4).contains("the number of labels is 3; expected 4, one a sample"));
        let values = |rows: &[f64]| Labels::values(rows.to_vec(), 2);
        assert!(refused(values(&[0.0; 5]), 2).contains("the number of values is 5; expected 4, 2 a sample"));
        assert!(refused(values(&[0.0, 1.0, 2.0, f64::NAN]), 2).contains("the label of sample 1 is NaN"));
        assert!(refused(Labels::values(vec![1.0], 0), 1).contains("the number of labels is 0"));
        assert!(values(&[0.0; 4]).validate(2).is_ok() && Labels::classes(vec![2, 0], 3).validate(2).is_ok());
    }

    #[test]
    fn a_row_is_what_the_outputs_should_be() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let rows = |labels: &Labels| crate::ops::host(labels.rows(&placement));
        let (classes, values) = (Labels::classes(vec![2, 0], 3), Labels::values(vec![1.5, -2.0, 0.0, 4.0], 2));
        assert_eq!(rows(&classes), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(rows(&values), [1.5, -2.0, 0.0, 4.0]);
        assert_eq!(rows(&classes.of_sample(1)), [1.0, 0.0, 0.0]);
        assert_eq!(rows(&values.of_sample(1)), [0.0, 4.0]);
    }
}
