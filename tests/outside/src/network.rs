//! A network of blocks by value, with a layer, a head, a loss and a metric from here; and the same kind of layer named in a file.

use foregrad::Result;
use foregrad::layers::{Linear, Sequential};
use foregrad::losses::{LabelKind, MeanSquaredError};
use foregrad::models::{Head, HeadKind, ModelConfig, Network, NetworkSpec, Registry, loss_for};
use foregrad::rng::{Placement, Stream};

use crate::head::RandomReadout;
use crate::layer::{Swish, SwishSpec};
use crate::loss::{Huber, Near};

/// Units of a block.
pub const UNITS: usize = 12;

/// Three blocks: behind the first the head of this crate, behind the second a known one.
pub fn by_value(labels: LabelKind, seed: u64, placement: &Placement) -> Result<Network> {
    let stream = Stream::new(seed, "outside");
    let block = |name, input| {
        let linear = Linear::new([input, UNITS], true, stream.named(name), placement);
        Sequential::new().then(linear).then(Swish::new(1.0, placement))
    };
    let sizes = [UNITS, labels.outputs()];
    let head = RandomReadout::new(sizes, loss_for(labels, 0.0), stream.named("readout"), placement);
    let network = Network::builder([2, 1, 1], labels)
        .block(block("first", 2))
        .head(head)
        .block(block("second", UNITS))
        .head(HeadKind::Linear)
        .block(block("third", UNITS));
    let network = match labels {
        LabelKind::Classes(_) => network,
        LabelKind::Values(_) => {
            let linear = Linear::new([UNITS, labels.outputs()], true, stream.named("output"), placement);
            let net = Sequential::new().with("fc", linear);
            network.classifier(Head::new(net, Huber::default()).taking(labels).judged_by(Near))
        }
    };
    network.build(seed, placement)
}

/// A network that is not one: its middle block's layer has a wrong cotangent.
pub fn wrong(placement: &Placement) -> Result<Network> {
    let mut network = by_value(LabelKind::Values(1), 0, placement)?;
    network.blocks[1] = std::mem::take(&mut network.blocks[1]).with("wrong", Swish::wrong(placement));
    Ok(network)
}

/// A file that names the layer of this crate.
pub const FILE: &str = r#"
name = "swish-net"
blocks = [
    { layers = [{ layer = "linear", outputs = 12, bias = true }, { layer = "swish", slope = 0.5 }] },
    { layers = [{ layer = "linear", outputs = 12, bias = true }, "swish"] },
]
"#;

/// The network of [`FILE`].
pub fn of_file(registry: &Registry, seed: u64, placement: &Placement) -> Result<Network> {
    let spec = NetworkSpec::from_toml(FILE)?;
    let model =
        ModelConfig { name: spec.name.clone(), network: Some(spec), head: HeadKind::Linear, ..Default::default() };
    Ok(model.plan([2, 1, 1], 4, registry)?.make(seed, placement))
}

/// What knows the layer of this crate by its name.
pub fn registry() -> Registry {
    Registry::default().with_layer::<SwishSpec>("swish with a slope that is learnt")
}

/// A head of this crate behind features, for checks.
pub fn readout(placement: &Placement) -> RandomReadout {
    RandomReadout::new([6, 2], MeanSquaredError, Stream::new(0, "readout"), placement)
}
