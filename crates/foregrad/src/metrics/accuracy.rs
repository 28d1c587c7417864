//! The part of samples that are classified rightly.

use burn::tensor::Tensor;

use super::Metric;
use crate::losses::Labels;
use crate::ops;

/// 1 for a sample whose class has the largest output of all, else 0: one that shares it with another class counts as wrong.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Accuracy;

impl Accuracy {
    /// The metric's name.
    pub const NAME: &str = "accuracy";
}

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn sum(&self, z: &Tensor<4>, labels: &Labels) -> Option<f64> {
        let Labels::Classes { indices, classes } = labels else { return None };
        let outputs = ops::host(z.clone());
        let rows = outputs.chunks(*classes).zip(indices);
        let is_right =
            |row: &[f64], label: usize| row.iter().enumerate().all(|(class, z)| *z < row[label] || class == label);
        Some(rows.filter(|(row, label)| is_right(row, **label)).count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Placement;
    use burn::tensor::{DType, Device};

    #[test]
    fn only_the_largest_output_alone_is_right() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let z: Tensor<4> = placement.tensor(vec![1.0, 2.0, 2.0, 1.0, 3.0, 3.0], [3, 2, 1, 1]);
        assert_eq!(Accuracy.sum(&z, &Labels::classes(vec![1, 1, 0], 2)), Some(1.0));
        assert_eq!(Accuracy.sum(&z, &Labels::values(vec![0.0; 6], 2)), None);
    }
}
