//! The two macros that declare settings.

/// Declares a table of settings: a struct, its defaults, its form in files and its [`Settings`](crate::settings::Settings).
///
/// A field is `name: Type = default => how`, and its documentation is its help. Its key in files is its name in kebab case. `how` says
/// how it is given:
/// * `flag("rate", "R")`: by `--rate R`, or in files
/// * `flag("model", "NAME", models)`: the same, with the choices that the function `models` returns
/// * `switch("no-pool", "off")`: by `--no-pool`, which stands for the value `off`, or in files
/// * `file`: in files only
/// * `table`: it is a table of settings itself
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[doc = $about:literal])+ $(#[serde($($serde:tt)*)])? $field:ident: $type:ty = $default:expr
                => $how:ident $(($($arguments:tt)*))?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct $name {
            $($(#[doc = $about])+ $(#[serde($($serde)*)])? pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::settings::Settings for $name {
            fn settings() -> Vec<$crate::settings::Setting> {
                let defaults = Self::default();
                let mut all = Vec::new();
                $(
                    let key = stringify!($field).replace('_', "-");
                    let about = [$($about),+];
                    $crate::settings!(@add all, key, about, defaults.$field, $how $(($($arguments)*))?);
                )*
                all
            }

            fn set(&mut self, place: &str, text: &str) -> $crate::Result<()> {
                let (key, below) = place.split_once('.').unwrap_or((place, ""));
                $(
                    if key == stringify!($field).replace('_', "-") {
                        $crate::settings!(@set self.$field, key, below, text, $how);
                    }
                )*
                Err($crate::settings::field::unknown::<Self>(place))
            }

            fn values(&self) -> ::std::collections::BTreeMap<String, String> {
                let mut all = ::std::collections::BTreeMap::new();
                $(
                    let key = stringify!($field).replace('_', "-");
                    $crate::settings!(@values all, key, self.$field, $how);
                )*
                all
            }
        }
    };

    (@add $all:ident, $key:ident, $about:ident, $default:expr, table) => {{
        let _ = $about;
        $all.extend($crate::settings::field::table(&$key, &$default));
    }};
    (@add $all:ident, $key:ident, $about:ident, $default:expr, file) => {
        $crate::settings!(@push $all, $key, $about, $default, None, Value(""), Vec::new())
    };
    (@add $all:ident, $key:ident, $about:ident, $default:expr, flag($flag:literal, $value:literal)) => {
        $crate::settings!(@push $all, $key, $about, $default, Some($flag), Value($value), Vec::new())
    };
    (@add $all:ident, $key:ident, $about:ident, $default:expr, flag($flag:literal, $value:literal, $names:path)) => {
        $crate::settings!(@push $all, $key, $about, $default, Some($flag), Value($value), $names())
    };
    (@add $all:ident, $key:ident, $about:ident, $default:expr, switch($flag:literal, $value:literal)) => {
        $crate::settings!(@push $all, $key, $about, $default, Some($flag), Alone($value), Vec::new())
    };
    (@push $all:ident, $key:ident, $about:ident, $default:expr, $flag:expr, $given:ident($value:literal), $names:expr) => {
        $all.push($crate::settings::field::setting(
            $key, $flag, $crate::settings::Given::$given($value), &$about, &$default, $names,
        ))
    };

    (@set $value:expr, $key:ident, $below:ident, $text:ident, table) => {
        return $crate::settings::field::set_within(&mut $value, $key, $below, $text)
    };
    (@set $value:expr, $key:ident, $below:ident, $text:ident, $how:ident) => {
        if $below.is_empty() {
            return $crate::settings::field::set(&mut $value, $key, $text);
        }
    };

    (@values $all:ident, $key:ident, $value:expr, table) => {
        for (below, text) in $crate::settings::Settings::values(&$value) {
            $all.insert(format!("{}.{below}", $key), text);
        }
    };
    (@values $all:ident, $key:ident, $value:expr, $how:ident) => {
        $all.insert($key, $crate::settings::Value::text(&$value));
    };
}

/// Declares an enumeration by the names of its values: the same in flags, in files and in errors.
///
/// A value is `Variant = "name"`, and its first line of documentation is its help. `kind` is what errors call it: `unknown kind`.
#[macro_export]
macro_rules! names {
    ($(#[$meta:meta])* $kind:literal pub enum $name:ident { $(#[doc = $first:literal] $(#[doc = $more:literal])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $(#[doc = $first] $(#[doc = $more])* $variant,)* }

        impl $name {
            /// All values, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($crate::Error::unknown_name($kind, text, &[$($text),*])),
                }
            }
        }

        $crate::as_text!($name, vec![$(($text, $crate::settings::field::listed($first))),*]);
    };
}

/// Gives a type with `Display` and `FromStr` the same text in files, and makes it the value of a setting.
///
/// `choices` are its names with what each is; a number in a file is read as its digits.
#[macro_export]
macro_rules! as_text {
    ($name:ty, $choices:expr) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, target: S) -> ::std::result::Result<S::Ok, S::Error> {
                target.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(source: D) -> ::std::result::Result<Self, D::Error> {
                $crate::settings::field::parsed(source)
            }
        }

        impl $crate::settings::Value for $name {
            fn parse(text: &str) -> ::std::result::Result<Self, $crate::settings::Wrong> {
                text.parse().map_err($crate::settings::Wrong::Name)
            }

            fn text(&self) -> String {
                self.to_string()
            }

            fn choices() -> $crate::settings::Choices {
                $choices
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::settings::{Given, Settings, Value};

    names! {
        /// Flour.
        "flour" pub enum Flour {
            /// Of wheat.
            Wheat = "wheat",
            /// Of rye.
            ///
            /// Heavier than wheat's.
            WholeRye = "whole-rye",
        }
    }

    settings! {
        /// An oven.
        pub struct Oven {
            /// Degrees,
            /// in the middle.
            heat: f64 = 220.0 => flag("heat", "C"),
            /// No light.
            light: bool = true => switch("no-light", "off"),
        }
    }

    fn pans() -> crate::settings::Choices {
        vec![("round", "a round one".into()), ("square", "".into())]
    }

    settings! {
        /// Bread.
        pub struct Bread {
            /// What of.
            #[serde(alias = "corn")]
            flour: Flour = Flour::Wheat => flag("flour", "NAME"),
            /// In what.
            pan_shape: String = "round".into() => flag("pan", "NAME", pans),
            /// Loaves.
            loaves: Option<usize> = None => file,
            /// The oven.
            oven: Oven = Oven { heat: 180.0, ..Default::default() } => table,
        }
    }

    #[test]
    fn one_declaration_gives_flags_defaults_help_and_choices() {
        let all: Vec<_> = Bread::settings().into_iter().map(|s| (s.place, s.flag, s.about, s.default)).collect();
        let row = |place: &str, flag, about: &str, default: &str| (place.into(), flag, about.into(), default.into());
        let expected: [(String, _, String, String); 5] = [
            row("flour", Some("flour"), "What of", "wheat"),
            row("pan-shape", Some("pan"), "In what", "round"),
            row("loaves", None, "Loaves", "off"),
            row("oven.heat", Some("heat"), "Degrees, in the middle", "180"),
            row("oven.light", Some("no-light"), "No light", "on"),
        ];
        assert_eq!(all, expected);
        assert_eq!(Bread::settings()[0].choices, [("wheat", "of wheat".into()), ("whole-rye", "of rye".into())]);
        assert_eq!(Bread::settings()[1].choices, pans());
        assert_eq!(Bread::settings()[4].given, Given::Alone("off"));
    }

    #[test]
    fn settings_are_set_by_their_places_and_errors_name_them() {
        let mut bread = Bread::default();
        for (place, text) in [("flour", "whole-rye"), ("loaves", "3"), ("oven.light", "off"), ("oven.heat", "200")] {
            bread.set(place, text).unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        assert_eq!((bread.flour, bread.loaves, bread.oven.light), (Flour::WholeRye, Some(3), false));
        assert_eq!(bread.values()["oven.heat"], "200");
        let wrong = |place: &str, text: &str| Bread::default().set(place, text).expect_err(text).to_string();
        assert_eq!(wrong("oven.heat", "hot"), "oven.heat is hot; expected a number");
        assert_eq!(
            wrong("flour", "wheet"),
            "unknown flour `wheet` (did you mean `wheat`?); available: wheat, whole-rye"
        );
        assert!(wrong("oven.heet", "1").contains("did you mean `oven.heat`"), "{}", wrong("oven.heet", "1"));
        assert!(wrong("oven", "1").starts_with("unknown setting"), "{}", wrong("oven", "1"));
    }

    #[test]
    fn files_hold_the_same_names() {
        let read = |text: &str| serde_json::from_str::<Bread>(text);
        let bread = read(r#"{"corn": "whole-rye", "oven": {"heat": 100.0}}"#).expect("bread");
        assert_eq!((bread.flour, bread.oven.heat, bread.oven.light), (Flour::WholeRye, 100.0, true));
        assert_eq!(read(&serde_json::to_string(&bread).expect("text")).expect("bread"), bread);
        assert!(read(r#"{"flour": "wheet"}"#).expect_err("no name").to_string().contains("did you mean `wheat`"));
        assert!(read(r#"{"flower": "wheat"}"#).expect_err("no key").to_string().contains("flower"));
        assert_eq!(Flour::ALL.len(), Flour::choices().len());
    }
}
