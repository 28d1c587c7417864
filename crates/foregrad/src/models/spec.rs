//! A network as data: what a file says of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::limits::WIDEST;
use crate::layers::{AdaptiveAvgPoolSpec, LayerSpec, LinearSpec, NormSpec, check_name};
use crate::settings::{Setting, Settings, field};
use crate::vector::ParamVector;
use crate::{Error, Result, files};

/// Blocks at most: those of the deepest residual network that has a name.
const MOST_BLOCKS: usize = 4096;

/// Letters of a name at most: it is a part of a folder's name.
const LONGEST_NAME: usize = 64;

/// A network: its blocks, their heads, and the classifier.
///
/// Widths are those before the width factor. `foregrad model show NAME` prints those of the networks that have a name.
///
/// ```
/// use foregrad::models::{ModelConfig, NetworkSpec};
/// # use foregrad::rng::Placement;
/// # use burn::tensor::{DType, Device};
/// # let placement = Placement { device: Device::flex(), dtype: DType::F32 };
/// let spec = NetworkSpec::from_toml(r#"
///     name = "two-blocks"
///     blocks = [
///         { layers = [{ layer = "conv2d", outputs = 8, kernel = 3, padding = 1 }, "norm", "relu"] },
///         { layers = [{ layer = "conv2d", outputs = 8, kernel = 3, stride = 2 }, "gelu"] },
///     ]
/// "#)?;
/// let model = ModelConfig { name: spec.name.clone(), network: Some(spec), ..Default::default() };
/// let network = model.init([3, 9, 9], 10, 0, &placement)?;
/// assert_eq!(network.blocks.len(), 2);
/// # Ok::<(), foregrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkSpec {
    /// What it is called; that of its file if it has none.
    #[serde(default)]
    pub name: String,
    /// A factor on the widths of the heads.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub head_width: f64,
    /// The layers of the classifier, from the last block's output to one output a class or value.
    #[serde(default = "classifier_layers")]
    pub classifier: Vec<LayerSpec>,
    /// The blocks, in order.
    #[serde(default)]
    pub blocks: Vec<BlockSpec>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BlockSpec {
    /// What stands before the paths of its layers: `blocks.J` if it is not given; it may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What stands behind it: by default what the run's settings name, behind the last block the classifier alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadSpec>,
    /// Its layers, in order.
    #[serde(default)]
    pub layers: Vec<LayerSpec>,
}

/// A head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a head: a name, `none`, a list of layers, or a table of `layers` and `loss`")]
pub enum HeadSpec {
    /// One of a kind with a name, or `none`.
    Named(String),
    /// Layers with the loss of the labels.
    Layers(Vec<LayerSpec>),
    /// Layers with a loss.
    Net(NetSpec),
}

/// The layers of a head, and its loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetSpec {
    /// The layers, in order.
    pub layers: Vec<LayerSpec>,
    /// The name of the loss.
    pub loss: String,
}

/// The head of no head.
pub const NO_HEAD: &str = "none";

fn one() -> f64 {
    1.0
}

fn is_one(factor: &f64) -> bool {
    *factor == 1.0
}

fn classifier_layers() -> Vec<LayerSpec> {
    classifier(false)
}

/// Global average pool and linear, with a norm before (the paper's code has one) if it is asked for.
pub(super) fn classifier(has_norm: bool) -> Vec<LayerSpec> {
    let norm = has_norm.then(|| LayerSpec::from(NormSpec {}).named("bn"));
    let pool = LayerSpec::from(AdaptiveAvgPoolSpec { bins: 1 }).named("pool");
    let linear = LayerSpec::from(LinearSpec::default()).named("fc");
    norm.into_iter().chain([pool, linear]).collect()
}

impl BlockSpec {
    /// A block of layers that are numbered.
    pub fn of(layers: Vec<LayerSpec>) -> Self {
        Self { layers, ..Self::default() }
    }
}

impl NetworkSpec {
    /// A network with the usual classifier, and the heads of the run behind every block but the last.
    pub fn new(name: impl Into<String>, blocks: Vec<BlockSpec>) -> Self {
        Self { name: name.into(), head_width: 1.0, classifier: classifier_layers(), blocks }
    }

    /// A network from a file; it has the file's name if it says no other.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no network: the message shows the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        let mut spec = Self::parse(&text).map_err(|found| Error::bad_file(path, "a network", found))?;
        if spec.name.is_empty() {
            spec.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        spec.validate().map_err(|error| Error::within(path.display().to_string(), error))?;
        Ok(spec)
    }

    /// A network from text.
    ///
    /// # Errors
    /// As [`NetworkSpec::read`].
    pub fn from_toml(text: &str) -> Result<Self> {
        let spec = Self::parse(text).map_err(|found| Error::bad_file("the text", "a network", found))?;
        spec.validate()?;
        Ok(spec)
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim().to_string())
    }

    /// Refuses what no image would make right: names, and blocks without layers.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], with the block.
    pub fn validate(&self) -> Result<()> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if self.name.len() > LONGEST_NAME || !self.name.chars().all(is_plain) || self.name.starts_with('.') {
            let expected = format!("at most {LONGEST_NAME} letters, digits, `-` and `_`");
            return Err(Error::out_of_range("the name of the network", format!("`{}`", self.name), expected));
        }
        if !(self.head_width > 0.0 && self.head_width <= WIDEST) {
            return Err(Error::out_of_range(
                "head-width",
                self.head_width,
                format!("a factor above 0, at most {WIDEST}"),
            ));
        }
        if !(1..=MOST_BLOCKS).contains(&self.blocks.len()) {
            let expected = format!("from 1 to {MOST_BLOCKS}");
            return Err(Error::out_of_range("the number of blocks", self.blocks.len(), expected));
        }
        let check = |(number, block): (usize, &BlockSpec)| {
            block.validate().map_err(|error| Error::within(format!("block {number}"), error))
        };
        self.blocks.iter().enumerate().try_for_each(check)
    }

    /// What stands before the paths of a block's layers.
    pub(super) fn path(&self, block: usize) -> String {
        self.blocks[block].path.clone().unwrap_or_else(|| format!("blocks.{block}"))
    }

    /// The number of classes or values that weights of this network are for, as far as its classifier tells.
    pub fn labels_of(&self, weights: &ParamVector) -> Option<usize> {
        let last = self
            .classifier
            .iter()
            .enumerate()
            .rev()
            .find(|(_, layer)| layer.settings.get("outputs").is_some_and(|outputs| outputs == "labels"));
        let (number, layer) = last?;
        let name = layer.name.clone().unwrap_or_else(|| number.to_string());
        weights.entry(&format!("{name}.weight"))?.shape().first().copied()
    }
}

impl BlockSpec {
    /// Whether a head stands behind it, unless it is the last block.
    pub fn has_head(&self) -> bool {
        !matches!(&self.head, Some(HeadSpec::Named(name)) if name == NO_HEAD)
    }

    fn validate(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::out_of_range("the number of layers", 0, "at least 1"));
        }
        match self.path.as_deref() {
            None | Some("") => Ok(()),
            Some(path) => check_name(path),
        }
    }
}

/// A network among a run's settings: none has a flag, and two of them are compared block by block.
impl Settings for Option<NetworkSpec> {
    fn settings() -> Vec<Setting> {
        Vec::new()
    }

    fn set(&mut self, place: &str, _text: &str) -> Result<()> {
        Err(field::unknown::<Self>(place))
    }

    fn values(&self) -> BTreeMap<String, String> {
        let Some(spec) = self else { return BTreeMap::new() };
        let mut values = BTreeMap::from([
            ("name".to_string(), spec.name.clone()),
            ("head-width".to_string(), spec.head_width.to_string()),
            ("classifier".to_string(), as_text(&spec.classifier)),
        ]);
        values
            .extend(spec.blocks.iter().enumerate().map(|(number, block)| (format!("blocks.{number}"), as_text(block))));
        values
    }
}

/// A part of a spec on one line.
fn as_text(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("a spec is plain values")
}
