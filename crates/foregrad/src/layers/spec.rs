//! A layer as data: what a file says of it.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::LayerKind;

/// A layer in a spec: its kind, the kind's settings, and the chains of layers that it holds.
///
/// In files it is a table, `{ layer = "conv2d", outputs = 64, kernel = 3 }`, or the name of its kind alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerSpec {
    /// The kind: `conv2d`.
    pub kind: String,
    /// Its name in the chain; its number there if none is given, as in `torch.nn.Sequential`.
    pub name: Option<String>,
    /// The name of the stream that its first weights are drawn from; its whole path if none is given.
    pub stream: Option<String>,
    /// Settings by their names; those left out have their defaults.
    pub settings: BTreeMap<String, Value>,
    /// Chains of layers by their names: a residual sum's `body` and `shortcut`.
    pub chains: BTreeMap<String, Vec<LayerSpec>>,
}

impl LayerSpec {
    /// A layer of a kind, with all its settings at their defaults.
    pub fn of_kind(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    /// The layer under a name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The layer with its first weights from a stream of another name.
    pub fn drawn_from(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// The layer with a chain that it holds.
    pub fn holding(mut self, chain: impl Into<String>, layers: Vec<LayerSpec>) -> Self {
        self.chains.insert(chain.into(), layers);
        self
    }

    /// A layer from what a file holds for it.
    fn read(value: Value) -> Result<Self, String> {
        let entries = match value {
            Value::String(kind) => return Ok(Self::of_kind(kind)),
            Value::Object(entries) => entries,
            other => return Err(format!("expected a layer, its kind's name or a table with `layer`, found {other}")),
        };
        let mut spec = Self::default();
        for (key, value) in entries {
            spec.add(key, value)?;
        }
        if spec.kind.is_empty() {
            return Err("expected a layer with its kind, `layer = \"NAME\"`, found a table without".into());
        }
        Ok(spec)
    }

    fn add(&mut self, key: String, value: Value) -> Result<(), String> {
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            other => Err(format!("expected text for `{key}` of a layer, found {other}")),
        };
        match (key.as_str(), value) {
            ("layer", value) => self.kind = text(value)?,
            ("name", value) => self.name = Some(text(value)?),
            ("stream", value) => self.stream = Some(text(value)?),
            (_, Value::Array(layers)) => {
                let layers = layers.into_iter().map(Self::read).collect::<Result<_, _>>()?;
                self.chains.insert(key, layers);
            }
            (_, value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => {
                self.settings.insert(key, value);
            }
            (_, other) => {
                let found = if other.is_null() { "none" } else { "a table" };
                return Err(format!("expected a finite number, text, or a list of layers for `{key}`, found {found}"));
            }
        }
        Ok(())
    }

    /// Everything but the kind, in the order of a file.
    fn entries(&self) -> impl Iterator<Item = (&str, Value)> {
        let texts = [("name", &self.name), ("stream", &self.stream)];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Value::from(text.clone()?))));
        let settings = self.settings.iter().map(|(key, value)| (key.as_str(), value.clone()));
        let layers = |layers: &Vec<LayerSpec>| serde_json::to_value(layers).expect("layers are plain values");
        texts.chain(settings).chain(self.chains.iter().map(move |(key, chain)| (key.as_str(), layers(chain))))
    }
}

/// A layer of a kind, with those of its settings that differ from their defaults.
impl<K: LayerKind> From<K> for LayerSpec {
    fn from(kind: K) -> Self {
        let table = |kind: &K| match serde_json::to_value(kind) {
            Ok(Value::Object(table)) => table,
            other => panic!("settings of `{}` are a table: {other:?}", K::NAME),
        };
        let defaults = table(&K::default());
        let differs =
            |key: &String, value: &Value| K::NEEDS.contains(&key.as_str()) || defaults.get(key) != Some(value);
        let settings = table(&kind).into_iter().filter(|(key, value)| differs(key, value)).collect();
        Self { settings, ..Self::of_kind(K::NAME) }
    }
}

impl Serialize for LayerSpec {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        let entries: Vec<_> = self.entries().collect();
        if entries.is_empty() {
            return target.serialize_str(&self.kind);
        }
        let mut map = target.serialize_map(Some(entries.len() + 1))?;
        map.serialize_entry("layer", &self.kind)?;
        for (key, value) in &entries {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for LayerSpec {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Self::read(Value::deserialize(source)?).map_err(serde::de::Error::custom)
    }
}
