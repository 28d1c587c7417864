//! What a setting's value can be, and its text.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::Error;

/// Names with what each is.
pub type Choices = Vec<(&'static str, Cow<'static, str>)>;

/// Why a text is no value.
#[derive(Debug)]
pub enum Wrong {
    /// What was expected instead.
    Expected(&'static str),
    /// A name that is in no list.
    Name(Error),
}

impl Wrong {
    /// The error of a setting that has this text.
    pub fn at(self, place: &str, text: &str) -> Error {
        match self {
            Wrong::Expected(expected) => Error::out_of_range(place, text, expected),
            Wrong::Name(error) => error,
        }
    }
}

/// A value that has a text, the same in flags and in files.
pub trait Value: Sized {
    /// The value of a text.
    ///
    /// # Errors
    /// What was expected instead.
    fn parse(text: &str) -> Result<Self, Wrong>;

    /// Its text.
    fn text(&self) -> String;

    /// The names it can have; empty where it is no name.
    fn choices() -> Choices {
        Vec::new()
    }
}

/// Declares values that the standard library reads and writes.
macro_rules! plain {
    ($($type:ty: $expected:literal,)*) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, Wrong> {
                text.parse().map_err(|_| Wrong::Expected($expected))
            }

            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

plain! {
    f64: "a number",
    u64: "a whole number, not below 0",
    usize: "a whole number, not below 0",
    String: "text",
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(Wrong::Expected("on or off")),
        }
    }

    fn text(&self) -> String {
        if *self { "on" } else { "off" }.into()
    }

    fn choices() -> Choices {
        vec![("on", "".into()), ("off", "".into())]
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, Wrong> {
        Ok(text.into())
    }

    fn text(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

/// `off` is none.
impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "off" { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map_or("off".into(), T::text)
    }

    fn choices() -> Choices {
        T::choices()
    }
}

impl Value for [f64; 2] {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        numbers.and_then(|numbers| numbers.try_into().ok()).ok_or(Wrong::Expected("two numbers with a comma between"))
    }

    fn text(&self) -> String {
        format!("{},{}", self[0], self[1])
    }
}

impl Value for Vec<f64> {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let numbers = text.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>();
        numbers.ok_or(Wrong::Expected("numbers with commas between"))
    }

    fn text(&self) -> String {
        self.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<T: Value + PartialEq + std::fmt::Debug>(values: impl IntoIterator<Item = T>) {
        for value in values {
            assert_eq!(T::parse(&value.text()).expect("its own text"), value);
        }
    }

    #[test]
    fn every_value_survives_its_text() {
        survives([0.0, 0.1, 5e-4, 1e300, f64::INFINITY]);
        survives([0, u64::MAX]);
        survives([true, false]);
        survives([None, Some(0), Some(7_usize)]);
        survives([[0.9, 0.999]]);
        survives([vec![0.5], vec![0.5, 0.75]]);
        survives([String::new(), "glyphs".into()]);
        survives([PathBuf::from("a/b c")]);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for wrong in ["", " 1", "one", "-1", "1.5"] {
            assert!(u64::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(bool::parse("yes").is_err() && <[f64; 2]>::parse("0.9").is_err());
        assert!(Option::<usize>::parse("none").is_err() && Vec::<f64>::parse("0.5;0.75").is_err());
    }
}
