//! Settings: one declaration gives a field, its key in files, its flag, its default, its help and what is refused.
//!
//! [`settings!`](crate::settings!) declares a table of them, [`names!`](crate::names!) an enumeration of the names that a setting can have.
//! A setting is known by its *place* in a file of settings, `optimizer.rate`; errors of this library name places, and a program may
//! replace them by its own names ([`Error::renamed`](crate::Error::renamed)).
//!
//! ```
//! use foregrad::settings::Settings;
//! foregrad::settings! {
//!     /// How bread is baked.
//!     pub struct BreadConfig {
//!         /// Degrees of the oven.
//!         heat: f64 = 220.0 => flag("heat", "C"),
//!         /// A bowl of water beside the bread.
//!         steam: bool = false => switch("steam", "on"),
//!     }
//! }
//! let mut bread = BreadConfig::default();
//! bread.set("heat", "250")?;
//! bread.set("steam", "on")?;
//! assert_eq!(bread, BreadConfig { heat: 250.0, steam: true });
//! assert_eq!(bread.set("heat", "hot").unwrap_err().to_string(), "heat is hot; expected a number");
//! let all = BreadConfig::settings();
//! assert_eq!((all[0].place.as_str(), all[0].flag, all[0].default.as_str()), ("heat", Some("heat"), "220"));
//! # Ok::<(), foregrad::Error>(())
//! ```

mod declare;
mod value;

use std::collections::BTreeMap;

pub use value::{Choices, Value, Wrong};

use crate::{Error, Result};

/// What is known of a setting beside its value.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its place in a file of settings: `optimizer.rate`.
    pub place: String,
    /// Its flag without the dashes; none for what can be set in files only.
    pub flag: Option<&'static str>,
    /// How it is given.
    pub given: Given,
    /// What it is: one sentence, without its full stop.
    pub about: String,
    /// Its value if none is given.
    pub default: String,
    /// The values it can have, with what each is; empty where they are too many.
    pub choices: Choices,
}

/// How a flag is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// With a value, for which this stands in help.
    Value(&'static str),
    /// Alone: it stands for this value.
    Alone(&'static str),
}

/// A table of settings.
pub trait Settings: Default {
    /// All of them in the order of their declaration, those of tables within included.
    fn settings() -> Vec<Setting>;

    /// Sets what is at a place from its text.
    ///
    /// # Errors
    /// A place that does not exist, or a text that is no value of it.
    fn set(&mut self, place: &str, text: &str) -> Result<()>;

    /// All values by their places, as text.
    fn values(&self) -> BTreeMap<String, String>;
}

/// What [`settings!`](crate::settings!) asks of a field, be it a value or a table.
#[doc(hidden)]
pub mod field {
    use std::borrow::Cow;

    use serde::Deserialize;

    use super::*;

    /// A setting of a value.
    pub fn setting<T: Value>(
        key: String,
        flag: Option<&'static str>,
        given: Given,
        about: &[&str],
        default: &T,
        names: Choices,
    ) -> Setting {
        let choices = if names.is_empty() { T::choices() } else { names };
        let about = about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let about = about.trim_end_matches('.').to_string();
        Setting { place: key, flag, given, about, default: default.text(), choices }
    }

    /// A sentence as an entry of a list: without capital and full stop.
    pub fn listed(sentence: &str) -> Cow<'static, str> {
        let text = sentence.trim().trim_end_matches('.');
        let mut letters = text.chars();
        let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
        (first + letters.as_str()).into()
    }

    /// The settings of a table within another.
    pub fn table<T: Settings>(key: &str, default: &T) -> Vec<Setting> {
        let values = default.values();
        let below = |setting: Setting| Setting {
            default: values.get(&setting.place).cloned().unwrap_or_default(),
            place: format!("{key}.{}", setting.place),
            ..setting
        };
        T::settings().into_iter().map(below).collect()
    }

    /// Sets a value.
    ///
    /// # Errors
    /// A text that is no value; the error names the place.
    pub fn set<T: Value>(value: &mut T, place: &str, text: &str) -> Result<()> {
        *value = T::parse(text).map_err(|wrong| wrong.at(place, text))?;
        Ok(())
    }

    /// Sets what is at a place within a table.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_within<T: Settings>(table: &mut T, key: &str, below: &str, text: &str) -> Result<()> {
        let placed = |place: &str, value: Option<&str>| {
            // Beside a value it stands in a sentence, where backticks tell the two from its words.
            value.map_or_else(|| format!("{key}.{place}"), |value| format!("`{key}.{place} = {value}`"))
        };
        table.set(below, text).map_err(|error| error.renamed(|place, value| Some(placed(place, value))))
    }

    /// A value with a text, out of a file.
    ///
    /// # Errors
    /// A text that is no value, or something other than text and whole numbers.
    pub fn parsed<'de, T: std::str::FromStr<Err = Error>, D: serde::Deserializer<'de>>(
        source: D,
    ) -> std::result::Result<T, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "expected a name")]
        enum Text {
            Text(String),
            Number(u64),
        }
        let text = match Text::deserialize(source)? {
            Text::Text(text) => text,
            Text::Number(number) => number.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }

    /// The error of a place that does not exist.
    pub fn unknown<T: Settings>(place: &str) -> Error {
        let known: Vec<String> = T::settings().into_iter().map(|setting| setting.place).collect();
        Error::unknown_name("setting", place, &known.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
