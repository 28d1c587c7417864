//! The two local losses that VGG-like networks are published with, each the layers before its loss.
//!
//! Source: Nokland & Eidnes, *Training neural networks with local error signals* (2019), section 2; the published `train.py`
//! (`LocalLossBlockConv`, `LocalLossBlockLinear`, `similarity_matrix`) with `--dim-in-decoder 2048`, as in its runs on CIFAR-10. What
//! `predsim` does otherwise: it predicts from square bins, by weights that are drawn, and convolves features too.

use crate::layers::{Conv2dSpec, FeaturePoolSpec, FlattenSpec, LayerSpec, LinearSpec, SpatialDeviationSpec};

/// Features that a prediction is made from at most.
const FEATURES: usize = 2048;

/// Channels from which on a map counts by its standard deviation; with fewer every pixel counts.
const DEVIATING: usize = 4;

/// What similarity is measured of: a linear map of features; of maps, the standard deviation of each channel of a 3x3 convolution.
pub fn similarity([channels, height, width]: [usize; 3]) -> Vec<LayerSpec> {
    let outputs = channels.into();
    if height * width == 1 {
        let linear = LinearSpec { outputs, bias: false, ..Default::default() };
        return vec![LayerSpec::from(linear).drawn_from("similarity")];
    }
    let conv = LayerSpec::from(Conv2dSpec { outputs, kernel: 3, padding: 1, ..Default::default() });
    let is_deviation = channels >= DEVIATING && height > 1;
    let rows = if is_deviation { SpatialDeviationSpec {}.into() } else { FlattenSpec {}.into() };
    vec![conv.drawn_from("similarity"), rows]
}

/// Means of windows, and a linear layer that says nothing before it has learnt.
pub fn prediction() -> Vec<LayerSpec> {
    let pool = FeaturePoolSpec { features: FEATURES };
    vec![pool.into(), FlattenSpec {}.into(), LinearSpec { zero: true, ..Default::default() }.into()]
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use crate::estimate::{EstimatorConfig, TrainHeads, View};
    use crate::models::{HeadKind, ModelConfig};
    use crate::rng::Placement;

    /// What a guess made of heads of a kind is refused with.
    fn refusal(head: HeadKind, guess: &str, train_heads: TrainHeads) -> Option<String> {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        let model = ModelConfig { width: 0.1, head, ..Default::default() };
        let network = model.init([1, 8, 8], 3, 0, &placement).expect("a network");
        let config = EstimatorConfig { guess: guess.parse().expect("a guess"), train_heads, ..Default::default() };
        config.validate_untrained(&View::new(&network)).err().map(|error| error.to_string())
    }

    #[test]
    fn a_prediction_that_never_learns_is_no_guess() {
        use TrainHeads::{Auto, No, Yes};
        for (guess, train) in [("ntk", Auto), ("local+ntk:2", Yes), ("fixed-ntk", Auto), ("local", No)] {
            let refused = refusal(HeadKind::Prediction, guess, train).expect("its weights stay at 0");
            assert!(refused.contains("estimator.guess = local") && refused.contains("block 0"), "{refused}");
            for head in [HeadKind::PredsimVgg, HeadKind::Similarity] {
                assert_eq!(refusal(head, guess, train), None, "{head}, {guess}");
            }
        }
        for (guess, train) in [("local", Auto), ("fixed-ntk", Yes), ("gaussian", No)] {
            assert_eq!(refusal(HeadKind::Prediction, guess, train), None, "{guess}");
        }
    }

    #[test]
    fn only_the_prediction_starts_at_0() {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        let model = ModelConfig { name: "vgg8b".into(), width: 0.1, head: HeadKind::PredsimVgg, ..Default::default() };
        let parameters = model.init([3, 32, 32], 10, 0, &placement).expect("a network").parameters();
        let is_zero = |path: &str| parameters.filtered(|own| own == path).norm() == 0.0;
        assert!(is_zero("heads.0.prediction.2.weight") && !is_zero("heads.0.prediction.2.bias"));
        assert!(!is_zero("heads.0.similarity.0.weight") && !is_zero("fc.weight"));
    }
}
