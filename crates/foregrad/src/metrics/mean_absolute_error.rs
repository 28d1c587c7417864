//! How far outputs are from the values that are wanted.

use burn::tensor::Tensor;

use super::Metric;
use crate::losses::Labels;
use crate::ops;

/// The mean over outputs of `|z - value|`, a sample; in the units of the values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanAbsoluteError;

impl Metric for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mean-absolute-error"
    }

    fn sum(&self, z: &Tensor<4>, labels: &Labels) -> Option<f64> {
        let Labels::Values { rows, width } = labels else { return None };
        let outputs = ops::host(z.clone());
        Some(outputs.iter().zip(rows).map(|(z, value)| (z - value).abs()).sum::<f64>() / *width as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Placement;
    use burn::tensor::{DType, Device};

    #[test]
    fn it_is_a_sum_over_samples_of_means_over_outputs() {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let z: Tensor<4> = placement.tensor(vec![1.0, 2.0, -1.0, 0.0], [2, 2, 1, 1]);
        assert_eq!(MeanAbsoluteError.sum(&z, &Labels::values(vec![0.0, 4.0, -1.0, 1.0], 2)), Some(2.0));
        assert_eq!(MeanAbsoluteError.sum(&z, &Labels::classes(vec![0, 1], 2)), None);
    }
}
