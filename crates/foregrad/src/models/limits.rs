//! Settings of a network in their ranges, and sizes that no machine is asked to hold.

use super::{HeadKind, MODELS, ModelConfig};
use crate::losses::LabelKind;
use crate::{Error, Result};

/// Weights of the trunk, about; 34 GB in single precision.
const MOST_WEIGHTS: f64 = (1u64 << 33) as f64;

/// Values of one image after the first layer: 4 GiB.
const MOST_VALUES: f64 = (1u64 << 30) as f64;

/// Residual blocks a stage; the deepest that were published have 200.
const MOST_BLOCKS: usize = 1024;

/// Labels are 16-bit numbers.
const MOST_OUTPUTS: usize = 1 << 16;

impl ModelConfig {
    /// The number of blocks.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn depth(&self) -> Result<usize> {
        match self.name.as_str() {
            "small-net" => Ok(6),
            "resnet18-8b" => Ok(4 * self.blocks_per_stage),
            "resnet18-16b" => Ok(16),
            "resnet18-2b" => Ok(2),
            "mlp" => Ok(3),
            other => {
                Err(Error::unknown_name("model", other, &MODELS.iter().map(|(name, _)| *name).collect::<Vec<_>>()))
            }
        }
    }

    /// Refuses settings outside their ranges, before any image is there.
    ///
    /// # Errors
    /// [`Error::UnknownName`], [`Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        if !(self.width > 0.0 && self.width.is_finite() && self.width <= 64.0) {
            return Err(Error::out_of_range("model.width", self.width, "a factor above 0, at most 64"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(Error::out_of_range(
                "model.label-smoothing",
                self.label_smoothing,
                "a number from 0 to below 1",
            ));
        }
        if !(1..=MOST_BLOCKS).contains(&self.blocks_per_stage) {
            let expected = format!("from 1 to {MOST_BLOCKS}");
            return Err(Error::out_of_range("model.blocks-per-stage", self.blocks_per_stage, expected));
        }
        // Two 3x3 convolutions between the widest layers a block, at most.
        let widest = 512.0 * self.width;
        let weights = self.depth()? as f64 * 2.0 * 9.0 * widest * widest;
        if weights > MOST_WEIGHTS {
            let found = format!("{} (up to {weights:.0e} weights)", self.width);
            return Err(Error::out_of_range(
                "model.width",
                found,
                format!("a network of at most {MOST_WEIGHTS:.0e} weights"),
            ));
        }
        Ok(())
    }

    /// Refuses images and classes that the network cannot take, without making it.
    ///
    /// # Errors
    /// [`Error::UnknownName`], [`Error::OutOfRange`].
    pub fn validate_for(&self, [channels, height, width]: [usize; 3], labels: impl Into<LabelKind>) -> Result<()> {
        self.validate()?;
        let labels = labels.into();
        self.validate_labels(labels)?;
        let found = || format!("{channels}x{height}x{width} with {labels}");
        let least = if self.name == "small-net" && self.pool { 8 } else { 1 };
        let fewest = match labels {
            LabelKind::Classes(_) => LabelKind::Classes(2),
            LabelKind::Values(_) => LabelKind::Values(1),
        };
        if height.min(width) < least || channels == 0 || labels.outputs() < fewest.outputs() {
            let expected = format!("at least 1 channel, {least} pixels a side and {fewest} for `{}`", self.name);
            return Err(Error::out_of_range("the image", found(), expected));
        }
        if labels.outputs() > MOST_OUTPUTS {
            return Err(Error::out_of_range("the image", found(), format!("at most {MOST_OUTPUTS} outputs")));
        }
        let pixels = height as f64 * width as f64;
        let values = channels as f64 * pixels;
        let [largest, most] = match self.name.as_str() {
            "mlp" => [values * 512.0 * self.width, MOST_WEIGHTS],
            _ => [values.max(pixels * 64.0 * self.width), MOST_VALUES],
        };
        if largest > most {
            let expected = format!("at most {most:.0e} numbers in the first layer, not {largest:.0e}");
            return Err(Error::out_of_range("the image", found(), expected));
        }
        Ok(())
    }

    /// Refuses what only classes have, for values.
    fn validate_labels(&self, labels: LabelKind) -> Result<()> {
        if let LabelKind::Classes(_) = labels {
            return Ok(());
        }
        if self.label_smoothing > 0.0 {
            let expected = format!("0 for {labels}: only classes are smoothed");
            return Err(Error::out_of_range("model.label-smoothing", self.label_smoothing, expected));
        }
        if self.head == HeadKind::Predsim {
            let expected = format!("cnn, mlp or linear for {labels}: similarity matching needs classes");
            return Err(Error::out_of_range("model.head", self.head, expected));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::rng::Placement;

    #[test]
    fn the_depth_is_that_of_the_network() {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        for (name, _) in MODELS {
            for blocks_per_stage in [1, 2] {
                let config =
                    ModelConfig { name: name.to_string(), width: 0.02, blocks_per_stage, ..Default::default() };
                let network = config.init([1, 8, 8], 2, 0, &placement).expect("a network");
                assert_eq!(config.depth().expect("a model"), network.depth(), "{name}");
            }
        }
    }

    #[test]
    fn what_no_machine_holds_is_refused_and_what_is_in_use_is_not() {
        let config = |name: &str, width: f64| ModelConfig { name: name.into(), width, ..Default::default() };
        for (name, _) in MODELS {
            config(name, 4.0).validate_for([3, 224, 224], 1000).expect("a network of ImageNet's");
        }
        for (wrong, image, classes, words) in [
            (config("resnet18-8b", 64.0), [3, 32, 32], 10, "model.width is 64"),
            (
                ModelConfig { blocks_per_stage: 2000, ..config("resnet18-8b", 0.1) },
                [3, 32, 32],
                10,
                "model.blocks-per-stage",
            ),
            (config("small-net", 1.0), [3, 100_000, 100_000], 10, "3x100000x100000"),
            (config("mlp", 1.0), [3, 5000, 5000], 10, "3x5000x5000"),
            (config("mlp", 1.0), [3, usize::MAX, usize::MAX], 10, "the image"),
            (config("small-net", 1.0), [3, 32, 32], 70_000, "65536 outputs"),
        ] {
            let error = wrong.validate_for(image, classes).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
