//! The groups of a convolution, as files write them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::kind;
use crate::settings::{Value, Wrong};

/// Groups of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// So many.
    Number(usize),
    /// One for each input channel.
    Inputs,
}

impl Value for Groups {
    fn parse(text: &str) -> std::result::Result<Self, Wrong> {
        match (text, text.parse()) {
            ("inputs", _) => Ok(Groups::Inputs),
            (_, Ok(number)) => Ok(Groups::Number(number)),
            _ => Err(Wrong::Expected("a number, or `inputs` for one group an input channel")),
        }
    }

    fn text(&self) -> String {
        match self {
            Groups::Number(number) => number.to_string(),
            Groups::Inputs => "inputs".into(),
        }
    }
}

impl Serialize for Groups {
    fn serialize<S: Serializer>(&self, target: S) -> std::result::Result<S::Ok, S::Error> {
        kind::serialized(self, target)
    }
}

impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(source: D) -> std::result::Result<Self, D::Error> {
        kind::deserialized(source, "a number or `inputs`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Conv2dSpec;

    #[test]
    fn groups_are_a_number_or_a_word_in_files() {
        for (groups, written) in [(Groups::Number(16), "16"), (Groups::Inputs, "\"inputs\"")] {
            let spec = Conv2dSpec { groups, ..Default::default() };
            let text = serde_json::to_string(&spec).expect("text");
            assert!(text.contains(&format!("\"groups\":{written}")), "{text}");
            assert_eq!(serde_json::from_str::<Conv2dSpec>(&text).expect("the same"), spec);
        }
        // As an older program wrote it.
        let text = r#"{ "groups": "16" }"#;
        assert_eq!(serde_json::from_str::<Conv2dSpec>(text).expect("text").groups, Groups::Number(16));
    }
}
