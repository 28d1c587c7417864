//! A run of a study before it is run.

use serde::{Deserialize, Serialize};

use crate::train::RunConfig;

/// Bytes that a file's name may have on the file systems in use.
pub(super) const LONGEST_NAME: usize = 255;

/// One combination of a study's values with a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// The name of its folder: its values and seed.
    pub name: String,
    /// The axes' names with the values' names, in order.
    pub choices: Vec<(String, String)>,
    /// All its settings.
    pub config: RunConfig,
}

impl PlannedRun {
    /// Names a combination.
    pub(super) fn new(choices: Vec<(String, String)>, config: RunConfig) -> Self {
        let parts = choices.iter().map(|(_, name)| plain(name)).chain([format!("seed{}", config.seed)]);
        let name = parts.collect::<Vec<_>>().join("-");
        Self { name, choices, config }
    }
}

/// A name as part of a folder's: letters and digits of all scripts, symbols beyond ASCII such as emoji, and full stops; anything else
/// becomes a single dash. In lower case, since some file systems do not tell it from upper case. A name of which nothing would be left
/// is written as the numbers of its characters.
fn plain(name: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || c == '.' || !(c.is_ascii() || c.is_whitespace() || c.is_control());
    let dashed: String = name.to_lowercase().chars().map(|c| if kept(c) { c } else { '-' }).collect();
    let plain = dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    match (plain.is_empty(), name.is_empty()) {
        (false, _) => plain,
        (true, true) => "empty".into(),
        (true, false) => name.chars().map(|c| format!("u{:x}", u32::from(c))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_scripts_become_parts_of_a_folders() {
        let names = [
            ("Local Guess", "local-guess"),
            ("0.25", "0.25"),
            ("a/b\\c:d", "a-b-c-d"),
            ("-0.5", "0.5"),
            ("Größe", "größe"),
            ("ΑΣ", "ας"),
            ("数据 集", "数据-集"),
            ("🚀 fast", "🚀-fast"),
            ("🚀", "🚀"),
            ("+", "u2b"),
            ("-", "u2d"),
            ("", "empty"),
            ("a\u{2028}b\u{7f}c\n", "a-b-c"),
        ];
        for (name, expected) in names {
            assert_eq!(plain(name), expected, "{name}");
        }
    }
}
