//! Settings of a network in their ranges, and sizes that no machine is asked to hold.

use super::{BlockSpec, HeadKind, HeadSpec, ModelConfig, NetworkSpec};
use crate::layers::{MOST_VALUES, product, size_text};
use crate::losses::LabelKind;
use crate::{Error, Result};

/// The largest factor on widths.
pub(super) const WIDEST: f64 = 64.0;

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
        Ok(self.spec()?.blocks.len())
    }

    /// Which blocks have a loss: a head, or the classifier behind the last.
    ///
    /// # Errors
    /// As [`ModelConfig::spec`].
    pub fn has_loss(&self) -> Result<Vec<bool>> {
        let blocks = self.spec()?.blocks;
        let last = blocks.len().saturating_sub(1);
        Ok(blocks.iter().enumerate().map(|(number, block)| number == last || block.has_head()).collect())
    }

    /// Whether a head of this kind stands behind a block of the network.
    pub(super) fn has_head(&self, spec: &NetworkSpec, kind: HeadKind) -> bool {
        let inner = spec.blocks.split_last().map_or(&[][..], |(_, inner)| inner);
        let is_target = self.target_head == Some(kind) && inner.iter().any(BlockSpec::has_head);
        is_target
            || inner.iter().any(|block| match &block.head {
                None => self.head == kind,
                Some(HeadSpec::Named(name)) => name == kind.name(),
                Some(HeadSpec::Layers(_) | HeadSpec::Net(_)) => false,
            })
    }

    /// Refuses settings outside their ranges, before any image is there.
    ///
    /// # Errors
    /// [`Error::UnknownName`], [`Error::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        for (place, factor) in [("model.width", Some(self.width)), ("model.head-width", self.head_width)] {
            if let Some(factor) = factor.filter(|factor| !(*factor > 0.0 && *factor <= WIDEST)) {
                return Err(Error::out_of_range(place, factor, format!("a factor above 0, at most {WIDEST}")));
            }
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
        let spec = self.spec()?;
        spec.validate()?;
        self.validate_copies(&spec)?;
        self.validate_decay(&spec)?;
        self.validate_target_head(&spec)
    }

    /// Refuses a decay of running copies where no head has one.
    fn validate_decay(&self, spec: &NetworkSpec) -> Result<()> {
        let Some(decay) = self.head_decay else { return Ok(()) };
        if !(0.0..=1.0).contains(&decay) {
            return Err(Error::out_of_range("model.head-decay", decay, "a number from 0 to 1"));
        }
        if self.has_head(spec, HeadKind::Ema) {
            return Ok(());
        }
        let reason = "no head of this network has a running copy, so none has a decay";
        Err(Error::meaningless(reason, "`model.head = ema`, or `model.head-decay = off`"))
    }

    /// Refuses other heads for the target that no block has, or that every block has already.
    fn validate_target_head(&self, spec: &NetworkSpec) -> Result<()> {
        let Some(target) = self.target_head else { return Ok(()) };
        let (own, other) = (HeadSpec::Named(self.head.to_string()), HeadSpec::Named(target.to_string()));
        let inner = spec.blocks[..spec.blocks.len() - 1].iter().filter(|block| block.has_head());
        let heads: Vec<_> = inner.map(|block| block.head.as_ref().unwrap_or(&own)).collect();
        let expected = match heads.as_slice() {
            [] => "`off`: no block of this network has a head",
            heads if heads.iter().all(|head| **head == other) => {
                "another kind than that of the heads that guesses are made of, or `off`: one head serves as both"
            }
            _ => return Ok(()),
        };
        Err(Error::out_of_range("model.target-head", target, expected))
    }

    /// Refuses images and labels that no network takes.
    pub(super) fn check_input(&self, image: [usize; 3], labels: LabelKind) -> Result<()> {
        self.validate()?;
        self.validate_labels(labels)?;
        let fewest = match labels {
            LabelKind::Classes(_) => 2,
            LabelKind::Values(_) => 1,
        };
        let is_image = image.iter().all(|side| *side > 0) && product(image) <= MOST_VALUES;
        if !is_image || !(fewest..=MOST_OUTPUTS).contains(&labels.outputs()) {
            let found = format!("{} with {labels}", size_text(image));
            let expected =
                format!("at least a pixel, at most {MOST_VALUES} values, and from {fewest} to {MOST_OUTPUTS}");
            return Err(Error::out_of_range("the image", found, expected));
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
        let matching = [HeadKind::Predsim, HeadKind::PredsimVgg, HeadKind::Similarity];
        for (place, head) in [("model.head", Some(self.head)), ("model.target-head", self.target_head)] {
            if let Some(head) = head.filter(|head| matching.contains(head)) {
                let expected =
                    format!("cnn, mlp, linear or prediction for {labels}: similarity matching needs classes");
                return Err(Error::out_of_range(place, head, expected));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::models::{MODELS, Model};
    use crate::rng::Placement;

    #[test]
    fn the_depth_is_that_of_the_network() {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        for Model { name, .. } in MODELS {
            for blocks_per_stage in [1, 2] {
                let config =
                    ModelConfig { name: name.to_string(), width: 0.02, blocks_per_stage, ..Default::default() };
                let network = config.init([1, 16, 16], 2, 0, &placement).expect("a network");
                assert_eq!(config.depth().expect("a model"), network.depth(), "{name}");
            }
        }
    }

    #[test]
    fn what_no_machine_holds_is_refused_and_what_is_in_use_is_not() {
        let config = |name: &str, width: f64| ModelConfig { name: name.into(), width, ..Default::default() };
        for Model { name, .. } in MODELS {
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
            (
                config("mlp", 1.0),
                [3, 5000, 5000],
                10,
                "block 0: layer 1 (linear): the number of weights is 38400000000",
            ),
            (config("mlp", 1.0), [3, usize::MAX, usize::MAX], 10, "the image"),
            (config("small-net", 1.0), [3, 32, 32], 70_000, "to 65536"),
        ] {
            let error = wrong.validate_for(image, classes).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
