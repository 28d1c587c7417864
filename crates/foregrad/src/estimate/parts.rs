//! Parts of a sample as slots: one scalar for each tile, run of channels, or both.
//!
//! With `v_p` the part `p` of a sample's guess, 0 elsewhere, the update is the sum over parts of `<target, v_p> J_theta^T v_p`. Of a random
//! guess its expectation is the gradient, as that of a whole sample's; the parts' own products add up to the sample's. In forward mode every
//! part is a tangent of its own, except where the loss at the block's own output keeps parts apart (`LossHead::part_derivatives`).
//!
//! Source: Ren et al., *Scaling forward gradient with local losses* (2023). A variant: theirs perturb every linear layer's output, and the
//! scalar of a part is the derivative of a copy of the loss that sees the other parts as constants.

use burn::tensor::Tensor;

use super::stage::Stage;
use super::{EstimatorConfig, Granularity};
use crate::layers::Wanted;
use crate::ops::{self, Parts, Pending};
use crate::{Error, Result};

/// Tiles a side, and groups, where the settings say nothing.
const USUAL: usize = 2;

impl Granularity {
    /// Whether it cuts maps into tiles.
    fn has_patches(self) -> bool {
        matches!(self, Granularity::Patch | Granularity::PatchGroup)
    }

    /// Whether it cuts channels into groups.
    fn has_groups(self) -> bool {
        matches!(self, Granularity::Group | Granularity::PatchGroup)
    }

    /// Whether a sample has a scalar of its own, or several.
    pub(super) fn is_by_sample(self) -> bool {
        self == Granularity::Sample || self.has_parts()
    }

    /// Whether it cuts samples.
    pub(super) fn has_parts(self) -> bool {
        self.has_patches() || self.has_groups()
    }
}

impl EstimatorConfig {
    /// How a sample is cut; in one part unless the granularity says otherwise.
    pub fn parts(&self) -> Parts {
        let granularity = self.granularity();
        let number = |cuts: bool, number: Option<usize>| if cuts { number.unwrap_or(USUAL) } else { 1 };
        Parts {
            tiles: number(granularity.has_patches(), self.patches),
            groups: number(granularity.has_groups(), self.groups),
        }
    }

    /// The inner products of a tensor at a block's output with others, one a scalar: of the mini-batch, or of each sample or part of one.
    pub(super) fn dots(&self, a: &Tensor<4>, others: &[Tensor<4>]) -> Vec<Vec<f64>> {
        let asked = |b: &Tensor<4>| match self.granularity() {
            Granularity::Batch => Pending::dot(a, b),
            _ => self.parts().asked_dots(a, b),
        };
        ops::read(others.iter().map(asked).collect())
    }

    /// Refuses numbers of parts that nothing is cut into, and of which nothing is known in the estimate.
    pub(super) fn validate_parts(&self) -> Result<()> {
        let granularity = self.granularity();
        let settings = [
            ("patches", self.patches, granularity.has_patches(), Granularity::Patch),
            ("groups", self.groups, granularity.has_groups(), Granularity::Group),
        ];
        for (name, number, cuts, own) in settings {
            let Some(number) = number else { continue };
            if number == 0 {
                return Err(Error::out_of_range(format!("estimator.{name}"), number, "at least 1"));
            }
            if !cuts {
                let reason = format!("the granularity `{granularity}` cuts no sample into {name}");
                let nearest = format!(
                    "`estimator.space = activity` `estimator.granularity = {own}` or patch-group, or `estimator.{name} = off`"
                );
                return Err(Error::meaningless(reason, nearest));
            }
        }
        Ok(())
    }

    /// Refuses parts that the output of an estimated block does not have, where the outputs of all blocks, `[channels, height, width]`, are known
    /// before a step.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn validate_outputs(&self, outputs: &[[usize; 3]]) -> Result<()> {
        let estimated = outputs.len().saturating_sub(1);
        outputs[..estimated].iter().enumerate().try_for_each(|(block, output)| self.check_parts(block, *output))
    }

    /// Refuses to cut a block's output of `[channels, height, width]` into more tiles than it has pixels, or into groups that do not divide
    /// its channels.
    pub(super) fn check_parts(&self, block: usize, output: [usize; 3]) -> Result<()> {
        let (Parts { tiles, groups }, [channels, height, width]) = (self.parts(), output);
        let of_block = format!("block {block}, whose output is {}", crate::layers::size_text(output));
        if tiles > height.min(width) {
            let expected = format!("at most {}, the pixels of the shorter side of {of_block}", height.min(width));
            return Err(Error::out_of_range("estimator.patches", tiles, expected));
        }
        if !channels.is_multiple_of(groups) {
            let expected = format!("a divisor of the {channels} channels of {of_block}");
            return Err(Error::out_of_range("estimator.groups", groups, expected));
        }
        Ok(())
    }
}

impl Stage<'_> {
    /// The derivatives of the loss along each part of stacked tangents at the output: per direction, sample by sample.
    pub fn part_derivatives(&self, y_dot: &Tensor<4>, parts: Parts, at_once: usize) -> Vec<Vec<f64>> {
        let (loss, saved) = self.loss.as_ref().expect("a target's loss was evaluated");
        let directions = || y_dot.clone().split(self.shape[0], 0);
        if !loss.maps().is_separable() {
            // A loss that is no sum over samples, at its own block: a part of the gradient is known outright.
            let y_bar = loss.maps().cotangent(saved, Wanted::INPUT).input();
            return directions().iter().map(|direction| parts.dots(&y_bar, direction)).collect();
        }
        if parts == Parts::WHOLE {
            return self.derivatives(Some(y_dot.clone()), &[]);
        }
        if let Some(derivatives) = loss.maps().part_derivatives(saved, y_dot, parts) {
            return derivatives;
        }
        let at_once = if at_once == 0 { parts.count() } else { at_once };
        let apart = |direction: &Tensor<4>| {
            let chunks = (0..parts.count()).step_by(at_once);
            let chunk = |start| start..parts.count().min(start + at_once);
            chunks
                .flat_map(|start| self.derivatives(Some(parts.apart(direction, chunk(start))), &[]))
                .collect::<Vec<_>>()
        };
        parts.by_sample(&directions().iter().flat_map(apart).collect::<Vec<_>>())
    }
}
