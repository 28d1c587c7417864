//! A network that is not made yet: all its shapes and costs.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::planned_head::{Ahead, HeadScope, LaterBlock, PlannedHead};
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
        let chains = self.trunk(image, &trunk)?;
        let output = chains.last().map_or(image, PlannedChain::output);
        let heads = self.heads(image, &chains)?;
        let all = chains.into_iter().zip(heads).enumerate();
        let planned = all.map(|(number, (layers, [head, target_head]))| {
            let path = self.spec.path(number);
            PlannedBlock { path, layers, head, target_head }
        });
        let blocks = planned.collect();
        let net = PlannedChain::new(&self.spec.classifier, output, "", &trunk);
        let ends_well = |net: &PlannedChain| self.head_scope(None).check_output(net.output());
        let classifier = net.and_then(|net| ends_well(&net).map(|()| net));
        let classifier = classifier.map_err(|error| Error::within("classifier", error))?;
        let planned = PlannedNetwork { blocks, classifier, labels: self.labels, smoothing: label_smoothing };
        planned.check_weights()?;
        Ok(planned)
    }

    /// The layers of the blocks, in order.
    fn trunk(&self, image: [usize; 3], setting: &Surroundings) -> Result<Vec<PlannedChain>> {
        let mut chains: Vec<PlannedChain> = Vec::new();
        for (number, block) in self.spec.blocks.iter().enumerate() {
            let input = chains.last().map_or(image, PlannedChain::output);
            let chain = PlannedChain::new(&block.layers, input, &self.spec.path(number), setting);
            chains.push(chain.map_err(|error| Error::within(format!("block {number}"), error))?);
        }
        Ok(chains)
    }

    /// What stands behind the blocks, in order, and what for the target alone.
    fn heads(&self, image: [usize; 3], chains: &[PlannedChain]) -> Result<Vec<[Option<PlannedHead>; 2]>> {
        let outputs: Vec<_> = chains.iter().map(PlannedChain::output).collect();
        let inputs = [image].into_iter().chain(outputs.iter().copied());
        let joined = self.spec.blocks.iter().zip(inputs).zip(&outputs);
        let all: Vec<_> = joined
            .map(|((block, input), output)| LaterBlock { layers: &block.layers, input, output: *output })
            .collect();
        let head = |(number, block): (usize, &BlockSpec)| {
            let placed =
                |name: &'static str| move |error| Error::within(format!("block {number}"), Error::within(name, error));
            let head = self.head(block, number, &all).map_err(placed("head"))?;
            let other = self.config.target_head.filter(|_| head.is_some());
            let target = other.map(|kind| self.head_of(&HeadSpec::Named(kind.to_string()), number, &all));
            Ok([head, target.transpose().map_err(placed("the target's head"))?.flatten()])
        };
        self.spec.blocks.iter().enumerate().map(head).collect()
    }

    fn head_scope<'a>(&self, ahead: Option<Ahead<'a>>) -> HeadScope<'a> {
        let ModelConfig { width, head_width, head_norm, head_depth, head_pyramid, head_decay, label_smoothing, .. } =
            *self.config;
        let width = head_width.unwrap_or(width) * self.spec.head_width;
        let usual = HeadScope::new(self.labels);
        let (depth, pyramid) = (head_depth.unwrap_or(usual.depth), head_pyramid.unwrap_or(usual.pyramid));
        let decay = head_decay.unwrap_or(usual.decay);
        HeadScope { width, norm: head_norm, smoothing: label_smoothing, depth, pyramid, decay, ahead, ..usual }
    }

    /// The head of a spec behind a block.
    fn head_of(&self, spec: &HeadSpec, number: usize, all: &[LaterBlock]) -> Result<Option<PlannedHead>> {
        let ModelConfig { width, norm, .. } = *self.config;
        let later = &all[number + 1..];
        let scope = self.head_scope(Some(Ahead { block: number, later, width, norm, kinds: self.registry.layers() }));
        PlannedHead::of_spec(spec, all[number].output, &scope, self.registry)
    }

    /// The head behind a block: its own, or that of the settings; behind the last block is the classifier.
    fn head(&self, block: &BlockSpec, number: usize, all: &[LaterBlock]) -> Result<Option<PlannedHead>> {
        let plan = |spec: &HeadSpec| self.head_of(spec, number, all);
        match (&block.head, number + 1 == all.len()) {
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
        let mut network = Network {
            blocks: self.blocks.iter().map(|block| block.layers.make(&making)).collect(),
            heads: made("heads", |block| block.head.as_ref()),
            target_heads: made("target-heads", |block| block.target_head.as_ref()),
            classifier: Head::new(self.classifier.make(&making), loss).taking(self.labels).into(),
            prefixes: self.blocks.iter().map(|block| block.path.clone()).collect(),
        };
        network.begin_following(|_| true);
        network
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
