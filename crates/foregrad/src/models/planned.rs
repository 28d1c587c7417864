//! A network that is not made yet: all its shapes and costs.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::planned_head::{HeadScope, PlannedHead};
use super::spec::{BlockSpec, HeadSpec, NetworkSpec};
use super::{Head, ModelConfig, Network, Registry, loss_for};
use crate::layers::{MOST_WEIGHTS, Making, PlannedChain, Surroundings};
use crate::losses::LabelKind;
use crate::rng::{Placement, Stream};
use crate::{Error, Result};

/// A network that is not made yet.
#[derive(Debug, Clone)]
pub struct PlannedNetwork {
    /// Its blocks, in order.
    pub blocks: Vec<PlannedBlock>,
    /// Its classifier.
    pub classifier: PlannedChain,
    labels: LabelKind,
    smoothing: f64,
}

/// One of its blocks.
#[derive(Debug, Clone)]
pub struct PlannedBlock {
    /// What stands before the paths of its layers.
    pub path: String,
    /// Its layers.
    pub layers: PlannedChain,
    /// What stands behind it.
    pub head: Option<PlannedHead>,
    /// What stands behind it for the target alone.
    pub target_head: Option<PlannedHead>,
}

impl ModelConfig {
    /// Refuses images and labels that the network cannot take, without making it.
    ///
    /// # Errors
    /// As [`ModelConfig::plan`].
    pub fn validate_for(&self, image: [usize; 3], labels: impl Into<LabelKind>) -> Result<()> {
        self.plan(image, labels, &Registry::default()).map(drop)
    }

    /// The network for images of `[channels, height, width]` and labels of a kind, not made yet.
    ///
    /// # Errors
    /// Settings outside their ranges; the first layer that does not go with what comes to it, by block and layer; sizes beyond any
    /// memory.
    pub fn plan(&self, image: [usize; 3], labels: impl Into<LabelKind>, registry: &Registry) -> Result<PlannedNetwork> {
        let labels = labels.into();
        self.check_input(image, labels)?;
        let spec = self.spec()?;
        let planned = |config: &Self| Planner { config, spec: &spec, labels, registry }.plan(image);
        planned(self).map_err(|error| {
            let narrow = Self { width: self.width.min(1.0), head_width: Some(1.0), ..self.clone() };
            let is_wide = self.width > 1.0 && planned(&narrow).is_ok();
            if is_wide {
                Error::out_of_range("model.width", self.width, format!("a smaller factor: {error}"))
            } else {
                error
            }
        })
    }
}

/// All that a spec is planned by.
struct Planner<'a> {
    config: &'a ModelConfig,
    spec: &'a NetworkSpec,
    labels: LabelKind,
    registry: &'a Registry,
}

impl Planner<'_> {
    fn plan(&self, image: [usize; 3]) -> Result<PlannedNetwork> {
        let taken = RefCell::new(BTreeSet::new());
        let ModelConfig { width, norm, label_smoothing, .. } = *self.config;
        let (kinds, labels) = (self.registry.layers(), self.labels.outputs());
        let trunk = Surroundings { kinds, width, labels, norm, taken: &taken };
        let (mut blocks, mut input) = (Vec::new(), image);
        for number in 0..self.spec.blocks.len() {
            let block = self.block(number, input, &trunk);
            let block = block.map_err(|error| Error::within(format!("block {number}"), error))?;
            input = block.layers.output();
            blocks.push(block);
        }
        let net = PlannedChain::new(&self.spec.classifier, input, "", &trunk);
        let ends_well = |net: &PlannedChain| self.head_scope().check_output(net.output());
        let classifier = net.and_then(|net| ends_well(&net).map(|()| net));
        let classifier = classifier.map_err(|error| Error::within("classifier", error))?;
        let planned = PlannedNetwork { blocks, classifier, labels: self.labels, smoothing: label_smoothing };
        planned.check_weights()?;
        Ok(planned)
    }

    fn block(&self, number: usize, input: [usize; 3], trunk: &Surroundings) -> Result<PlannedBlock> {
        let (block, path) = (&self.spec.blocks[number], self.spec.path(number));
        let layers = PlannedChain::new(&block.layers, input, &path, trunk)?;
        let is_last = number + 1 == self.spec.blocks.len();
        let head = self.head(block, is_last, layers.output()).map_err(|error| Error::within("head", error))?;
        let other = self.config.target_head.filter(|_| head.is_some());
        let target_head = other.map(|kind| self.head_of(&HeadSpec::Named(kind.to_string()), layers.output()));
        let target_head = target_head.transpose().map_err(|error| Error::within("the target's head", error))?;
        Ok(PlannedBlock { path, layers, head, target_head: target_head.flatten() })
    }

    fn head_scope(&self) -> HeadScope {
        let ModelConfig { width, head_width, head_norm, label_smoothing, .. } = *self.config;
        let width = head_width.unwrap_or(width) * self.spec.head_width;
        HeadScope { width, norm: head_norm, labels: self.labels, smoothing: label_smoothing }
    }

    fn head_of(&self, spec: &HeadSpec, input: [usize; 3]) -> Result<Option<PlannedHead>> {
        PlannedHead::of_spec(spec, input, &self.head_scope(), self.registry)
    }

    /// The head behind a block's output: its own, or that of the settings; behind the last block is the classifier.
    fn head(&self, block: &BlockSpec, is_last: bool, input: [usize; 3]) -> Result<Option<PlannedHead>> {
        let plan = |spec: &HeadSpec| self.head_of(spec, input);
        match (&block.head, is_last) {
            (None, true) => Ok(None),
            (None, false) => plan(&HeadSpec::Named(self.config.head.to_string())),
            (Some(own), false) => plan(own),
            (Some(_), true) if !block.has_head() => Ok(None),
            (Some(_), true) => {
                Err(Error::out_of_range("the head", "given", "none: behind the last block stands the classifier"))
            }
        }
    }
}

impl PlannedNetwork {
    /// The network with weights drawn from a seed.
    pub fn make(&self, seed: u64, placement: &Placement) -> Network {
        let stream = Stream::new(seed, "initial-weights");
        let making = Making { streams: &|name: &str| stream.named(name), name: "", placement };
        let inner = &self.blocks[..self.blocks.len() - 1];
        let made = |name: &str, of_block: fn(&PlannedBlock) -> Option<&PlannedHead>| {
            let planned = inner.iter().map(of_block).enumerate();
            let stream = stream.named(name);
            planned.map(|(block, head)| Some(head?.make(stream.at(block as u64), placement))).collect()
        };
        let loss = loss_for(self.labels, self.smoothing);
        Network {
            blocks: self.blocks.iter().map(|block| block.layers.make(&making)).collect(),
            heads: made("heads", |block| block.head.as_ref()),
            target_heads: made("target-heads", |block| block.target_head.as_ref()),
            classifier: Head::new(self.classifier.make(&making), loss).taking(self.labels).into(),
            prefixes: self.blocks.iter().map(|block| block.path.clone()).collect(),
        }
    }

    /// Weights of the blocks and the classifier, and of the heads.
    pub fn weights(&self) -> [u64; 2] {
        let sum = |all: &mut dyn Iterator<Item = u64>| all.fold(0u64, u64::saturating_add);
        let trunk = sum(&mut self.blocks.iter().map(|block| block.layers.weights()));
        let heads = self.blocks.iter().flat_map(|block| [&block.head, &block.target_head]).flatten();
        let heads = sum(&mut heads.map(|head| head.weights));
        [trunk.saturating_add(self.classifier.weights()), heads]
    }

    fn check_weights(&self) -> Result<()> {
        let [trunk, heads] = self.weights();
        let all = trunk.saturating_add(heads);
        if all <= MOST_WEIGHTS {
            return Ok(());
        }
        Err(Error::out_of_range("the number of all weights", all, format!("at most {MOST_WEIGHTS}")))
    }
}
