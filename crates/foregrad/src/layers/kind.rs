//! Kinds of layers: what a spec can name, with the settings of each.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{LAYER_KINDS, LayerSpec, Planned, Scope};
use crate::settings::{Setting, Settings, Wrong};
use crate::{Error, Result};

/// A kind of layer that specs can name: its settings, and what is planned of them for an input.
///
/// The settings are declared by [`settings!`](crate::settings!), in the layer's own file; `layer`, `name` and `stream` are no names for
/// one, since every layer of a spec has them.
pub trait LayerKind: Settings + Serialize + 'static {
    /// Its name in specs.
    const NAME: &'static str;

    /// Settings that have no default.
    const NEEDS: &'static [&'static str] = &[];

    /// Chains of layers that it holds.
    const CHAINS: &'static [&'static str] = &[];

    /// The layer for an input of `[channels, height, width]`, not yet made.
    ///
    /// # Errors
    /// Settings out of their ranges, or an input that does not go with them.
    fn plan(&self, input: [usize; 3], scope: &Scope) -> Result<Planned>;
}

/// A [`LayerKind`] in a list.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name in specs.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Settings that have no default.
    pub needs: &'static [&'static str],
    /// Chains of layers that it holds.
    pub chains: &'static [&'static str],
    settings: fn() -> Vec<Setting>,
    plan: fn(&LayerSpec, [usize; 3], &Scope) -> Result<Planned>,
}

impl Kind {
    /// The kind with these settings.
    pub const fn of<K: LayerKind>(about: &'static str) -> Self {
        Self { name: K::NAME, about, needs: K::NEEDS, chains: K::CHAINS, settings: K::settings, plan: plan::<K> }
    }

    /// Its settings, each with its default and what it is.
    pub fn settings(&self) -> Vec<Setting> {
        (self.settings)()
    }
}

fn plan<K: LayerKind>(spec: &LayerSpec, input: [usize; 3], scope: &Scope) -> Result<Planned> {
    let unknown = spec.chains.keys().find(|chain| !K::CHAINS.contains(&chain.as_str()));
    if let Some(key) = unknown {
        let settings: Vec<String> = K::settings().into_iter().map(|setting| setting.place).collect();
        let known: Vec<&str> = K::CHAINS.iter().copied().chain(settings.iter().map(String::as_str)).collect();
        return Err(Error::unknown_name("list of layers", key, &known));
    }
    let mut kind = K::default();
    for (key, value) in &spec.settings {
        kind.set(key, &text(value))?;
    }
    let is_missing = |need: &&&str| !spec.settings.contains_key(**need) && !spec.chains.contains_key(**need);
    if let Some(need) = K::NEEDS.iter().find(is_missing) {
        return Err(Error::out_of_range(*need, "missing", "a value: it has no default"));
    }
    kind.plan(input, scope)
}

/// The text of a setting's value.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".into(),
        Value::Bool(false) => "off".into(),
        other => other.to_string(),
    }
}

/// Kinds by their names: those of the library, and those that a caller adds.
#[derive(Debug, Clone)]
pub struct Kinds(Vec<Kind>);

impl Default for Kinds {
    fn default() -> Self {
        Self(LAYER_KINDS.to_vec())
    }
}

impl Kinds {
    /// With one more kind; of two with one name the later counts.
    pub fn with<K: LayerKind>(mut self, about: &'static str) -> Self {
        self.0.retain(|kind| kind.name != K::NAME);
        self.0.push(Kind::of::<K>(about));
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter()
    }

    /// A layer of a spec, planned.
    pub(super) fn plan(&self, spec: &LayerSpec, input: [usize; 3], scope: &Scope) -> Result<Planned> {
        let Some(kind) = self.0.iter().find(|kind| kind.name == spec.kind) else {
            let known: Vec<&str> = self.0.iter().map(|kind| kind.name).collect();
            return Err(Error::unknown_name("layer", &spec.kind, &known));
        };
        (kind.plan)(spec, input, scope)
    }
}

/// How many outputs a layer has: channels, or features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// So many, times the width factor of the network.
    Widened(usize),
    /// One for each class, or for each value of a regression.
    Labels,
}

impl From<usize> for Outputs {
    fn from(number: usize) -> Self {
        Outputs::Widened(number)
    }
}

impl crate::settings::Value for Outputs {
    fn parse(text: &str) -> std::result::Result<Self, Wrong> {
        match text {
            "labels" => Ok(Outputs::Labels),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Outputs::Widened(number)),
                _ => Err(Wrong::Expected("a number of at least 1, or `labels` for one output a class or value")),
            },
        }
    }

    fn text(&self) -> String {
        match self {
            Outputs::Widened(number) => number.to_string(),
            Outputs::Labels => "labels".into(),
        }
    }
}

/// Writes a setting that is a number or a word as what it is.
pub(super) fn serialized<S: Serializer>(
    setting: &impl crate::settings::Value,
    target: S,
) -> std::result::Result<S::Ok, S::Error> {
    let text = setting.text();
    match text.parse() {
        Ok(number) => target.serialize_u64(number),
        Err(_) => target.serialize_str(&text),
    }
}

/// Reads a setting that is a number or a word.
pub(super) fn deserialized<'de, T: crate::settings::Value, D: Deserializer<'de>>(
    source: D,
    expected: &str,
) -> std::result::Result<T, D::Error> {
    let value = Value::deserialize(source)?;
    let wrong = |_| serde::de::Error::custom(format!("expected {expected}, found {value}"));
    T::parse(&text(&value)).map_err(wrong)
}

impl Serialize for Outputs {
    fn serialize<S: Serializer>(&self, target: S) -> std::result::Result<S::Ok, S::Error> {
        serialized(self, target)
    }
}

impl<'de> Deserialize<'de> for Outputs {
    fn deserialize<D: Deserializer<'de>>(source: D) -> std::result::Result<Self, D::Error> {
        deserialized(source, "a number or `labels`")
    }
}

/// Declares the kind of a layer that has no settings: its name, the type of its spec, and either the layer itself or the chains that it
/// holds and its [`LayerKind::plan`].
macro_rules! kind_without_settings {
    ($name:literal, $spec:ident, $layer:expr) => {
        crate::layers::kind::kind_without_settings!($name, $spec, &[], |input, _scope| Planned::of($layer, input));
    };
    ($name:literal, $spec:ident, $chains:expr, $plan:expr) => {
        #[doc = concat!("`", $name, "` in a spec: it has no settings.")]
        #[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
        pub struct $spec {}

        impl crate::settings::Settings for $spec {
            fn settings() -> Vec<crate::settings::Setting> {
                Vec::new()
            }

            fn set(&mut self, place: &str, _text: &str) -> crate::Result<()> {
                Err(crate::settings::field::unknown::<Self>(place))
            }

            fn values(&self) -> std::collections::BTreeMap<String, String> {
                Default::default()
            }
        }

        impl crate::layers::LayerKind for $spec {
            const NAME: &'static str = $name;
            const CHAINS: &'static [&'static str] = $chains;

            fn plan(&self, input: [usize; 3], scope: &crate::layers::Scope) -> crate::Result<Planned> {
                let plan: fn([usize; 3], &crate::layers::Scope) -> crate::Result<Planned> = $plan;
                plan(input, scope)
            }
        }
    };
}
pub(super) use kind_without_settings;
