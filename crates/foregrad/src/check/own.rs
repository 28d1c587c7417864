//! The checks for parts of one's own: the same identities, with the same limits.

use burn::tensor::{DType, Device};

use super::examples::{HeadExample, loss_example};
use super::{Entry, Report, check_head, check_layer, check_network, guess_examples};
use crate::estimate::AnyGuess;
use crate::layers::{AnyLayer, Layer, Phase, Sequential};
use crate::losses::{AnyLoss, LabelKind};
use crate::models::{AnyHead, Network, head_prefix, target_prefix};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// The seed of all that is drawn for a check.
const SEED: u64 = 0;

/// Where a part that is checked should be made: on the CPU in `f64`, which tells right from wrong by nine orders of magnitude.
pub fn placement() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F64 }
}

/// Where a part's parameters are; of a part without any, [`placement`].
fn placement_of(parameters: &ParamVector) -> Placement {
    parameters.placement().unwrap_or_else(placement)
}

/// A type's name, less the modules it is in.
fn name_of<T>() -> &'static str {
    let path = std::any::type_name::<T>().split('<').next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or(path)
}

/// Checks a layer on an input of a shape, `[samples, channels, height, width]`: small and odd, with several of each.
///
/// Its parameters should be at [`placement`]; in `f32` the limits are weak. A layer with moving averages is checked in both phases.
///
/// # Panics
/// If the layer takes no input of that shape.
pub fn layer<L: Into<AnyLayer>>(mine: L, input: [usize; 4]) -> Report {
    let mut chain = Sequential::new().then(mine);
    let [_, image @ ..] = input;
    chain.output(image).unwrap_or_else(|error| panic!("{error}"));
    let placement = placement_of(&chain.parameters());
    let phases = if chain.averages().is_empty() { &[Phase::Train][..] } else { &[Phase::Train, Phase::Eval] };
    let check = |phase: &Phase| {
        let name = format!("{}{}", name_of::<L>(), if *phase == Phase::Eval { ", eval" } else { "" });
        check_layer(&name, &mut chain, input, *phase, &placement, SEED)
    };
    let mut entries: Vec<Entry> = phases.iter().flat_map(check).collect();
    entries.push(shape(name_of::<L>(), &chain, input, &placement));
    Report { entries }
}

/// Whether the output has the shape that the layer says: networks are planned by it.
fn shape(name: &str, chain: &Sequential, input: [usize; 4], placement: &Placement) -> Entry {
    let [_, channels, height, width] = input;
    let [_, own @ ..] = chain.forward(placement.zeros(input), Phase::Eval.into()).0.dims();
    let is_right = chain.output([channels, height, width]).is_ok_and(|said| said == own);
    let worst = if is_right { 0.0 } else { f64::INFINITY };
    Entry { group: "layer", name: name.to_string(), identity: "shape", worst, limit: 1.0 }
}

/// Checks a head on a block's output of a shape, with labels of a kind (a number of classes is one).
///
/// # Panics
/// If the head takes no such output or labels.
pub fn head<H: Into<AnyHead>>(mine: H, input: [usize; 4], labels: impl Into<LabelKind>) -> Report {
    let mut mine: AnyHead = mine.into();
    let (placement, labels) = (placement_of(&mine.parameters()), labels.into());
    let [_, output @ ..] = input;
    mine.check(output, labels).unwrap_or_else(|error| panic!("{error}"));
    Report { entries: check_head(name_of::<H>(), &mut *mine, (input, labels), &placement, SEED) }
}

/// Checks a loss behind a linear map, with labels of a kind (a number of classes is one).
///
/// # Panics
/// If the loss takes no such labels.
pub fn loss<L: Into<AnyLoss>>(mine: L, labels: impl Into<LabelKind>) -> Report {
    let labels = labels.into();
    let HeadExample { mut head, input, .. } = loss_example(name_of::<L>(), mine, labels, &placement());
    Report { entries: check_head(name_of::<L>(), &mut *head, (input, labels), &placement(), SEED) }
}

/// Checks a guess in every space and granularity that it has, on a narrow network: forward mode against the oracle, and a step from saved
/// state against the same step done again.
pub fn guess(mine: &AnyGuess) -> Report {
    let entries = guess_examples(mine)
        .into_iter()
        .flat_map(|example| [example.check(&placement(), SEED), example.check_state(&placement(), SEED)]);
    Report { entries: entries.collect() }
}

/// Checks a network from its images, `[channels, height, width]`, to its loss, and each of its heads behind its block.
///
/// # Panics
/// If the network takes no such images or labels.
pub fn network(mine: &Network, image: [usize; 3], labels: impl Into<LabelKind>) -> Report {
    let labels = labels.into();
    let placement = placement_of(&mine.parameters());
    let mut copy = mine.clone();
    let mut entries = check_network("network", &mut copy, (image, labels), &placement, SEED);
    let [channels, height, width] = image;
    let mut y = Stream::new(SEED, "check").normal_tensor([3, channels, height, width], &placement);
    for (block, maps) in mine.blocks.iter().enumerate() {
        y = maps.forward(y, Phase::Train.into()).0;
        let heads =
            [(copy.heads.get_mut(block), head_prefix(block)), (copy.target_heads.get_mut(block), target_prefix(block))];
        for (head, name) in heads {
            if let Some(Some(head)) = head {
                entries.extend(check_head(&name, &mut **head, (y.dims(), labels), &placement, SEED));
            }
        }
    }
    Report { entries }
}
