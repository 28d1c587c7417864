//! A network of layers and heads that a program brings by value.

use super::planned_head::{HeadScope, PlannedHead};
use super::spec::{self, HeadSpec};
use super::{AnyHead, Head, HeadKind, LossHead, Network, Norm, Registry, loss_for};
use crate::estimate::View;
use crate::layers::{Kinds, Layer, LayerSpec, Making, Sequential};
use crate::losses::LabelKind;
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;
use crate::{Error, Result, weights};

/// A network under construction: [`Network::builder`].
#[derive(Debug)]
pub struct NetworkBuilder {
    image: [usize; 3],
    scope: HeadScope<'static>,
    default: BlockHead,
    target: BlockHead,
    blocks: Vec<(Sequential, Option<BlockHead>)>,
    classifier: Option<BlockHead>,
}

/// What stands behind a block.
#[derive(Debug, Clone)]
pub enum BlockHead {
    /// Nothing.
    None,
    /// What a spec says.
    Spec(HeadSpec),
    /// A net that ends with one output a class or value, with their loss.
    Net(Sequential),
    /// A head by value.
    Own(AnyHead),
}

impl From<HeadKind> for BlockHead {
    fn from(kind: HeadKind) -> Self {
        BlockHead::Spec(HeadSpec::Named(kind.to_string()))
    }
}

impl From<HeadSpec> for BlockHead {
    fn from(spec: HeadSpec) -> Self {
        BlockHead::Spec(spec)
    }
}

impl From<Sequential> for BlockHead {
    fn from(net: Sequential) -> Self {
        BlockHead::Net(net)
    }
}

impl<H: LossHead + Clone + 'static> From<H> for BlockHead {
    fn from(head: H) -> Self {
        BlockHead::Own(head.into())
    }
}

impl Network {
    /// A network for images of `[channels, height, width]` and labels of a kind (a number of classes is one), block by block.
    ///
    /// ```
    /// use foregrad::layers::{Conv2dConfig, Gelu, Sequential};
    /// use foregrad::models::{BlockHead, HeadKind, Network};
    /// use foregrad::rng::{Placement, Stream};
    /// # use burn::tensor::{DType, Device};
    /// # let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    /// let stream = Stream::new(0, "weights");
    /// let conv = |name, channels| Conv2dConfig::new(channels, 3).stride(2).init(stream.named(name), &placement);
    /// let network = Network::builder([3, 9, 9], 10)
    ///     .block(Sequential::new().then(conv("first", [3, 8])).then(Gelu))
    ///     .head(HeadKind::Mlp)
    ///     .block(Sequential::new().then(conv("second", [8, 8])).then(Gelu))
    ///     .build(0, &placement)?;
    /// assert_eq!(network.depth(), 2);
    ///
    /// let wrong = Network::builder([1, 9, 9], 10).block(Sequential::new().then(conv("first", [3, 8]))).build(0, &placement);
    /// let error = wrong.unwrap_err().to_string();
    /// assert_eq!(error, "block 0: layer 0: the input is 1x9x9; expected 3 channels");
    /// # Ok::<(), foregrad::Error>(())
    /// ```
    pub fn builder(image: [usize; 3], labels: impl Into<LabelKind>) -> NetworkBuilder {
        let scope = HeadScope::new(labels.into());
        NetworkBuilder {
            image,
            scope,
            default: HeadKind::Cnn.into(),
            target: BlockHead::None,
            blocks: Vec::new(),
            classifier: None,
        }
    }
}

impl NetworkBuilder {
    /// With one more block.
    pub fn block(mut self, layers: Sequential) -> Self {
        self.blocks.push((layers, None));
        self
    }

    /// With this behind the block that was added last.
    ///
    /// # Panics
    /// If there is no block yet.
    pub fn head(mut self, head: impl Into<BlockHead>) -> Self {
        let (_, last) = self.blocks.last_mut().expect("a block before its head");
        *last = Some(head.into());
        self
    }

    /// With this behind every block that has no head of its own, but the last; without it, heads of [`HeadKind::Cnn`].
    pub fn heads(self, head: impl Into<BlockHead>) -> Self {
        Self { default: head.into(), ..self }
    }

    /// With this for the target alone behind every block that has a head; without it, one head serves as guess and as target.
    pub fn target_heads(self, head: impl Into<BlockHead>) -> Self {
        Self { target: head.into(), ..self }
    }

    /// With this factor on the widths of heads that are made here.
    pub fn head_width(mut self, width: f64) -> Self {
        self.scope.width = width;
        self
    }

    /// With this normalisation in heads that are made here.
    pub fn head_norm(mut self, norm: Norm) -> Self {
        self.scope.norm = norm;
        self
    }

    /// With this behind the last block, a net or a head; without it, a global average pool and a linear map.
    pub fn classifier(self, classifier: impl Into<BlockHead>) -> Self {
        Self { classifier: Some(classifier.into()), ..self }
    }

    /// The network; weights of heads that are made here are drawn from the seed.
    ///
    /// # Errors
    /// The first layer that does not go with what comes to it, by block and layer; two parameters of one path.
    pub fn build(self, seed: u64, placement: &Placement) -> Result<Network> {
        let depth = self.blocks.len();
        if depth == 0 {
            return Err(Error::out_of_range("the number of blocks", 0, "at least 1"));
        }
        let stream = Stream::new(seed, "initial-weights");
        let (mut blocks, mut heads, mut target_heads, mut shape) = (Vec::new(), Vec::new(), Vec::new(), self.image);
        for (number, (layers, own)) in self.blocks.into_iter().enumerate() {
            let placed = |error| Error::within(format!("block {number}"), error);
            shape = layers.output(shape).map_err(placed)?;
            blocks.push(layers);
            if number + 1 < depth {
                let head = own.unwrap_or_else(|| self.default.clone());
                let made = |head: BlockHead, name| {
                    head.made(shape, &self.scope, stream.named(name).at(number as u64), placement).map_err(placed)
                };
                heads.push(made(head, "heads")?);
                let target = if heads[number].is_some() { self.target.clone() } else { BlockHead::None };
                target_heads.push(made(target, "target-heads")?);
            } else if own.is_some() {
                let found = "given".to_string();
                let expected = "none: behind the last block stands the classifier";
                return Err(placed(Error::out_of_range("the head", found, expected)));
            }
        }
        let classifier = match self.classifier {
            Some(own) => own.made(shape, &self.scope, stream, placement),
            None => usual_classifier(shape, &self.scope, stream, placement).map(Some),
        };
        let classifier = classifier.map_err(|error| Error::within("classifier", error))?;
        let none = || Error::out_of_range("the classifier", "none", "a net or a head");
        let prefixes = (0..depth).map(|block| format!("blocks.{block}")).collect();
        let network = Network { blocks, heads, target_heads, classifier: classifier.ok_or_else(none)?, prefixes };
        View::new(&network).validate()?;
        check_names(&network)?;
        Ok(network)
    }
}

/// Refuses parameters whose names a file of weights would not give back.
fn check_names(network: &Network) -> Result<()> {
    let state = |parameters: ParamVector, averages: ParamVector| {
        parameters.paths().chain(averages.paths()).map(str::to_string).collect::<Vec<_>>()
    };
    let blocks = network.blocks.iter().map(|block| state(Layer::parameters(block), block.averages()));
    let heads = network.heads.iter().chain(&network.target_heads).flatten().chain([&network.classifier]);
    let heads = heads.map(|head| state(head.parameters(), head.averages()));
    for path in blocks.chain(heads).flatten() {
        if let Some(part) = weights::reserved(&path) {
            let expected = format!("one without `{part}`, which files of weights have for something else");
            return Err(Error::out_of_range("the name of a parameter", format!("`{path}`"), expected));
        }
    }
    Ok(())
}

impl BlockHead {
    /// The head behind an output of a shape.
    fn made(
        self,
        input: [usize; 3],
        scope: &HeadScope,
        stream: Stream,
        placement: &Placement,
    ) -> Result<Option<AnyHead>> {
        match self {
            BlockHead::None => Ok(None),
            BlockHead::Own(head) => head.check(input, scope.labels).map(|()| Some(head)),
            BlockHead::Net(net) => with_loss(net, input, scope).map(Some),
            BlockHead::Spec(spec) => {
                let planned = PlannedHead::of_spec(&spec, input, scope, &Registry::default())?;
                Ok(planned.map(|planned| planned.make(stream, placement)))
            }
        }
    }
}

/// A net with the loss of the labels.
fn with_loss(net: Sequential, input: [usize; 3], scope: &HeadScope) -> Result<AnyHead> {
    scope.check_output(net.output(input)?)?;
    Ok(Head::new(net, loss_for(scope.labels, scope.smoothing)).taking(scope.labels).into())
}

fn usual_classifier(input: [usize; 3], scope: &HeadScope, stream: Stream, placement: &Placement) -> Result<AnyHead> {
    let layers: Vec<LayerSpec> = spec::classifier(false);
    let net = scope.chain(&layers, input, &Kinds::default())?;
    let making = Making { streams: &|name: &str| stream.named(name), name: "", placement };
    with_loss(net.make(&making), input, scope)
}
