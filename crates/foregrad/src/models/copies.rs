//! Copies of blocks for other inputs than the blocks' own: with strides, shortcuts and names made right.

use super::parts::{conv1, norm};
use super::planned_head::{HeadScope, LaterBlock};
use crate::Result;
use crate::layers::{AdaptiveAvgPoolSpec, AvgPoolSpec, Kinds, LayerSpec};

/// The stride of a copy at most.
const LARGEST: usize = 2;

/// Layers that take features, or so many pixels as they were made for.
const OF_PIXELS: [&str; 3] = ["flatten", "linear", "position-linear"];

/// Copies one block after another.
pub(super) struct Copier<'a> {
    /// What the copies are planned in.
    pub scope: &'a HeadScope<'a>,
    /// The kinds of layers that the blocks name.
    pub kinds: &'a Kinds,
    /// Channels, height and width of what comes to the next copy.
    pub size: [usize; 3],
    /// The down-sampling that no copy has done yet.
    pub stride: usize,
}

impl Copier<'_> {
    /// The layers of a copy. A block with a layer of a number of pixels is not changed: what is left of the down-sampling is a pool before it.
    pub fn copy(&mut self, block: &LaterBlock) -> Result<Vec<LayerSpec>> {
        let own = stride_of_all(block.layers);
        let due = self.stride.saturating_mul(own);
        let is_of_pixels = block.layers.iter().any(is_of_pixels);
        let pool = if is_of_pixels { pool_to(block.input, self.size) } else { None };
        let size = pool.as_ref().map_or(Ok(self.size), |pool| self.output(pool, self.size))?;
        let strides = strides(block.layers, if is_of_pixels { own } else { due.min(LARGEST) });
        let (copy, output) = self.chain(block.layers, "", &strides, size)?;
        self.size = output;
        self.stride = if is_of_pixels { 1 } else { due / product(strides) };
        Ok(pool.into_iter().chain(copy).collect())
    }

    /// The layers of a chain with other strides, for an input of a size, and the size of what they give.
    fn chain(
        &self,
        layers: &[LayerSpec],
        before: &str,
        strides: &[usize],
        mut size: [usize; 3],
    ) -> Result<(Vec<LayerSpec>, [usize; 3])> {
        let mut chain = Vec::new();
        for (number, (layer, stride)) in layers.iter().zip(strides).enumerate() {
            let copy = if layer.kind == "residual" {
                self.residual(layer, *stride, size)?
            } else {
                match with_stride(layer, *stride) {
                    Some(copy) => copy,
                    None => continue,
                }
            };
            let name = layer.name.clone().unwrap_or_else(|| format!("{before}{number}"));
            let copy = without_streams(copy).named(name);
            size = self.output(&copy, size)?;
            chain.push(copy);
        }
        Ok((chain, size))
    }

    /// A residual sum with another stride: a 1x1 convolution and a norm on its shortcut where the body changes the shape, unless it has a
    /// shortcut of its own.
    fn residual(&self, layer: &LayerSpec, stride: usize, size: [usize; 3]) -> Result<LayerSpec> {
        let [body, shortcut] = ["body", "shortcut"].map(|name| layer.chains.get(name).map_or(&[][..], Vec::as_slice));
        let (body, output) = self.chain(body, "", &strides(body, stride), size)?;
        let shortcut = match (shortcut.is_empty(), output == size) {
            (true, true) => Vec::new(),
            (true, false) => projection(&body, stride),
            (false, _) => self.chain(shortcut, "shortcut.", &strides(shortcut, stride), size)?.0,
        };
        Ok(layer.clone().holding("body", body).holding("shortcut", shortcut))
    }

    /// What a layer gives of an input.
    fn output(&self, layer: &LayerSpec, size: [usize; 3]) -> Result<[usize; 3]> {
        self.scope.chain(std::slice::from_ref(layer), size, self.kinds).map(|chain| chain.output())
    }
}

/// How many pixels a side of the input become one of the output.
pub(super) fn stride_of_all(layers: &[LayerSpec]) -> usize {
    product(layers.iter().map(stride_of))
}

fn stride_of(layer: &LayerSpec) -> usize {
    let stride = || number(layer, "stride");
    match layer.kind.as_str() {
        "residual" => layer.chains.get("body").map_or(1, |body| stride_of_all(body)),
        _ if is_pool(layer) => stride().unwrap_or_else(|| window(layer)),
        _ => stride().unwrap_or(1),
    }
    .max(1)
}

fn product(strides: impl IntoIterator<Item = usize>) -> usize {
    strides.into_iter().fold(1, usize::saturating_mul)
}

/// A stride for each layer of a chain that is to have `wanted` in all: the chain's own, or all of it in the first layer that has a stride, or
/// can have one. The chain's own where none can.
fn strides(layers: &[LayerSpec], wanted: usize) -> Vec<usize> {
    let own: Vec<usize> = layers.iter().map(stride_of).collect();
    if product(own.iter().copied()) == wanted {
        return own;
    }
    let first = own.iter().position(|stride| *stride > 1).or_else(|| layers.iter().position(can_stride));
    match first {
        Some(first) => (0..layers.len()).map(|layer| if layer == first { wanted } else { 1 }).collect(),
        None => own,
    }
}

fn can_stride(layer: &LayerSpec) -> bool {
    layer.kind == "conv2d" || layer.chains.get("body").is_some_and(|body| body.iter().any(can_stride))
}

/// The layer with a stride; `None` of a pool that has nothing to bring together any more.
fn with_stride(layer: &LayerSpec, stride: usize) -> Option<LayerSpec> {
    let own = stride_of(layer);
    if stride == own {
        return Some(layer.clone());
    }
    if is_pool(layer) && stride == 1 {
        return None;
    }
    let mut copy = layer.clone();
    if is_pool(layer) && window(layer) == own {
        // Windows that lie side by side go on doing so.
        copy.settings.insert("kernel".into(), stride.into());
    }
    copy.settings.insert("stride".into(), stride.into());
    Some(copy)
}

/// The layer and all that it holds with weights from streams of their paths.
fn without_streams(layer: LayerSpec) -> LayerSpec {
    let chains = layer.chains.into_iter();
    let chains = chains.map(|(name, chain)| (name, chain.into_iter().map(without_streams).collect())).collect();
    LayerSpec { stream: None, chains, ..layer }
}

/// As many channels as the last convolution of a body.
fn projection(body: &[LayerSpec], stride: usize) -> Vec<LayerSpec> {
    let Some(outputs) = body.iter().rev().find_map(outputs) else { return Vec::new() };
    let mut conv = conv1(1, stride);
    conv.settings.insert("outputs".into(), outputs.clone());
    vec![conv, norm()]
}

fn outputs(layer: &LayerSpec) -> Option<&serde_json::Value> {
    let of_body = || layer.chains.get("body")?.iter().rev().find_map(outputs);
    layer.settings.get("outputs").or_else(of_body)
}

/// A pool to the pixels of one size from those of a larger one.
fn pool_to(target: [usize; 3], size: [usize; 3]) -> Option<LayerSpec> {
    let side = |size: [usize; 3]| size[1].min(size[2]);
    (side(size) > side(target)).then(|| AdaptiveAvgPoolSpec { bins: side(target) }.into())
}

fn is_of_pixels(layer: &LayerSpec) -> bool {
    OF_PIXELS.contains(&layer.kind.as_str()) || layer.chains.values().flatten().any(is_of_pixels)
}

fn is_pool(layer: &LayerSpec) -> bool {
    ["avg-pool", "max-pool"].contains(&layer.kind.as_str())
}

/// The side of a pool's window.
fn window(layer: &LayerSpec) -> usize {
    number(layer, "kernel").unwrap_or(AvgPoolSpec::default().kernel)
}

fn number(layer: &LayerSpec, setting: &str) -> Option<usize> {
    let value = layer.settings.get(setting)?;
    value.as_u64().and_then(|number| number.try_into().ok()).or_else(|| value.as_str()?.parse().ok())
}
