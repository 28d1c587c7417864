//! A network: blocks, classifier and heads, with the paths of all parameters.

use super::resnet::{Builder, plain_blocks, residual_blocks, two_halves};
use super::{AnyHead, Head, HeadConfig, HeadKind, LossHead, Norm, loss_for, mlp, small_net};
use crate::layers::{Layer, Phase, Sequential};
use crate::losses::LabelKind;
use crate::rng::{Placement, Stream};
use crate::settings::Choices;
use crate::vector::ParamVector;
use crate::{Result, settings};

/// The models by name, each with what it is.
pub const MODELS: &[(&str, &str)] = &[
    ("small-net", "six 3x3 convolution blocks: 64 64 128 128 256 256, 2x2 average pools before blocks 1, 3, 5"),
    ("resnet18-8b", "ResNet-18, CIFAR stem, one residual block a block"),
    ("resnet18-16b", "the same 3x3 convolutions without skips, one a block"),
    ("resnet18-2b", "ResNet-18, CIFAR stem, two blocks of two stages"),
    ("mlp", "three blocks of 512 hidden units"),
];

/// The names of [`MODELS`] for a setting.
fn names() -> Choices {
    MODELS.iter().map(|(name, about)| (*name, (*about).into())).collect()
}

settings! {
    /// What a network is built from; complete, so that it can be rebuilt from a file.
    pub struct ModelConfig {
        /// The network.
        name: String = "small-net".into() => flag("model", "NAME", names),
        /// Factor on the channels of the trunk and the width of the heads.
        width: f64 = 1.0 => flag("width", "W"),
        /// Normalisation of the trunk.
        norm: Norm = Norm::Batch => flag("norm", "NAME"),
        /// No average pools in `small-net`.
        pool: bool = true => switch("no-pool", "off"),
        /// Residual blocks a stage of `resnet18-8b` (2 is ResNet-18).
        blocks_per_stage: usize = 2 => flag("blocks-per-stage", "N"),
        /// A normalisation before the classifier's pool, as in the paper's code.
        classifier_norm: bool = false => switch("classifier-norm", "on"),
        /// Structure of the auxiliary heads.
        #[serde(alias = "aux")]
        head: HeadKind = HeadKind::Cnn => flag("head", "NAME"),
        /// Normalisation of the heads.
        head_norm: Norm = Norm::Batch => flag("head-norm", "NAME"),
        /// Label smoothing of every cross-entropy.
        label_smoothing: f64 = 0.0 => flag("label-smoothing", "S"),
    }
}

/// A trunk of blocks with a head after every block but the last, and a classifier after that.
#[derive(Debug, Clone)]
pub struct Network {
    /// The trunk's blocks, in order.
    pub blocks: Vec<Sequential>,
    /// Auxiliary heads of all blocks but the last.
    pub heads: Vec<AnyHead>,
    /// The loss of the network.
    pub classifier: AnyHead,
    /// What stands before the paths of each block's parameters.
    prefixes: Vec<String>,
}

impl ModelConfig {
    /// The network for images of `[channels, height, width]` and labels of a kind (a number of classes is one), its weights drawn
    /// from a seed.
    ///
    /// # Errors
    /// An unknown name, settings outside their ranges, images too small for the strides and pools, sizes beyond any memory.
    pub fn init(
        &self,
        image: [usize; 3],
        labels: impl Into<LabelKind>,
        seed: u64,
        placement: &Placement,
    ) -> Result<Network> {
        let labels = labels.into();
        self.validate_for(image, labels)?;
        let stream = Stream::new(seed, "initial-weights");
        let [channels, height, width] = image;
        let builder = Builder { channels, width: self.width, norm: self.norm, stream, placement };
        let (blocks, named) = match self.name.as_str() {
            "small-net" => (small_net::blocks(&builder, self.pool), true),
            "resnet18-8b" => (residual_blocks(&builder, self.blocks_per_stage), false),
            "resnet18-16b" => (plain_blocks(&builder), true),
            "resnet18-2b" => (two_halves(&builder), false),
            "mlp" => (mlp::blocks(&builder, height * width), true),
            other => unreachable!("`{other}` was refused"),
        };
        let prefix = |block| if named { format!("blocks.{block}") } else { String::new() };
        let prefixes = (0..blocks.len()).map(prefix).collect();
        let outputs = output_shapes(&blocks, image, placement);
        let heads = outputs[..blocks.len() - 1]
            .iter()
            .enumerate()
            .map(|(block, output)| self.head(*output, labels).init(stream.named("heads").at(block as u64), placement));
        let features = outputs[blocks.len() - 1][0];
        let net = builder.classifier(features, labels.outputs(), self.classifier_norm);
        let heads = heads.map(AnyHead::from).collect();
        let classifier = Head::new(net, loss_for(labels, self.label_smoothing)).taking(labels);
        Ok(Network { blocks, heads, classifier: classifier.into(), prefixes })
    }

    fn head(&self, input: [usize; 3], labels: LabelKind) -> HeadConfig {
        // The paper halves the heads of its sixteen-block networks.
        let halves = if self.name == "resnet18-16b" { 2.0 } else { 1.0 };
        let widened = |base: f64| ((base * self.width / halves).round() as usize).max(1);
        HeadConfig {
            kind: self.head,
            norm: self.head_norm,
            hidden: widened(1024.0),
            channels: widened(32.0),
            input,
            labels,
            smoothing: self.label_smoothing,
        }
    }
}

/// Channels, height and width after each block, found by sending one blank image through.
fn output_shapes(
    blocks: &[Sequential],
    [channels, height, width]: [usize; 3],
    placement: &Placement,
) -> Vec<[usize; 3]> {
    let mut x = placement.zeros([1, channels, height, width]);
    let shape = |block: &Sequential| {
        x = block.forward(x.clone(), Phase::Eval.into()).0;
        let [_, channels, height, width] = x.dims();
        [channels, height, width]
    };
    blocks.iter().map(shape).collect()
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

    /// All trainable parameters by path: the trunk's, the classifier's (`fc.`), the heads' (`heads.J.`).
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
        for (block, head) in self.heads.iter_mut().enumerate() {
            head.assign(&values.scoped(&head_prefix(block)));
        }
    }

    /// The number of trainable numbers in trunk and classifier.
    pub fn trunk_dimension(&self) -> usize {
        self.parameters().filtered(|path| !path.starts_with("heads.")).dimension()
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
        for (position, auxiliary) in self.heads.iter().enumerate() {
            all.extend(head(&**auxiliary).prefixed(&head_prefix(position)));
        }
        all
    }
}

/// What stands before the paths of a head's parameters.
pub fn head_prefix(block: usize) -> String {
    format!("heads.{block}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    fn network(name: &str, image: [usize; 3]) -> Network {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        ModelConfig { name: name.into(), ..Default::default() }.init(image, 10, 0, &placement).expect("a model")
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        assert_eq!(network("resnet18-8b", [3, 32, 32]).trunk_dimension(), 11_173_962);
        assert_eq!(network("resnet18-2b", [3, 32, 32]).trunk_dimension(), 11_173_962);
        assert_eq!(network("resnet18-16b", [3, 32, 32]).trunk_dimension(), 11_000_138);
    }

    #[test]
    fn residual_networks_are_named_as_in_torchvision() {
        let state = network("resnet18-8b", [3, 32, 32]).state();
        for path in ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight"] {
            assert!(state.entry(path).is_some(), "{path} is missing");
        }
        assert_eq!(state.entry("fc.weight").expect("a classifier").shape(), [10, 512]);
        assert!(state.entry("heads.6.0.weight").is_some());
    }

    #[test]
    fn every_model_takes_odd_images_of_one_channel() {
        for (name, _) in MODELS {
            let network = network(name, [1, 28, 28]);
            assert_eq!(network.heads.len() + 1, network.depth(), "{name}");
        }
    }

    #[test]
    fn assigning_its_own_state_changes_nothing_and_another_changes_all() {
        let placement = Placement { device: Device::flex(), dtype: DType::F32 };
        let config = ModelConfig { width: 0.1, ..Default::default() };
        let mut first = config.init([1, 12, 12], 10, 0, &placement).expect("a model");
        let second = config.init([1, 12, 12], 10, 1, &placement).expect("a model");
        first.assign(&second.state());
        assert_eq!(first.state().axpy(-1.0, &second.state()).norm(), 0.0);
    }
}
