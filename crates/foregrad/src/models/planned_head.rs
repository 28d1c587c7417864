//! Heads that are not made yet.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::head::{Branch, Head};
use super::spec::{HeadSpec, NO_HEAD};
use super::{AnyHead, LossHead, Norm, Registry, augmented, loss_for, next_block};
use crate::layers::{Kinds, LayerSpec, Making, Planned, PlannedChain, Surroundings, size_text};
use crate::losses::{AnyLoss, CrossEntropy, LabelKind, MeanSquaredError, Similarity};
use crate::rng::{Placement, Stream};
use crate::{Error, Result};

/// What a head is planned in.
#[derive(Debug, Clone, Copy)]
pub struct HeadScope<'a> {
    /// The factor on its widths.
    pub width: f64,
    /// The normalisation of its layers.
    pub norm: Norm,
    /// What its outputs stand for.
    pub labels: LabelKind,
    /// Label smoothing of a cross-entropy.
    pub smoothing: f64,
    /// Copies of later blocks, in a head that has some.
    pub depth: usize,
    /// How much of that depth the last head has lost, from 0 (none) to 1 (all but one copy); beyond 1 earlier heads have.
    pub pyramid: f64,
    /// What a running copy keeps of itself at every step, in a head that has one.
    pub decay: f64,
    /// What comes after the head's block; `None` in a network whose blocks are no specs ([`Network::builder`](super::Network::builder)).
    pub ahead: Option<Ahead<'a>>,
}

/// What comes after the block that a head stands behind: all that a head which looks ahead is made of.
#[derive(Debug, Clone, Copy)]
pub struct Ahead<'a> {
    /// The number of the head's block, from 0.
    pub block: usize,
    /// The blocks after it, in order: at least one.
    pub later: &'a [LaterBlock<'a>],
    /// The factor on the widths of the trunk.
    pub width: f64,
    /// The normalisation of the trunk.
    pub norm: Norm,
    /// The kinds of layers that the specs name.
    pub kinds: &'a Kinds,
}

/// A block that comes after a head's.
#[derive(Debug, Clone, Copy)]
pub struct LaterBlock<'a> {
    /// Its layers.
    pub layers: &'a [LayerSpec],
    /// Channels, height and width of its input.
    pub input: [usize; 3],
    /// Channels, height and width of its output.
    pub output: [usize; 3],
}

impl Ahead<'_> {
    /// The number of the network's blocks.
    pub fn depth(&self) -> usize {
        self.block + 1 + self.later.len()
    }
}

impl<'a> HeadScope<'a> {
    /// With the usual settings, and nothing ahead.
    pub fn new(labels: LabelKind) -> Self {
        let (depth, decay, norm) = (augmented::USUAL_DEPTH, next_block::USUAL_DECAY, Norm::Batch);
        Self { width: 1.0, norm, labels, smoothing: 0.0, depth, pyramid: 0.0, decay, ahead: None }
    }

    /// What comes after the head's block.
    ///
    /// # Errors
    /// In a network whose blocks are no specs.
    pub fn ahead(&self) -> Result<Ahead<'a>> {
        self.ahead.ok_or_else(without_specs)
    }

    /// Layers behind a block's output.
    ///
    /// # Errors
    /// As [`PlannedChain::new`].
    pub fn chain(&self, layers: &[LayerSpec], input: [usize; 3], kinds: &Kinds) -> Result<PlannedChain> {
        let taken = RefCell::new(BTreeSet::new());
        let labels = self.labels.outputs();
        let setting = Surroundings { kinds, width: self.width, labels, norm: self.norm, taken: &taken };
        PlannedChain::new(layers, input, "", &setting)
    }
}

impl HeadScope<'_> {
    /// Refuses a net that does not end with one output a class or value.
    pub(super) fn check_output(&self, output: [usize; 3]) -> Result<()> {
        let wanted = [self.labels.outputs(), 1, 1];
        if output == wanted {
            return Ok(());
        }
        let expected = format!("{}, for {}", size_text(wanted), self.labels);
        Err(Error::out_of_range("the output", size_text(output), expected))
    }
}

/// Why a network of blocks by value has no head that looks ahead.
pub(super) fn without_specs() -> Error {
    let reason = "a head that looks ahead is made of later blocks as specs, and blocks by value have none";
    Error::meaningless(reason, "`mlp`, a network from a file, or a head by value with `NextBlock`")
}

/// Makes a head with weights drawn from a stream.
type Make = dyn Fn(Stream, &Placement) -> AnyHead + Send + Sync;

/// A head that is not made yet.
#[derive(Clone)]
pub struct PlannedHead {
    /// The number of its weights.
    pub weights: u64,
    /// Multiplications and additions of its products for one sample, forward.
    pub flop: u64,
    make: Arc<Make>,
}

impl fmt::Debug for PlannedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedHead").field("weights", &self.weights).field("flop", &self.flop).finish()
    }
}

impl PlannedHead {
    /// A head that `make` makes with weights drawn from a stream; it is said to have none.
    pub fn new<H: Into<AnyHead>>(make: impl Fn(Stream, &Placement) -> H + Send + Sync + 'static) -> Self {
        Self { weights: 0, flop: 0, make: Arc::new(move |stream, placement| make(stream, placement).into()) }
    }

    /// With so many weights.
    pub fn weights(self, weights: u64) -> Self {
        Self { weights, ..self }
    }

    /// With so many operations a sample.
    pub fn flop(self, flop: u64) -> Self {
        Self { flop, ..self }
    }

    /// The head with its weights.
    pub fn make(&self, stream: Stream, placement: &Placement) -> AnyHead {
        (self.make)(stream, placement)
    }

    pub(super) fn of_net(net: PlannedNet) -> Self {
        let sum = |part: fn(&PlannedChain) -> u64| {
            net.branches.iter().fold(0u64, |sum, branch| sum.saturating_add(part(&branch.net)))
        };
        let (weights, flop) = (sum(PlannedChain::weights), sum(PlannedChain::flop));
        let net = Arc::new(net);
        Self::new(move |stream, placement| net.make(stream, placement)).weights(weights).flop(flop)
    }

    /// The head of a spec behind a block's output; none where it says so.
    pub(super) fn of_spec(
        spec: &HeadSpec,
        input: [usize; 3],
        scope: &HeadScope,
        registry: &Registry,
    ) -> Result<Option<Self>> {
        let (layers, loss) = match spec {
            HeadSpec::Named(name) if name == NO_HEAD => return Ok(None),
            HeadSpec::Named(name) => return registry.head(name, input, scope).map(Some),
            HeadSpec::Layers(layers) => (layers, loss_for(scope.labels, scope.smoothing)),
            HeadSpec::Net(net) => (&net.layers, loss_of_name(&net.loss, scope)?),
        };
        let net = scope.chain(layers, input, registry.layers())?;
        if loss.is_separable() {
            scope.check_output(net.output())?;
        }
        let branches = vec![PlannedBranch { name: String::new(), weight: 1.0, net, loss }];
        Ok(Some(Self::of_net(PlannedNet::new(branches, scope.labels))))
    }
}

/// A loss in a scope.
type MakeLoss = fn(&HeadScope) -> AnyLoss;

/// The losses that a head can name.
const LOSSES: [(&str, MakeLoss); 3] = [
    ("cross-entropy", |scope| CrossEntropy { smoothing: scope.smoothing }.into()),
    ("mean-squared-error", |_| MeanSquaredError.into()),
    ("similarity", |_| Similarity.into()),
];

fn loss_of_name(name: &str, scope: &HeadScope) -> Result<AnyLoss> {
    let loss = LOSSES.iter().find(|(own, _)| *own == name);
    loss.map(|(_, make)| make(scope)).ok_or_else(|| Error::unknown_name("loss", name, &LOSSES.map(|(own, _)| own)))
}

/// The branches of a head, not made yet.
#[derive(Debug)]
pub(super) struct PlannedNet {
    pub branches: Vec<PlannedBranch>,
    labels: LabelKind,
    /// Whether heads made of it start silent, once one was made: so are all, whatever they are drawn from.
    starts_silent: OnceLock<bool>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct PlannedBranch {
    pub name: String,
    pub weight: f64,
    pub net: PlannedChain,
    pub loss: AnyLoss,
}

impl PlannedBranch {
    /// Behind one more layer, for an input of `[channels, height, width]`.
    pub fn behind(self, name: &str, first: Planned, input: [usize; 3]) -> Self {
        Self { net: self.net.behind(name, first, input), ..self }
    }
}

impl PlannedNet {
    pub fn new(branches: Vec<PlannedBranch>, labels: LabelKind) -> Self {
        Self { branches, labels, starts_silent: OnceLock::new() }
    }

    /// Whether a head is silent that was just made of it. Only the first is looked at: that takes its weights to the host.
    pub fn starts_silent(&self, fresh: &Head) -> bool {
        *self.starts_silent.get_or_init(|| fresh.is_silent())
    }

    /// The head with weights drawn from a stream: a layer's own has its name, or its number as an index.
    pub fn make(self: &Arc<Self>, stream: Stream, placement: &Placement) -> Head {
        let streams = |name: &str| name.parse().map_or_else(|_| stream.named(name), |index| stream.at(index));
        let making = Making { streams: &streams, name: "", placement };
        let made = |PlannedBranch { name, weight, net, loss }: &PlannedBranch| Branch {
            name: name.clone(),
            weight: *weight,
            net: net.make(&making),
            loss: loss.clone(),
        };
        Head::planned(self.branches.iter().map(made).collect(), self.labels, self.clone())
    }
}
