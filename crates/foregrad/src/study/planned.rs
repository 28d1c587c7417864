//! A run of a study before it is run.

use crate::train::RunConfig;

/// One combination of a study's values with a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The name of its folder: its values and seed.
    pub name: String,
    /// The axes' names with the values' names, in order.
    pub choices: Vec<(String, String)>,
    /// All its settings.
    pub config: RunConfig,
}

impl Planned {
    /// Names a combination.
    pub(super) fn new(choices: Vec<(String, String)>, config: RunConfig) -> Self {
        let parts = choices.iter().map(|(_, name)| plain(name)).chain([format!("seed{}", config.seed)]);
        let name = parts.collect::<Vec<_>>().join("-");
        Self { name, choices, config }
    }
}

/// A name as part of a folder's: letters, digits and full stops, everything else a single dash.
fn plain(name: &str) -> String {
    let kept = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' });
    let dashed: String = kept.collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
