//! What becomes of layers in a spec before anything is made: shapes, weights and FLOP, found by arithmetic alone.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::kind::Kinds;
use super::{AnyLayer, Layer, LayerSpec, Norm, Outputs, Sequential};
use crate::rng::{Placement, Stream};
use crate::{Error, Result};

/// Weights of a network at most; 9 GB in single precision, and twice as much while a layer's are drawn.
pub const MOST_WEIGHTS: u64 = 1 << 31;

/// Values of one image after any layer at most: 4 GiB.
pub const MOST_VALUES: u64 = 1 << 30;

/// Layers of one chain.
const MOST_LAYERS: usize = 4096;

/// Layers within layers.
const DEEPEST: usize = 16;

/// A layer that is not made yet.
#[derive(Clone)]
pub struct Planned {
    /// Channels, height and width of its output.
    pub output: [usize; 3],
    /// The number of its weights.
    pub weights: u64,
    /// Multiplications and additions of its products for one sample, forward.
    pub flop: u64,
    make: Arc<dyn Fn(&Making) -> AnyLayer + Send + Sync>,
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, weights, flop, .. } = self;
        f.debug_struct("Planned").field("output", output).field("weights", weights).field("flop", flop).finish()
    }
}

/// Where a layer's first weights come from and go to.
#[derive(Clone, Copy)]
pub struct Making<'a> {
    /// The stream of a name.
    pub streams: &'a dyn Fn(&str) -> Stream,
    /// The name of the layer's own stream.
    pub name: &'a str,
    /// Where tensors are made.
    pub placement: &'a Placement,
}

impl Making<'_> {
    /// The layer's own stream.
    pub fn stream(&self) -> Stream {
        (self.streams)(self.name)
    }
}

impl Planned {
    /// A layer with this output, made by `make`.
    pub fn new(output: [usize; 3], make: impl Fn(&Making) -> AnyLayer + Send + Sync + 'static) -> Self {
        Self { output, weights: 0, flop: 0, make: Arc::new(make) }
    }

    /// A layer without weights, as it is.
    ///
    /// # Errors
    /// An input that the layer does not take.
    pub fn of(layer: impl Layer + Clone + 'static, input: [usize; 3]) -> Result<Self> {
        let output = layer.output(input)?;
        Ok(Self::new(output, move |_| layer.clone().into()))
    }

    /// With so many weights.
    pub fn weights(mut self, weights: u64) -> Self {
        self.weights = weights;
        self
    }

    /// With so many operations a sample.
    pub fn flop(mut self, flop: u64) -> Self {
        self.flop = flop;
        self
    }
}

/// A product of sizes; the largest number where it is larger than any.
pub fn product(sizes: impl IntoIterator<Item = usize>) -> u64 {
    sizes.into_iter().fold(1, |product, size| product.saturating_mul(size as u64))
}

/// What a layer is planned in.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub(crate) setting: &'a Surroundings<'a>,
    /// The layer.
    spec: &'a LayerSpec,
    /// Its whole path.
    path: &'a str,
    /// How many layers it lies in.
    depth: usize,
}

/// What all layers of a chain share.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The kinds that can be named.
    pub kinds: &'a Kinds,
    /// The factor on widths.
    pub width: f64,
    /// What `labels` outputs are.
    pub labels: usize,
    /// What `norm` is.
    pub norm: Norm,
    /// The paths of the layers with weights so far.
    pub taken: &'a RefCell<BTreeSet<String>>,
}

impl Scope<'_> {
    /// A number of outputs under the network's width, at least 1.
    pub fn outputs(&self, outputs: Outputs) -> usize {
        match outputs {
            Outputs::Widened(base) => widened(base, self.setting.width),
            Outputs::Labels => self.setting.labels,
        }
    }

    /// The normalisation of the network.
    pub fn norm(&self) -> Norm {
        self.setting.norm
    }

    /// A chain that the layer holds; empty if the spec has none. Its layers are named by their numbers after `before`.
    ///
    /// # Errors
    /// As [`PlannedChain::new`].
    pub fn chain(&self, name: &str, before: &str, input: [usize; 3]) -> Result<PlannedChain> {
        let layers = self.spec.chains.get(name).map_or(&[][..], Vec::as_slice);
        let placed = |error| Error::within(name, error);
        let place = Place { path: self.path, before, depth: self.depth + 1 };
        PlannedChain::plan(layers, input, self.setting, place).map_err(placed)
    }
}

/// A width times a factor, at least 1.
pub fn widened(base: usize, width: f64) -> usize {
    ((base as f64 * width).round() as usize).max(1)
}

/// Layers one after another, not made yet.
#[derive(Debug, Clone)]
pub struct PlannedChain {
    input: [usize; 3],
    layers: Vec<PlannedLayer>,
}

/// One of them.
#[derive(Debug, Clone)]
struct PlannedLayer {
    name: String,
    stream: String,
    planned: Planned,
}

/// Where a chain stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The path of what holds it.
    path: &'a str,
    /// What stands before the numbers of its layers.
    before: &'a str,
    depth: usize,
}

impl PlannedChain {
    /// The layers of a spec for an input of `[channels, height, width]`, below a path.
    ///
    /// # Errors
    /// The first layer that does not go with what comes to it: the error says which.
    pub fn new(layers: &[LayerSpec], input: [usize; 3], path: &str, setting: &Surroundings) -> Result<Self> {
        Self::plan(layers, input, setting, Place { path, before: "", depth: 0 })
    }

    fn plan(layers: &[LayerSpec], input: [usize; 3], setting: &Surroundings, place: Place) -> Result<Self> {
        if layers.len() > MOST_LAYERS {
            return Err(Error::out_of_range("the number of layers", layers.len(), format!("at most {MOST_LAYERS}")));
        }
        let mut chain = Self { input, layers: Vec::with_capacity(layers.len()) };
        for (number, spec) in layers.iter().enumerate() {
            let name = spec.name.clone().unwrap_or_else(|| format!("{}{number}", place.before));
            let planned = chain.next(spec, &name, setting, place);
            let placed = |error| Error::within(format!("layer {name} ({})", spec.kind), error);
            chain.layers.push(planned.map_err(placed)?);
        }
        Ok(chain)
    }

    fn next(&self, spec: &LayerSpec, name: &str, setting: &Surroundings, place: Place) -> Result<PlannedLayer> {
        if place.depth > DEEPEST {
            return Err(Error::out_of_range(
                "the nesting",
                place.depth,
                format!("at most {DEEPEST} layers in each other"),
            ));
        }
        check_name(name)?;
        if self.has(name) {
            return Err(Error::out_of_range(
                "the name",
                format!("`{name}`"),
                "one that no other layer of the chain has",
            ));
        }
        let path = joined(place.path, name);
        let scope = Scope { setting, spec, path: &path, depth: place.depth };
        let planned = setting.kinds.plan(spec, self.output(), &scope)?;
        check_sizes(&planned, self.weights())?;
        let has_own_weights = planned.weights > 0 && spec.chains.is_empty();
        if has_own_weights && !setting.taken.borrow_mut().insert(path.clone()) {
            let expected = "a path that no other layer with weights has: give it another `name`";
            return Err(Error::out_of_range("the path", format!("`{path}`"), expected));
        }
        let stream = spec.stream.clone().unwrap_or_else(|| path.clone());
        Ok(PlannedLayer { name: name.to_string(), stream, planned })
    }

    fn has(&self, name: &str) -> bool {
        self.layers.iter().any(|layer| layer.name == name)
    }

    /// Refuses two chains that stand side by side and have a layer of one name.
    pub(super) fn check_beside(&self, other: &Self) -> Result<()> {
        match self.layers.iter().find(|layer| other.has(&layer.name)) {
            Some(layer) => {
                let found = format!("`{}` in both chains", layer.name);
                Err(Error::out_of_range("the name", found, "layers with names of their own"))
            }
            None => Ok(()),
        }
    }

    /// The chain behind one more layer, for an input of `[channels, height, width]`.
    pub(crate) fn behind(mut self, name: &str, first: Planned, input: [usize; 3]) -> Self {
        self.input = input;
        self.layers.insert(0, PlannedLayer { name: name.to_string(), stream: name.to_string(), planned: first });
        self
    }

    /// Channels, height and width of its output.
    pub fn output(&self) -> [usize; 3] {
        self.layers.last().map_or(self.input, |layer| layer.planned.output)
    }

    /// The number of its weights.
    pub fn weights(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.planned.weights))
    }

    /// Multiplications and additions of its products for one sample, forward.
    pub fn flop(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.planned.flop))
    }

    /// The layers with their weights.
    pub fn make(&self, making: &Making) -> Sequential {
        let with = |chain: Sequential, layer: &PlannedLayer| {
            let making = Making { name: &layer.stream, ..*making };
            chain.with(&layer.name, (layer.planned.make)(&making))
        };
        self.layers.iter().fold(Sequential::new(), with)
    }
}

/// A path within another.
fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// Refuses names that cannot be a part of a path.
pub fn check_name(name: &str) -> Result<()> {
    let is_plain = |part: &str| {
        let mut characters = part.chars();
        !part.is_empty() && characters.all(|character| character.is_ascii_alphanumeric() || "_-".contains(character))
    };
    if !name.split('.').all(is_plain) {
        let expected = "letters, digits, `_` and `-`, with single dots between";
        return Err(Error::out_of_range("the name", format!("`{name}`"), expected));
    }
    match crate::weights::reserved(name) {
        Some(part) => {
            let expected = format!("a name without `{part}`, which files of weights have for something else");
            Err(Error::out_of_range("the name", format!("`{name}`"), expected))
        }
        None => Ok(()),
    }
}

/// Refuses what no machine is asked to hold.
fn check_sizes(planned: &Planned, before: u64) -> Result<()> {
    let values = product(planned.output);
    if values > MOST_VALUES {
        let found = format!("{} of {values} values", size_text(planned.output));
        return Err(Error::out_of_range("the output", found, format!("at most {MOST_VALUES} values")));
    }
    let weights = planned.weights.saturating_add(before);
    if weights > MOST_WEIGHTS {
        return Err(Error::out_of_range("the number of weights", weights, format!("at most {MOST_WEIGHTS}")));
    }
    Ok(())
}

/// Channels, height and width as text: `3x32x32`.
pub fn size_text([channels, height, width]: [usize; 3]) -> String {
    format!("{channels}x{height}x{width}")
}

/// Refuses a setting of 0.
pub fn at_least_one(name: &str, value: usize) -> Result<()> {
    if value == 0 { Err(Error::out_of_range(name, 0, "at least 1")) } else { Ok(()) }
}

/// A setting that is a finite number.
pub fn finite(name: &str, value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::out_of_range(name, value, "a finite number")) }
}

/// Refuses maps where features are taken.
pub fn check_features(input: [usize; 3]) -> Result<()> {
    if input[1..] == [1, 1] {
        return Ok(());
    }
    Err(Error::out_of_range("the input", size_text(input), "features, Nx1x1: put a `flatten` or a pool before"))
}

/// Refuses an input of other channels than a layer was made for.
pub fn check_channels(input: [usize; 3], channels: usize) -> Result<()> {
    if input[0] == channels {
        return Ok(());
    }
    Err(Error::out_of_range("the input", size_text(input), format!("{channels} channels")))
}

/// Refuses groups that do not divide the channels.
pub fn check_groups(groups: usize, channels: usize) -> Result<()> {
    if groups > 0 && channels.is_multiple_of(groups) {
        return Ok(());
    }
    Err(Error::out_of_range("groups", groups, format!("a divisor of {channels} channels")))
}

/// Height and width of what a square window gives that is moved over an image with `padding` around it.
///
/// # Errors
/// A window or stride of 0, or an image smaller than the window.
pub fn windows(input: [usize; 3], kernel: usize, stride: usize, padding: usize) -> Result<[usize; 2]> {
    at_least_one("kernel", kernel)?;
    at_least_one("stride", stride)?;
    let along = |side: usize| {
        let places = (side as u128 + 2 * padding as u128).checked_sub(kernel as u128)? / stride as u128 + 1;
        usize::try_from(places).ok()
    };
    match (along(input[1]), along(input[2])) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => {
            let padded = if padding > 0 { format!(" with a padding of {padding}") } else { String::new() };
            let expected = format!("at least {kernel}x{kernel} pixels{padded}, the size of the window");
            Err(Error::out_of_range("the input", size_text(input), expected))
        }
    }
}
