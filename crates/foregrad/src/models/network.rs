//! A network: blocks, classifier and heads, with the paths of all parameters.

use std::path::Path;

use super::heads::{self, is_of_head};
use super::spec::classifier;
use super::{AnyHead, HeadKind, LossHead, MODELS, Model, NetworkSpec, Norm, Registry, named::names};
use crate::layers::{Layer, Sequential};
use crate::losses::LabelKind;
use crate::rng::Placement;
use crate::vector::ParamVector;
use crate::{Error, Result, files, settings};

settings! {
    /// What a network is built from; complete, so that it can be rebuilt from a file.
    pub struct ModelConfig {
        /// The network, or a file of one (as `foregrad model show` prints it).
        name: String = "small-net".into() => flag("model", "NAME", names),
        /// Factor on the channels of the trunk, and on the width of the heads.
        width: f64 = 1.0 => flag("width", "W"),
        /// Normalisation of the trunk.
        norm: Norm = Norm::Batch => flag("norm", "NAME"),
        /// No average pools in `small-net`.
        pool: bool = true => switch("no-pool", "off"),
        /// Residual blocks a stage of `resnet18-8b` (2 is ResNet-18).
        blocks_per_stage: usize = 2 => flag("blocks-per-stage", "N"),
        /// Blocks that `resnet32` and `resnet110` are joined into; by default stem and residual blocks each are one.
        blocks: Option<usize> = None => flag("blocks", "K"),
        /// A normalisation before the classifier's pool, as in the paper's code.
        classifier_norm: bool = false => switch("classifier-norm", "on"),
        /// Structure of the auxiliary heads.
        #[serde(alias = "aux")]
        head: HeadKind = HeadKind::Cnn => flag("head", "NAME"),
        /// Structure of other heads, which measure the target alone (off: one head a block serves as guess and as target).
        target_head: Option<HeadKind> = None => flag("target-head", "NAME"),
        /// Normalisation of the heads.
        head_norm: Norm = Norm::Batch => flag("head-norm", "NAME"),
        /// Factor on the width of the heads; by default that of the trunk.
        head_width: Option<f64> = None => flag("head-width", "W"),
        /// Later blocks that an augmented head copies: the more, the further it sees; off, the default: 2.
        head_depth: Option<usize> = None => flag("head-depth", "D"),
        /// How much of its depth an augmented head loses towards the last one: 1 leaves that one copy; off, the default: 0.
        head_pyramid: Option<f64> = None => flag("head-pyramid", "C"),
        /// What an `ema` head's running copy of the next block keeps of itself at every step; off, the default: 0.99.
        head_decay: Option<f64> = None => flag("head-decay", "A"),
        /// Label smoothing of every cross-entropy.
        label_smoothing: f64 = 0.0 => flag("label-smoothing", "S"),
        /// What the network is made of, if it is not one of the names.
        network: Option<NetworkSpec> = None => table,
    }
}

/// Whether a network that was edited still has the name of the one that it was made of: its runs would pass for that one's.
fn is_edited(spec: &NetworkSpec) -> bool {
    let named = ModelConfig { name: spec.name.clone(), ..Default::default() };
    MODELS.iter().any(|model| model.name == spec.name) && named.spec().is_ok_and(|own| own.to_toml() != spec.to_toml())
}

/// A trunk of blocks with a head after every block but the last, and a classifier after that.
#[derive(Debug, Clone)]
pub struct Network {
    /// The trunk's blocks, in order.
    pub blocks: Vec<Sequential>,
    /// The auxiliary heads of all blocks but the last, where a block has one.
    pub heads: Vec<Option<AnyHead>>,
    /// Heads for the target alone, of all blocks but the last, where a block has one beside that in `heads`.
    pub target_heads: Vec<Option<AnyHead>>,
    /// The loss of the network.
    pub classifier: AnyHead,
    /// What stands before the paths of each block's parameters.
    pub(super) prefixes: Vec<String>,
}

impl ModelConfig {
    /// The network for images of `[channels, height, width]` and labels of a kind (a number of classes is one), its weights drawn
    /// from a seed.
    ///
    /// # Errors
    /// As [`ModelConfig::plan`].
    pub fn init(
        &self,
        image: [usize; 3],
        labels: impl Into<LabelKind>,
        seed: u64,
        placement: &Placement,
    ) -> Result<Network> {
        Ok(self.plan(image, labels, &Registry::default())?.make(seed, placement))
    }

    /// What the network is made of: its own spec, else that of its name.
    ///
    /// # Errors
    /// An unknown name; settings that change only networks that have a name.
    pub fn spec(&self) -> Result<NetworkSpec> {
        let Some(spec) = &self.network else {
            let model = MODELS.iter().find(|model| model.name == self.name);
            let names = || MODELS.iter().map(|model| model.name).collect::<Vec<_>>();
            let model = model.ok_or_else(|| Error::unknown_name("model", &self.name, &names()))?;
            self.check_blocks(model)?;
            return self.normalised_classifier((model.spec)(self));
        };
        self.check_own_settings(spec)?;
        Ok(spec.clone())
    }

    /// Reads the file that the name is, if it is one: from then on the settings hold the network itself. One that was made of a network with a
    /// name, and edited, is called as its file.
    ///
    /// # Errors
    /// A file that cannot be read or holds no network.
    pub fn resolve(&mut self) -> Result<()> {
        let is_model = MODELS.iter().any(|model| model.name == self.name);
        if self.network.is_some() || is_model {
            return Ok(());
        }
        let path = Path::new(&self.name);
        let is_file = self.name.ends_with(".toml")
            || path.components().count() > 1
            || matches!(files::kind(path)?, Some(files::Kind::File(_)));
        if is_file {
            let mut spec = NetworkSpec::read(path)?;
            if is_edited(&spec) {
                spec.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                spec.validate()?;
            }
            self.name = spec.name.clone();
            self.network = Some(spec);
        }
        Ok(())
    }

    /// Refuses a number of blocks that a network cannot be joined into.
    fn check_blocks(&self, model: &Model) -> Result<()> {
        let expected = match (self.blocks, model.most_blocks) {
            (None, _) => return Ok(()),
            (Some(blocks), Some(most)) if (1..=most).contains(&blocks) => return Ok(()),
            (Some(_), Some(most)) => format!("from 1 to {most} for {}", model.name),
            (Some(_), None) => {
                let joined = MODELS.iter().filter(|model| model.most_blocks.is_some()).map(|model| model.name);
                format!(
                    "no value for {}: its blocks are given; those of {} can be joined",
                    model.name,
                    joined.collect::<Vec<_>>().join(" and ")
                )
            }
        };
        Err(Error::out_of_range("model.blocks", self.blocks.unwrap_or_default(), expected))
    }

    /// A network with a name, with a norm before its classifier's pool if that is asked for.
    fn normalised_classifier(&self, spec: NetworkSpec) -> Result<NetworkSpec> {
        match self.classifier_norm {
            false => Ok(spec),
            true if spec.classifier == classifier(false) => Ok(NetworkSpec { classifier: classifier(true), ..spec }),
            true => {
                let expected = format!("off for {}: its classifier has no pool", spec.name);
                Err(Error::out_of_range("model.classifier-norm", "on", expected))
            }
        }
    }

    /// Refuses settings that change only networks that have a name, for one that is a spec.
    fn check_own_settings(&self, spec: &NetworkSpec) -> Result<()> {
        let Self { name, pool, blocks_per_stage, blocks, classifier_norm, .. } = self;
        if !spec.name.is_empty() && *name != spec.name {
            let expected = format!("`{}`, the name in `model.network`; leave one of the two out", spec.name);
            return Err(Error::out_of_range("model.name", name, expected));
        }
        let defaults = Self::default();
        let changed = [
            ("model.pool", "off", *pool != defaults.pool, "take its `avg-pool` layers out"),
            (
                "model.blocks-per-stage",
                &blocks_per_stage.to_string(),
                *blocks_per_stage != defaults.blocks_per_stage,
                "add or remove blocks",
            ),
            (
                "model.blocks",
                &blocks.unwrap_or_default().to_string(),
                *blocks != defaults.blocks,
                "join blocks, or split them",
            ),
            (
                "model.classifier-norm",
                "on",
                *classifier_norm != defaults.classifier_norm,
                "put a `norm` first in its `classifier`",
            ),
        ];
        match changed.iter().find(|(_, _, differs, _)| *differs) {
            Some((place, value, _, advice)) => {
                let expected =
                    format!("no value: it changes networks with a name; edit the file of this one, {advice}");
                Err(Error::out_of_range(*place, value, expected))
            }
            None => Ok(()),
        }
    }
}

impl Network {
    /// The number of blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// What stands before the paths of a block's parameters; empty where layers are named as in torchvision.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn prefix(&self, block: usize) -> &str {
        &self.prefixes[block]
    }

    /// All trainable parameters by path: the trunk's, the classifier's (`fc.`), the heads' (`heads.J.`, `target-heads.J.`).
    pub fn parameters(&self) -> ParamVector {
        self.gather(Layer::parameters, |head| head.parameters())
    }

    /// The trainable parameters of one block, by the network's paths.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block_parameters(&self, block: usize) -> ParamVector {
        self.blocks[block].parameters().prefixed(&self.prefixes[block])
    }

    /// All moving averages by path.
    pub fn averages(&self) -> ParamVector {
        self.gather(Layer::averages, |head| head.averages())
    }

    /// Parameters and averages: all that a file of weights holds.
    pub fn state(&self) -> ParamVector {
        let mut state = self.parameters();
        state.extend(self.averages());
        state
    }

    /// Replaces the parameters and averages whose paths `values` holds. Shapes are not compared: [`crate::weights::assign`] does that.
    ///
    /// # Panics
    /// On a value of another rank.
    pub fn assign(&mut self, values: &ParamVector) {
        for (block, prefix) in self.blocks.iter_mut().zip(&self.prefixes) {
            block.assign(&values.scoped(prefix));
        }
        self.classifier.assign(values);
        for (_, prefix, head) in heads::each_mut([&mut self.heads, &mut self.target_heads]) {
            head.assign(&values.scoped(&prefix));
        }
    }

    /// The number of trainable numbers in trunk and classifier.
    pub fn trunk_dimension(&self) -> usize {
        self.parameters().filtered(|path| !is_of_head(path)).dimension()
    }

    fn gather(
        &self,
        block: impl Fn(&Sequential) -> ParamVector,
        head: impl Fn(&dyn LossHead) -> ParamVector,
    ) -> ParamVector {
        let mut all = ParamVector::default();
        for (chain, prefix) in self.blocks.iter().zip(&self.prefixes) {
            all.extend(block(chain).prefixed(prefix));
        }
        all.extend(head(&*self.classifier));
        for (prefix, auxiliary) in heads::each([&self.heads, &self.target_heads]) {
            all.extend(head(&**auxiliary).prefixed(&prefix));
        }
        all
    }
}

#[cfg(test)]
mod tests;
