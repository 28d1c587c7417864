//! Numbers in records: JSON knows no value that is not finite, so those are written as the strings `"NaN"`, `"Infinity"` and
//! `"-Infinity"`. A `null`, as older records have it in their place, reads as NaN.
//!
//! `#[serde(with = "crate::numbers")]` for a number; [`optional`] for one that may be left out (`null` is `None` there);
//! [`by_name`] for a map.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a number.
///
/// # Errors
/// Those of the format.
pub fn serialize<S: Serializer>(value: &f64, target: S) -> Result<S::Ok, S::Error> {
    Number(*value).serialize(target)
}

/// Reads a number.
///
/// # Errors
/// Anything that is no number.
pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
    Number::deserialize(source).map(|number| number.0)
}

/// A number that is written as this module says.
#[derive(Debug, Clone, Copy)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => target.serialize_f64(value),
            value if value.is_nan() => target.serialize_str("NaN"),
            value if value > 0.0 => target.serialize_str("Infinity"),
            _ => target.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_unit<E: Error>(self) -> Result<Number, E> {
        Ok(Number(f64::NAN))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        match text {
            "NaN" => Ok(Number(f64::NAN)),
            "Infinity" => Ok(Number(f64::INFINITY)),
            "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

/// Numbers that may be left out.
pub mod optional {
    use super::{Deserialize, Deserializer, Number, Serialize, Serializer};

    /// Writes a number, or `null`.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(value: &Option<f64>, target: S) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(target)
    }

    /// Reads a number, or `null`.
    ///
    /// # Errors
    /// Anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number>::deserialize(source)?.map(|number| number.0))
    }
}

/// Numbers by name.
pub mod by_name {
    use std::collections::BTreeMap;

    use super::{Deserialize, Deserializer, Number, Serializer};

    /// Writes numbers by name.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(values: &BTreeMap<String, f64>, target: S) -> Result<S::Ok, S::Error> {
        target.collect_map(values.iter().map(|(name, value)| (name, Number(*value))))
    }

    /// Reads numbers by name.
    ///
    /// # Errors
    /// Anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let numbers = BTreeMap::<String, Number>::deserialize(source)?;
        Ok(numbers.into_iter().map(|(name, number)| (name, number.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    struct Record {
        #[serde(with = "super")]
        plain: f64,
        #[serde(with = "super::optional")]
        optional: Option<f64>,
        #[serde(with = "super::by_name")]
        named: BTreeMap<String, f64>,
    }

    fn written(value: f64) -> String {
        let named = BTreeMap::from([("a".to_string(), value)]);
        serde_json::to_string(&Record { plain: value, optional: Some(value), named }).expect("text")
    }

    #[test]
    fn every_number_comes_back_as_it_was() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -3.0, f64::MIN_POSITIVE] {
            let record: Record = serde_json::from_str(&written(value)).expect("a record");
            let read = [record.plain, record.optional.expect("a number"), record.named["a"]];
            assert!(read.iter().all(|read| read.to_bits() == value.to_bits()), "{record:?}");
        }
        assert!(written(f64::NAN).contains(r#""plain":"NaN""#), "{}", written(f64::NAN));
    }

    #[test]
    fn null_is_nan_or_nothing_and_other_words_are_refused() {
        let read = |text: &str| serde_json::from_str::<Record>(text);
        let record = read(r#"{"plain":null,"optional":null,"named":{"a":null}}"#).expect("a record");
        assert!(record.plain.is_nan() && record.optional.is_none() && record.named["a"].is_nan());
        let error = read(r#"{"plain":"nan","optional":null,"named":{}}"#).expect_err("a word").to_string();
        assert!(error.contains("\"-Infinity\""), "{error}");
    }
}
